"""Prints which API versions the installed vendor SDK speaks."""

import av  # noqa: F401  (only that it can be imported)
from tencentcloud.live.v20180801 import live_client
from tencentcloud.vod.v20180717 import vod_client

print(f"live {live_client.LiveClient._apiVersion}, vod {vod_client.VodClient._apiVersion}")
