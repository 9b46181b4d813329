//! The vendor's Python SDK in a process of its own (`driver.py`), one call at a time.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    python,
    server::{SECRET_ID, SECRET_KEY, Server},
};

/// A way in which the SDK can sign, and the HTTP method it uses with it.
#[derive(Debug, Clone, Copy)]
pub struct Signing {
    /// For names of domains.
    pub name: &'static str,
    pub sign_method: &'static str,
    pub http_method: &'static str,
}

/// All of them.
pub const SIGNINGS: [Signing; 4] = [
    Signing { name: "tc3-post", sign_method: "TC3-HMAC-SHA256", http_method: "POST" },
    Signing { name: "tc3-get", sign_method: "TC3-HMAC-SHA256", http_method: "GET" },
    Signing { name: "sha1", sign_method: "HmacSHA1", http_method: "POST" },
    Signing { name: "sha256", sign_method: "HmacSHA256", http_method: "GET" },
];

/// The SDK in a process of its own, signing in one way.
pub struct Sdk {
    signing: Signing,
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Sdk {
    /// Starts it for a server.
    pub fn start(server: &Server, signing: Signing) -> Self {
        let mut command = python::script("sdk/driver.py");
        command.args([&server.http.to_string(), SECRET_ID, SECRET_KEY]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let pipes = RefCell::new((child.stdin.take().unwrap(), output));
        Self { signing, child, pipes }
    }

    /// What the SDK said: `ok` or `error`.
    pub fn answer(
        &self,
        product: &str,
        action: &str,
        parameters: &Value,
        key_pair: Option<[&str; 2]>,
    ) -> Value {
        let mut request = json!({
            "product": product, "action": action, "parameters": parameters,
            "sign_method": self.signing.sign_method, "http_method": self.signing.http_method,
        });
        if let Some(pair) = key_pair {
            request["key_pair"] = json!(pair);
        }
        let (input, output) = &mut *self.pipes.borrow_mut();
        writeln!(input, "{request}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the SDK failed at {request}"))
    }

    /// Must succeed.
    pub fn call(&self, product: &str, action: &str, parameters: Value) -> Value {
        let mut answer = self.answer(product, action, &parameters, None);
        assert!(answer["error"].is_null(), "{:?} {action} {parameters}: {answer}", self.signing);
        answer["ok"].take()
    }

    /// An action of the Live product; must succeed.
    pub fn live(&self, action: &str, parameters: Value) -> Value {
        self.call("live", action, parameters)
    }

    /// Must be refused with this code, as the SDK's own exception.
    pub fn refused(&self, product: &str, action: &str, parameters: Value, code: &str) {
        self.refused_with(product, action, parameters, None, code);
    }

    /// The same with another key pair.
    pub fn refused_with(
        &self,
        product: &str,
        action: &str,
        parameters: Value,
        pair: Option<[&str; 2]>,
        code: &str,
    ) {
        let answer = self.answer(product, action, &parameters, pair);
        assert_eq!(answer["error"], code, "{:?} {action} {parameters}: {answer}", self.signing);
        assert!(!answer["message"].as_str().unwrap().is_empty(), "{answer}");
        assert!(!answer["request_id"].as_str().unwrap().is_empty(), "{answer}");
    }

    /// Makes a record template with these format blocks.
    pub fn template(&self, formats: Value) -> i64 {
        let mut template = json!({"TemplateName": "guide", "Description": "录制 a&b=c+d/~"});
        for (name, block) in formats.as_object().unwrap() {
            template[name] = block.clone();
        }
        self.live("CreateLiveRecordTemplate", template)["TemplateId"].as_i64().unwrap()
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
