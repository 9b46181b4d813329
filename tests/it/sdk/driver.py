"""Calls actions through the vendor's own SDK: one JSON request a line in, one JSON answer a line out.

Arguments: endpoint, secret id, secret key. A request names product, action, parameters, the way of
signing (such as `TC3-HMAC-SHA256`) and the HTTP method; it may bring its own key pair. The answer is
{"ok": response} or {"error": code, "message": ..., "request_id": ...}, the latter only for a
TencentCloudSDKException; whatever else the SDK throws ends the program.
"""

import json
import sys

from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.live.v20180801 import live_client, models as live_models
from tencentcloud.vod.v20180717 import models as vod_models, vod_client

PRODUCTS = {
    "live": (live_client.LiveClient, live_models),
    "vod": (vod_client.VodClient, vod_models),
}
ENDPOINT, SECRET_ID, SECRET_KEY = sys.argv[1:]


def carry_out(line):
    make_client, models = PRODUCTS[line["product"]]
    http = HttpProfile(protocol="http", endpoint=ENDPOINT, reqMethod=line["http_method"])
    profile = ClientProfile(signMethod=line["sign_method"], httpProfile=http)
    pair = line.get("key_pair", [SECRET_ID, SECRET_KEY])
    client = make_client(credential.Credential(*pair), "ap-guangzhou", profile)
    action = line["action"]
    try:
        if not hasattr(client, action):
            return {"ok": client.call_json(action, line["parameters"])["Response"]}
        request = getattr(models, action + "Request")()
        request.from_json_string(json.dumps(line["parameters"]))
        response = getattr(client, action)(request)
        return {"ok": json.loads(response.to_json_string())}
    except TencentCloudSDKException as refused:
        return {
            "error": refused.get_code(),
            "message": refused.get_message(),
            "request_id": refused.get_request_id(),
        }


for text in sys.stdin:
    print(json.dumps(carry_out(json.loads(text))), flush=True)
