//! From the shapes parameters come in (flattened query or form, JSON, multipart) to one tree.
//!
//! Every shape is bounded in count and depth before a tree is built (spec live-api 1.2).

use std::collections::{BTreeMap, HashSet};

use axum::body::Bytes;
use serde_json::Value;

use super::{
    error::{ApiError, Result, shown},
    params::Fields,
};

/// Most pairs in a query or form, and parts in a multipart body.
const MAX_PAIRS: usize = 2000;
/// Most commas and brackets in a JSON body.
const MAX_JSON_NODES: usize = 20_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 24;

/// Splits a query or a form into decoded pairs. A name given twice is refused: which of the two was
/// signed would depend on the reader.
pub fn form_pairs(text: &str) -> Result<Vec<(String, String)>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.split('&').take(MAX_PAIRS + 1).count() > MAX_PAIRS {
        return Err(ApiError::invalid(format!(
            "The request has more than {MAX_PAIRS} parameters."
        )));
    }
    if text.split('&').any(|pair| !pair.contains('=')) {
        return Err(ApiError::invalid("Url key and value should be splited by `=`."));
    }
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    let mut names = HashSet::new();
    match pairs.iter().find(|(name, _)| !names.insert(name.as_str())) {
        Some((name, _)) => {
            Err(ApiError::invalid(format!("The parameter `{}` is given twice.", shown(name))))
        }
        None => Ok(pairs),
    }
}

/// A node of the tree that flattened names spell out.
enum Node {
    Leaf(String),
    Inner(BTreeMap<String, Node>),
}

/// Builds the tree from flattened names such as `Mp4Param.Enable` and `Levels.0`. The indexes of a
/// list must be 0, 1, 2, ... without a gap.
pub fn unflatten(pairs: Vec<(String, String)>) -> Result<Fields> {
    let mut root = BTreeMap::new();
    for (name, value) in pairs {
        if name.split('.').take(MAX_DEPTH + 1).count() > MAX_DEPTH {
            return Err(ApiError::invalid(format!(
                "The parameter `{}` is nested too deeply.",
                shown(&name)
            )));
        }
        insert(&mut root, &name, value)
            .map_err(|why| ApiError::invalid(format!("The parameter `{}` {why}.", shown(&name))))?;
    }
    let mut fields = Fields::new();
    for (name, node) in root {
        let value = to_value(node).map_err(|()| {
            ApiError::invalid(format!(
                "The indexes of the parameter `{}` must count up from 0.",
                shown(&name)
            ))
        })?;
        fields.insert(name, value);
    }
    Ok(fields)
}

fn insert(
    root: &mut BTreeMap<String, Node>,
    name: &str,
    value: String,
) -> std::result::Result<(), &'static str> {
    let mut level = root;
    let mut rest = name;
    while let Some((segment, tail)) = rest.split_once('.') {
        let node = level.entry(segment.to_owned()).or_insert_with(|| Node::Inner(BTreeMap::new()));
        level = match node {
            Node::Inner(inner) => inner,
            Node::Leaf(_) => return Err("has a value and members at the same time"),
        };
        rest = tail;
    }
    match level.insert(rest.to_owned(), Node::Leaf(value)) {
        None => Ok(()),
        Some(Node::Leaf(_)) => Err("is given twice"),
        Some(Node::Inner(_)) => Err("has a value and members at the same time"),
    }
}

fn to_value(node: Node) -> std::result::Result<Value, ()> {
    let inner = match node {
        Node::Leaf(text) => return Ok(Value::String(text)),
        Node::Inner(inner) => inner,
    };
    let is_index = |name: &String| name.bytes().all(|b| b.is_ascii_digit());
    if !inner.keys().all(is_index) {
        return inner
            .into_iter()
            .map(|(name, node)| Ok((name, to_value(node)?)))
            .collect::<std::result::Result<_, _>>()
            .map(Value::Object);
    }
    let mut list: Vec<Option<Node>> = Vec::new();
    list.resize_with(inner.len(), || None);
    for (name, node) in inner {
        // An index at or beyond the number of entries means a gap, or an attempt to make a huge list.
        let index: usize = name.parse().ok().filter(|i: &usize| i.to_string() == name).ok_or(())?;
        *list.get_mut(index).ok_or(())? = Some(node);
    }
    list.into_iter()
        .map(|node| to_value(node.ok_or(())?))
        .collect::<std::result::Result<_, _>>()
        .map(Value::Array)
}

/// The parameters of a JSON body; an empty body has none.
pub fn json_fields(body: &[u8]) -> Result<Fields> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Fields::new());
    }
    match json_value(body)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(ApiError::new("InvalidRequest", "The request body must be a JSON object.")),
    }
}

/// Parses JSON text of bounded size.
pub fn json_value(text: &[u8]) -> Result<Value> {
    check_json_shape(text)?;
    serde_json::from_slice(text).map_err(|e| {
        ApiError::new("InvalidRequest", format!("The request body is not valid JSON: {e}."))
    })
}

/// Counts what would become nodes before they are made: a small text can hold millions.
fn check_json_shape(text: &[u8]) -> Result<()> {
    let (mut nodes, mut depth, mut is_text, mut is_escaped) = (0_usize, 0_usize, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'[' | b'{' => {
                nodes += 1;
                depth += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => nodes += 1,
            _ => {}
        }
        if nodes > MAX_JSON_NODES || depth > MAX_DEPTH {
            return Err(ApiError::new(
                "InvalidRequest",
                "The request body has too many values or is nested too deeply.",
            ));
        }
    }
    Ok(())
}

/// The parameters of a multipart body: one part for each, lists and objects as JSON text.
pub async fn multipart_fields(content_type: &str, body: Bytes) -> Result<Fields> {
    let odd = |e: multer::Error| {
        ApiError::new("InvalidRequest", format!("The multipart body is not valid: {e}."))
    };
    let boundary = multer::parse_boundary(content_type).map_err(odd)?;
    let whole =
        futures_util::stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(body)));
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut fields = Fields::new();
    while let Some(part) = parts.next_field().await.map_err(odd)? {
        let Some(name) = part.name().map(str::to_owned) else {
            return Err(ApiError::new(
                "InvalidRequest",
                "A part of the multipart body has no name.",
            ));
        };
        let bytes = part.bytes().await.map_err(odd)?;
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Err(ApiError::invalid(format!(
                "The parameter `{}` is not UTF-8 text.",
                shown(&name)
            )));
        };
        if fields.len() >= MAX_PAIRS {
            return Err(ApiError::invalid(format!(
                "The request has more than {MAX_PAIRS} parameters."
            )));
        }
        let twice = ApiError::invalid(format!("The parameter `{}` is given twice.", shown(&name)));
        if fields.insert(name, Value::String(text.to_owned())).is_some() {
            return Err(twice);
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests;
