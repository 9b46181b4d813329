"""Signs what schemathesis sends, with TC3-HMAC-SHA256 over the request as it goes out.

Environment: LIVEREC_TEST_SECRET_ID, LIVEREC_TEST_SECRET_KEY.
"""

import hashlib
import hmac
import os
import time
import urllib.parse

import requests.auth
import schemathesis

SECRET_ID = os.environ["LIVEREC_TEST_SECRET_ID"]
SECRET_KEY = os.environ["LIVEREC_TEST_SECRET_KEY"]


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Tc3(requests.auth.AuthBase):
    def __call__(self, request):
        body = request.body or b""
        if isinstance(body, str):
            body = body.encode()
        at = int(time.time())
        day = time.strftime("%Y-%m-%d", time.gmtime(at))
        url = urllib.parse.urlsplit(request.url)
        content_type = request.headers.get("Content-Type", "")
        if isinstance(content_type, bytes):
            content_type = content_type.decode("latin-1")
        canonical = "\n".join(
            [
                request.method,
                "/",
                url.query,
                f"content-type:{content_type.strip().lower()}",
                f"host:{url.netloc}",
                "",
                "content-type;host",
                hashlib.sha256(body).hexdigest(),
            ]
        )
        scope = f"{day}/live/tc3_request"
        text = f"TC3-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = mac(mac(mac(f"TC3{SECRET_KEY}".encode(), day), "live"), "tc3_request")
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        request.headers["X-TC-Timestamp"] = str(at)
        request.headers["Authorization"] = (
            f"TC3-HMAC-SHA256 Credential={SECRET_ID}/{scope}, "
            f"SignedHeaders=content-type;host, Signature={signature}"
        )
        return request


schemathesis.auth.set_from_requests(Tc3())
