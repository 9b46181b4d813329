"""Calls actions through the vendor's own SDK: one JSON request a line in, one JSON answer a line out.

Arguments: endpoint, secret id, secret key. A request names product, action, parameters, the way of
signing (such as `TC3-HMAC-SHA256`) and the HTTP method; it may bring its own key pair. The answer is
{"ok": response} or {"error": code, "message": ..., "request_id": ...}, the latter only for a
TencentCloudSDKException; whatever else the SDK throws ends the program, and so does an answer of which
its typed objects lose, change or add a field.
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
# Answered beside the vendor's fields, which the SDK does not know.
OURS = {"RecordStatusNotifyUrl"}


def keep_bodies(client):
    """The answers of a client as they came, in a list that grows."""
    call, bodies = client.call, []

    def keeping(*arguments, **options):
        bodies.append(call(*arguments, **options))
        return bodies[-1]

    client.call = keeping
    return bodies


def without_null(value):
    """The SDK's objects say nothing of fields that are null."""
    if isinstance(value, dict):
        kept = {name: inner for name, inner in value.items() if inner is not None}
        return {name: without_null(inner) for name, inner in kept.items() if name not in OURS}
    return [without_null(inner) for inner in value] if isinstance(value, list) else value


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
        bodies = keep_bodies(client)
        typed = without_null(json.loads(getattr(client, action)(request).to_json_string()))
        sent = without_null(json.loads(bodies[-1])["Response"])
        if typed != sent:
            raise AssertionError(f"{action}: the SDK made {typed} of {sent}")
        return {"ok": typed}
    except TencentCloudSDKException as refused:
        return {
            "error": refused.get_code(),
            "message": refused.get_message(),
            "request_id": refused.get_request_id(),
        }


for text in sys.stdin:
    print(json.dumps(carry_out(json.loads(text))), flush=True)
