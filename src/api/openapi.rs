//! `/openapi.json`: every action as `POST /<Action>` with a JSON body, described from the same
//! [`super::shape`]s that handlers and answers are held to.
//!
//! Refusals come with HTTP 200 in the vendor's envelope, so an answer is one of two. How a request is
//! signed cannot be said in OpenAPI; its headers are named as keys.

use std::{collections::BTreeMap, sync::OnceLock};

use axum::{http::header, response::IntoResponse};
use serde_json::{Map, Value, json};

use super::{
    ACTIONS, Action, Product,
    error::CODES,
    shape::{Field, Kind, Object},
};

/// The document.
pub async fn serve() -> impl IntoResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str())
}

/// Where an object stands: a request may leave fields out, an answer does not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Answer,
}

/// Collects the schemas of named objects.
#[derive(Default)]
struct Schemas(BTreeMap<String, Value>);

fn document() -> Value {
    let mut schemas = Schemas::default();
    let paths: Map<String, Value> = ACTIONS
        .iter()
        .map(|action| {
            (format!("/{}", action.name), json!({ "post": operation(action, &mut schemas) }))
        })
        .collect();
    let mut components: Map<String, Value> = schemas.0.into_iter().collect();
    components.insert("Refusal".to_owned(), refusal());
    let key = |name: &str| json!({ "type": "apiKey", "in": "header", "name": name });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "liverec",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The vendor's Live (2018-08-01) and VOD (2018-07-17) actions for recording, and this server's own (Liverec...). Requests are signed with TC3-HMAC-SHA256.",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "authorization": [], "timestamp": [] }],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "authorization": key("Authorization"),
                "timestamp": key("X-TC-Timestamp"),
            },
        },
    })
}

fn operation(action: &Action, schemas: &mut Schemas) -> Value {
    let product = match action.product {
        Product::Live => "Live",
        Product::Vod => "Vod",
    };
    let request = schemas.fields(action.shape.parameters, Side::Request);
    let mut answer = schemas.fields(action.shape.answer, Side::Answer);
    answer["properties"]["RequestId"] = json!({ "type": "string", "format": "uuid" });
    if let Some(required) = answer["required"].as_array_mut() {
        required.push("RequestId".into());
    }
    json!({
        "operationId": action.name,
        "tags": [product],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": request } },
        },
        "responses": { "200": {
            "description": "The answer, or why there is none.",
            "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["Response"],
                "additionalProperties": false,
                "properties": { "Response": {
                    "oneOf": [answer, { "$ref": "#/components/schemas/Refusal" }],
                } },
            } } },
        } },
    })
}

fn refusal() -> Value {
    json!({
        "type": "object",
        "required": ["Error", "RequestId"],
        "additionalProperties": false,
        "properties": {
            "RequestId": { "type": "string", "format": "uuid" },
            "Error": {
                "type": "object",
                "required": ["Code", "Message"],
                "additionalProperties": false,
                "properties": {
                    "Code": { "type": "string", "enum": CODES },
                    "Message": { "type": "string", "minLength": 1 },
                },
            },
        },
    })
}

impl Schemas {
    /// The schema of a group of fields.
    fn fields(&mut self, fields: &[Field], side: Side) -> Value {
        let properties: Map<String, Value> =
            fields.iter().map(|field| (field.name.to_owned(), self.field(field, side))).collect();
        let required: Vec<&str> = fields
            .iter()
            .filter(|field| field.is_required || side == Side::Answer)
            .map(|field| field.name)
            .collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    fn field(&mut self, field: &Field, side: Side) -> Value {
        let mut schema = self.kind(field.kind, side);
        if side == Side::Request && field.is_required && matches!(field.kind, Kind::Text) {
            // Empty is as good as absent.
            schema["minLength"] = json!(1);
        }
        match field.is_nullable {
            true => json!({ "anyOf": [schema, { "type": "null" }] }),
            false => schema,
        }
    }

    fn kind(&mut self, kind: Kind, side: Side) -> Value {
        match kind {
            Kind::Text => json!({ "type": "string" }),
            Kind::Integer => json!({ "type": "integer", "format": "int64" }),
            Kind::Unsigned => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
            Kind::Number => json!({ "type": "number" }),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Any => json!({}),
            Kind::List(entries) => json!({ "type": "array", "items": self.kind(*entries, side) }),
            Kind::Object(object) => self.object(object, side),
        }
    }

    fn object(&mut self, object: &Object, side: Side) -> Value {
        let name = match side {
            Side::Request => format!("{}Input", object.name),
            Side::Answer => object.name.to_owned(),
        };
        if !self.0.contains_key(&name) {
            let schema = self.fields(object.fields, side);
            self.0.insert(name.clone(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_and_every_reference_is_there() {
        let document = document();
        assert_eq!(document["paths"].as_object().unwrap().len(), ACTIONS.len());
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
