//! The envelope around every answer (spec live-api 4).
//!
//! Always HTTP 200 and `Content-Type: application/json` without a charset: official clients look
//! for errors only under exactly these, and fail without a RequestId.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use serde_json::{Value, json};

use super::error::ApiError;

/// The answer of an action that was carried out; `fields` is an object.
pub fn success(fields: Value, request_id: &str) -> Response {
    let mut fields = match fields {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    fields.insert("RequestId".to_owned(), request_id.into());
    respond(&json!({ "Response": fields }))
}

/// The answer of an action that was not carried out.
pub fn failure(error: &ApiError, request_id: &str) -> Response {
    let error = json!({ "Code": error.code(), "Message": error.public_message() });
    respond(&json!({ "Response": { "Error": error, "RequestId": request_id } }))
}

fn respond(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
