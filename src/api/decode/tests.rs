//! Every shape of parameters gives the same tree; oversized and hostile ones are refused.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn tree(text: &str) -> Result<Value> {
    unflatten(form_pairs(text)?).map(Value::Object)
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn flattened_names_become_a_tree() {
    let text = "A=1&B.C=x+y%20z&L.0=a&L.1=b&O.0.K=1&O.0.M.0=q&O.1.K=2&E=";
    assert_eq!(
        tree(text).unwrap(),
        json!({
            "A": "1", "B": { "C": "x y z" }, "L": ["a", "b"], "E": "",
            "O": [{ "K": "1", "M": ["q"] }, { "K": "2" }],
        })
    );
    assert_eq!(tree("").unwrap(), json!({}));
    let eleven: Vec<String> = (0..11).rev().map(|i| format!("L.{i}={i}")).collect();
    assert_eq!(tree(&eleven.join("&")).unwrap()["L"][10], "10");
}

#[test]
fn odd_names_are_refused() {
    for bad in ["A.999999999=1", "A.1=x", "A.0=x&A.2=y", "A.00=x", "A.99999999999999999999999=1"] {
        assert!(tree(bad).unwrap_err().to_string().contains("count up from 0"), "{bad}");
    }
    for bad in ["A=1&A=2", "A=1&A.B=2", "A.B=2&A=1", "A.B=1&A.B.C=2"] {
        assert_eq!(code(tree(bad)), "InvalidParameter", "{bad}");
    }
    for bad in ["A", "A=1&", "&A=1", "A=1&&B=2"] {
        assert!(tree(bad).unwrap_err().to_string().contains("splited by `=`"), "{bad}");
    }
    let deep = format!("{}=1", vec!["a"; 25].join("."));
    assert!(tree(&deep).unwrap_err().to_string().contains("nested too deeply"));
    let many: Vec<String> = (0..2001).map(|i| format!("p{i}=1")).collect();
    assert!(tree(&many.join("&")).unwrap_err().to_string().contains("more than 2000"));
}

#[test]
fn json_bodies_are_bounded() {
    assert_eq!(json_fields(b" ").unwrap(), Fields::new());
    assert_eq!(
        json_fields(br#"{"A":{"B":[1,"]]]]]]]]]]]]]]]]]]]]]]]]]]]\""]}}"#).unwrap().len(),
        1
    );
    for bad in ["[1]", "1", "{", "{\"a\":}", "null"] {
        assert_eq!(code(json_fields(bad.as_bytes())), "InvalidRequest", "{bad}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(25), "]".repeat(25));
    assert_eq!(code(json_fields(deep.as_bytes())), "InvalidRequest");
    let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(20_001));
    assert!(json_fields(wide.as_bytes()).unwrap_err().to_string().contains("too many values"));
}

#[tokio::test]
async fn multipart_has_one_part_for_each_parameter() {
    let kind = "multipart/form-data; boundary=XX";
    let part = |name: &str, value: &str| {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = format!("{}{}--XX--\r\n", part("A", "a\r\nb"), part("O", "{\"K\":1}"));
    let fields = multipart_fields(kind, body.into()).await.unwrap();
    assert_eq!(Value::Object(fields), json!({ "A": "a\r\nb", "O": "{\"K\":1}" }));
    let twice = format!("{}{}--XX--\r\n", part("A", "1"), part("A", "2"));
    assert_eq!(code(multipart_fields(kind, twice.into()).await), "InvalidParameter");
    let cut = part("A", "1");
    assert_eq!(code(multipart_fields(kind, cut.into()).await), "InvalidRequest");
    assert_eq!(code(multipart_fields("multipart/form-data", "".into()).await), "InvalidRequest");
}

proptest! {
    /// Whatever a client sends, the answer is a tree or a refusal.
    #[test]
    fn hostile_forms_do_no_harm(text in "([AB0-9.]{0,8}[=&%]{0,2}){0,40}") {
        let _ = tree(&text);
    }

    #[test]
    fn hostile_json_does_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = json_fields(&body);
    }

    /// A tree of objects and lists survives being flattened.
    #[test]
    fn flattening_round_trips(values in prop::collection::btree_map("[A-Z][a-z]{0,3}", prop::collection::vec("[a-z &=+%录]{0,5}", 1..12), 0..8)) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, list) in &values {
            for (i, value) in list.iter().enumerate() {
                form.append_pair(&format!("{name}.L.{i}"), value);
            }
        }
        let wanted: Value = values.into_iter().map(|(name, list)| (name, json!({ "L": list }))).collect::<Fields>().into();
        prop_assert_eq!(tree(&form.finish()).unwrap(), wanted);
    }
}
