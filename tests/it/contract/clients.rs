//! The vendor's clients, each as it comes from its package registry, and one of our own that shows
//! answers as they are on the wire.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    sdk::driver::Sdk,
    support::{
        api::{LIVE, VOD, signed},
        needed,
        server::{SECRET_ID, SECRET_KEY, Server},
    },
};

/// Somebody who asks for actions.
pub trait Client {
    /// The content of `Response`, or the code of the refusal.
    fn ask(&self, product: &str, action: &str, parameters: &Value) -> Result<Value, String>;

    /// Whether the client can ask for an action at all.
    fn knows(&self, _product: &str, _action: &str) -> bool {
        true
    }

    /// Whether each refusal is asked for once only.
    fn is_slow(&self) -> bool {
        false
    }
}

/// Python: `tencentcloud-sdk-python-live` and `-vod`.
impl Client for Sdk {
    fn ask(&self, product: &str, action: &str, parameters: &Value) -> Result<Value, String> {
        outcome(self.answer(product, action, parameters, None), action)
    }
}

/// Our own, without a library between.
pub struct Wire<'a>(pub &'a Server);

impl Client for Wire<'_> {
    fn ask(&self, product: &str, action: &str, parameters: &Value) -> Result<Value, String> {
        let version = if product == "live" { LIVE } else { VOD };
        let pair = [SECRET_ID, SECRET_KEY];
        let text = signed(self.0.http, pair, version, action, "", &parameters.to_string());
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        let response = answer["Response"].take();
        match response["Error"]["Code"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => Ok(response),
        }
    }
}

/// Node.js: `tencentcloud-sdk-nodejs`.
pub struct Node {
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Node {
    pub fn start(server: &Server, sign_method: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/contract/driver.js");
        let mut child = Command::new("node")
            .arg(script)
            .args([&server.http.to_string(), SECRET_ID, SECRET_KEY, sign_method])
            .env("NODE_PATH", needed("LIVEREC_TEST_NODE_PATH"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let pipes = RefCell::new((child.stdin.take().unwrap(), output));
        Self { child, pipes }
    }
}

impl Client for Node {
    fn ask(&self, product: &str, action: &str, parameters: &Value) -> Result<Value, String> {
        let (input, output) = &mut *self.pipes.borrow_mut();
        let request = json!({"product": product, "action": action, "parameters": parameters});
        writeln!(input, "{request}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let answer = serde_json::from_str(&line);
        outcome(answer.unwrap_or_else(|_| panic!("the SDK failed at {request}")), action)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command line: `tccli`, which speaks HTTPS only.
pub struct Tccli {
    endpoint: String,
    home: PathBuf,
    known: BTreeSet<String>,
}

impl Tccli {
    /// For a server's HTTPS socket, whose certificate is `ca`; `home` is an empty folder.
    pub fn new(endpoint: String, ca: &Path, home: PathBuf) -> Self {
        let mut known = BTreeSet::new();
        for (product, version) in [("live", "v20180801"), ("vod", "v20180717")] {
            let path = services().join(product).join(version).join("api.json");
            let api: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            known.extend(api["actions"].as_object().unwrap().keys().cloned());
        }
        // It believes the authorities of the package certifi and no others.
        let where_to =
            format!("import certifi\ncertifi.where = lambda: {:?}\n", ca.to_str().unwrap());
        fs::write(home.join("sitecustomize.py"), where_to).unwrap();
        Self { endpoint, home, known }
    }
}

/// The folder of the services that tccli knows.
pub fn services() -> PathBuf {
    PathBuf::from(needed("LIVEREC_TEST_TCCLI_SERVICES"))
}

impl Client for Tccli {
    fn ask(&self, product: &str, action: &str, parameters: &Value) -> Result<Value, String> {
        let input = self.home.join("input.json");
        fs::write(&input, parameters.to_string()).unwrap();
        let output = Command::new(needed("LIVEREC_TEST_TCCLI"))
            .args([product, action, "--region", "ap-guangzhou"])
            .args(["--secretId", SECRET_ID, "--secretKey", SECRET_KEY])
            .args(["--endpoint", &self.endpoint, "--cli-input-json"])
            .arg(format!("file://{}", input.display()))
            .env("HOME", &self.home)
            .env("PYTHONPATH", &self.home)
            .env("NO_PROXY", "*")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        if let Some((_, rest)) = said.split_once("[TencentCloudSDKException] code:") {
            let code = rest.split_whitespace().next().unwrap_or_default();
            assert!(!code.starts_with("Client"), "{action} {parameters}: {said}");
            return Err(code.to_owned());
        }
        assert!(output.status.success(), "{action} {parameters}: {said}");
        Ok(serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{action}: {said}")))
    }

    fn knows(&self, _product: &str, action: &str) -> bool {
        self.known.contains(action)
    }

    /// A process each time.
    fn is_slow(&self) -> bool {
        true
    }
}

/// What a driver said.
fn outcome(mut answer: Value, action: &str) -> Result<Value, String> {
    match answer["error"].as_str() {
        Some(code) => {
            assert!(!answer["message"].as_str().unwrap_or_default().is_empty(), "{action}");
            assert!(!answer["request_id"].as_str().unwrap_or_default().is_empty(), "{action}");
            Err(code.to_owned())
        }
        None => Ok(answer["ok"].take()),
    }
}
