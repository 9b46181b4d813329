//! Requests captured from official clients (Python, Go, Node, tccli), byte for byte.

use std::{fs, path::Path};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{super::decode::form_pairs, super::wire::Verb, *};

const SECRET_ID: &str = "AKIDEXAMPLE";
const SECRET_KEY: &str = "SECRETEXAMPLE";

#[derive(Clone)]
struct Capture {
    name: String,
    verb: Verb,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Capture {
    fn parse(name: &str, raw: &[u8]) -> Self {
        let split = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let (head, body) = (std::str::from_utf8(&raw[..split]).unwrap(), raw[split + 4..].to_vec());
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap().split(' ');
        let verb = Verb::parse(&first.next().unwrap().parse().unwrap()).unwrap();
        let (path, query) = match first.next().unwrap() {
            target if target.contains('?') => target.split_once('?').unwrap(),
            target => (target, ""),
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
        }
        Self {
            name: name.to_owned(),
            verb,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body,
        }
    }

    fn is_tc3(&self) -> bool {
        self.headers.contains_key("authorization")
    }

    fn pairs(&self) -> Result<Vec<(String, String)>> {
        match self.verb {
            Verb::Get => form_pairs(&self.query),
            Verb::Post => form_pairs(std::str::from_utf8(&self.body).map_err(|_| failure())?),
        }
    }

    fn wire(&self) -> Wire<'_> {
        Wire {
            verb: self.verb,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        }
    }

    /// What the gateway does, with its clock at the moment of signing.
    fn check(&self) -> Result<()> {
        let wire = self.wire();
        if self.is_tc3() {
            let claim = tc3::Claim::parse(&self.headers)?;
            assert_eq!(claim.secret_id, SECRET_ID);
            claim.verify(&wire, SECRET_KEY)
        } else {
            let pairs = self.pairs()?;
            let claim = v1::Claim::parse(&pairs)?;
            claim.verify(&wire, &pairs, SECRET_KEY)
        }
    }
}

fn captures() -> Vec<Capture> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/captures/live");
    let mut all: Vec<Capture> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "raw"))
        .map(|path| {
            Capture::parse(path.file_stem().unwrap().to_str().unwrap(), &fs::read(&path).unwrap())
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn capture(name: &str) -> Capture {
    captures().into_iter().find(|c| c.name == name).unwrap()
}

#[test]
fn every_signed_capture_verifies_and_the_unsigned_one_does_not() {
    let all = captures();
    assert_eq!(all.len(), 73);
    for capture in all {
        match capture.name.as_str() {
            "python-skipsign-POST" => {
                assert_eq!(capture.check().unwrap_err().code(), "AuthFailure.InvalidAuthorization");
            }
            name => assert!(capture.check().is_ok(), "{name}: {:?}", capture.check()),
        }
    }
}

#[test]
fn a_changed_body_or_query_is_accepted() {
    let mut refused = 0;
    for original in captures() {
        let has_signed_body = !original.headers.contains_key("x-tc-content-sha256");
        if original.name == "python-skipsign-POST" || !has_signed_body {
            continue;
        }
        let len =
            if original.verb == Verb::Get { original.query.len() } else { original.body.len() };
        for at in (0..len).step_by(5) {
            let mut changed = original.clone();
            let bit = 1 << (at % 7);
            match changed.verb {
                Verb::Post => changed.body[at] ^= bit,
                Verb::Get => {
                    let mut query = std::mem::take(&mut changed.query).into_bytes();
                    query[at] ^= bit;
                    let Ok(query) = String::from_utf8(query) else {
                        continue;
                    };
                    changed.query = query;
                }
            }
            // %2f and %2F are the same text; only TC3 signs the spelling.
            if !original.is_tc3()
                && changed.pairs().is_ok_and(|pairs| pairs == original.pairs().unwrap())
            {
                continue;
            }
            assert!(changed.check().is_err(), "{} byte {at}", original.name);
            refused += 1;
        }
    }
    assert!(refused > 3000, "{refused}");
}

#[test]
fn a_changed_signature_is_accepted() {
    for original in captures().into_iter().filter(Capture::is_tc3) {
        if original.name == "python-skipsign-POST" {
            continue;
        }
        let sent = original.headers["authorization"].as_bytes().to_vec();
        for at in 0..sent.len() {
            let mut bytes = sent.clone();
            bytes[at] ^= 1 << (at % 7);
            let Ok(value) = HeaderValue::from_bytes(&bytes) else {
                continue;
            };
            let mut changed = original.clone();
            changed.headers.insert("authorization", value);
            let wire = changed.wire();
            // A changed key id is caught by the look-up of its key, which the gateway does first.
            let is_accepted = tc3::Claim::parse(&changed.headers).is_ok_and(|claim| {
                claim.secret_id == SECRET_ID && claim.verify(&wire, SECRET_KEY).is_ok()
            });
            assert!(!is_accepted, "{} byte {at}", original.name);
        }
    }
    for original in captures().into_iter().filter(|c| !c.is_tc3()) {
        let pairs = original.pairs().unwrap();
        let signature = v1::find(&pairs, "Signature").unwrap().as_bytes().to_vec();
        for at in 0..signature.len() {
            let mut bytes = signature.clone();
            bytes[at] ^= 1 << (at % 7);
            let changed: Vec<(String, String)> = pairs
                .iter()
                .map(|(name, value)| match name.as_str() {
                    "Signature" => (name.clone(), String::from_utf8(bytes.clone()).unwrap()),
                    _ => (name.clone(), value.clone()),
                })
                .collect();
            let wire = original.wire();
            let verified = v1::Claim::parse(&changed)
                .and_then(|claim| claim.verify(&wire, &changed, SECRET_KEY));
            assert!(verified.is_err(), "{} byte {at}", original.name);
        }
    }
}

#[test]
fn another_key_another_host_another_type_is_accepted() {
    for original in captures().into_iter().filter(|c| c.name != "python-skipsign-POST") {
        let mut changed = original.clone();
        changed.headers.insert("host", HeaderValue::from_static("10.0.0.9:1"));
        assert_eq!(
            changed.check().unwrap_err().code(),
            "AuthFailure.SignatureFailure",
            "{}",
            original.name
        );
        if original.is_tc3() {
            let mut changed = original.clone();
            changed.headers.insert("content-type", HeaderValue::from_static("text/plain"));
            assert!(changed.check().is_err(), "{}", original.name);
            let mut changed = original;
            changed.headers.insert("x-tc-timestamp", HeaderValue::from_static("1795430636"));
            assert_eq!(
                changed.check().unwrap_err().code(),
                "AuthFailure.SignatureFailure",
                "{}",
                changed.name
            );
        }
    }
}

#[test]
fn time_stamps_are_checked_on_both_sides() {
    assert!(check_time(1000, 1300, 300).is_ok());
    assert!(check_time(1300, 1000, 300).is_ok());
    for (stamp, now) in [(1000, 1301), (1301, 1000), (i64::MIN, 0), (i64::MAX, 0)] {
        assert_eq!(check_time(stamp, now, 300).unwrap_err().code(), "AuthFailure.SignatureExpire");
    }
}

#[test]
fn malformed_authorization_is_accepted() {
    let good = capture("python-tc3-POST-CreateLiveRecordTemplate");
    let sent = good.headers["authorization"].to_str().unwrap().to_owned();
    for bad in [
        "",
        "SKIP",
        "TC3-HMAC-SHA256",
        "TC3-HMAC-SHA256 Credential=a",
        "Bearer x",
        &sent.replace("tc3_request", "tc4_request"),
        &sent.replace("content-type;host", "host"),
        &sent.replace("Signature=", "Sign="),
        &format!("{sent}, Signature=00"),
        &sent.replace("/2026-11-22/", "/"),
    ] {
        let mut changed = good.clone();
        changed.headers.insert("authorization", HeaderValue::from_str(bad).unwrap());
        let code = changed.check().unwrap_err().code();
        assert_eq!(code, "AuthFailure.InvalidAuthorization", "{bad}");
    }
    let mut changed = good.clone();
    changed.headers.remove("x-tc-timestamp");
    assert_eq!(changed.check().unwrap_err().code(), "MissingParameter");
    changed.headers.insert("x-tc-timestamp", HeaderValue::from_static("soon"));
    assert_eq!(changed.check().unwrap_err().code(), "InvalidParameter");
}

#[test]
fn protocol_parameters_are_required_and_checked() {
    let good = capture("python-sha1-GET-CreateLiveRecordTemplate").pairs().unwrap();
    for name in ["Signature", "SecretId", "Timestamp", "Nonce"] {
        let without: Vec<_> = good.iter().filter(|(n, _)| n != name).cloned().collect();
        let message = v1::Claim::parse(&without).unwrap_err().to_string();
        assert_eq!(
            message,
            format!("MissingParameter: The request is missing a required parameter `{name}`.")
        );
    }
    let with = |name: &str, value: &str| -> Vec<(String, String)> {
        let replace = |(n, v): &(String, String)| {
            (n.clone(), if n == name { value.to_owned() } else { v.clone() })
        };
        good.iter().map(replace).collect()
    };
    assert!(v1::Claim::parse(&with("Nonce", "18446744073709551615")).is_ok());
    assert_eq!(v1::Claim::parse(&with("Nonce", "-1")).unwrap_err().code(), "InvalidParameter");
    assert_eq!(v1::Claim::parse(&with("Timestamp", "x")).unwrap_err().code(), "InvalidParameter");
    assert_eq!(
        v1::Claim::parse(&with("SignatureMethod", "MD5")).unwrap_err().code(),
        "InvalidParameterValue"
    );
}

#[test]
fn signed_extra_headers_may_be_raw_or_lower_case() {
    let good = capture("python-tc3-POST-CreateLiveRecordTemplate");
    for value in ["CreateLiveRecordTemplate", "createliverecordtemplate"] {
        let headers =
            format!("content-type:application/json\nhost:127.0.0.1:18080\nx-tc-action:{value}\n");
        let signed = "content-type;host;x-tc-action";
        let hash = |text: &[u8]| hex::encode(<Sha256 as sha2::Digest>::digest(text));
        let request = format!("POST\n/\n\n{headers}\n{signed}\n{}", hash(&good.body));
        let stamp = good.headers["x-tc-timestamp"].to_str().unwrap();
        let text = format!(
            "TC3-HMAC-SHA256\n{stamp}\n2026-11-22/any/tc3_request\n{}",
            hash(request.as_bytes())
        );
        let key = hmac_sha256(format!("TC3{SECRET_KEY}").as_bytes(), b"2026-11-22");
        let key = hmac_sha256(&hmac_sha256(&key, b"any"), b"tc3_request");
        let signature = hex::encode(hmac_sha256(&key, text.as_bytes()));
        let header = format!(
            "TC3-HMAC-SHA256 Credential={SECRET_ID}/2026-11-22/any/tc3_request,SignedHeaders={signed},Signature={signature}"
        );
        let mut request = good.clone();
        request.headers.insert("authorization", HeaderValue::from_str(&header).unwrap());
        request.check().unwrap();
        request.headers.insert("x-tc-action", HeaderValue::from_static("DeleteLiveRecordTemplate"));
        assert!(request.check().is_err());
    }
}

#[test]
fn hosts_to_try() {
    let try_host = |host: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static(host));
        let wire = Wire { verb: Verb::Get, path: "/", query: "", headers: &headers, body: b"" };
        hosts(&wire).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(try_host("http://a:1/p"), ["http://a:1/p", "a:1/p", "a:1", "a"]);
    assert_eq!(try_host("a"), ["a"]);
    assert_eq!(try_host("[::1]:80"), ["[::1]:80", "[::1]"]);
    assert_eq!(try_host("[::1]"), ["[::1]"]);
}
