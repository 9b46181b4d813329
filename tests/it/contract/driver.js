// Calls actions through the vendor's SDK for Node.js: one JSON request a line in, one JSON answer a
// line out. Arguments: endpoint, secret id, secret key, way of signing. The answer is {"ok": response}
// or {"error": code, ...}, the latter only for the SDK's own exception.

const readline = require("node:readline");
const sdk = require("tencentcloud-sdk-nodejs");
const { default: SdkException } = require(
  "tencentcloud-sdk-nodejs/tencentcloud/common/exception/tencent_cloud_sdk_exception",
);

const [endpoint, secretId, secretKey, signMethod] = process.argv.slice(2);
const profile = { signMethod, httpProfile: { protocol: "http://", endpoint } };
const options = { credential: { secretId, secretKey }, region: "ap-guangzhou", profile };
const clients = {
  live: new sdk.live.v20180801.Client(options),
  vod: new sdk.vod.v20180717.Client(options),
};

async function carryOut({ product, action, parameters }) {
  const client = clients[product];
  try {
    const known = typeof client[action] === "function";
    return { ok: await (known ? client[action](parameters) : client.request(action, parameters)) };
  } catch (refused) {
    if (!(refused instanceof SdkException)) throw refused;
    return { error: refused.code, message: refused.message, request_id: refused.requestId };
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await carryOut(JSON.parse(line))) + "\n");
  }
})();
