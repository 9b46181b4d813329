//! What each action takes and answers: names and types of parameters and fields.
//!
//! One description for three uses: [`super::openapi`] publishes it, [`super::params`] lets a handler
//! read nothing that is not in it, and debug builds compare every answer with it. Ranges and rules
//! between parameters are the handlers'.

pub mod audit;
pub mod callback_log;
pub mod callback_rule;
pub mod callback_template;
pub mod delivery_state;
pub mod doctor;
pub mod domain_limits;
pub mod explain;
pub mod forbidden_stream;
pub mod live_record;
pub mod media_file;
pub mod push_auth_key;
pub mod push_domain;
pub mod record_rule;
pub mod record_task;
pub mod record_template;
pub mod recording;
pub mod session;
pub mod stream;
pub mod verify;

use serde_json::{Map, Value};

/// Type of a value.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A whole number that is not negative.
    Unsigned,
    /// A number.
    Number,
    /// true or false.
    Flag,
    /// A group of fields.
    Object(&'static Object),
    /// Values of one type.
    List(&'static Kind),
    /// Whatever it is.
    Any,
}

/// A parameter of a request or a field of an answer.
#[derive(Debug)]
pub struct Field {
    /// On the wire.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// As a parameter: must be given. As a field: is always there.
    pub is_required: bool,
    /// As a field: may be null.
    pub is_nullable: bool,
}

/// A group of fields with a name, the vendor's where it has one.
#[derive(Debug)]
pub struct Object {
    /// Its name in the document.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// One action.
#[derive(Debug)]
pub struct Shape {
    /// What it takes.
    pub parameters: &'static [Field],
    /// What it answers beside the RequestId.
    pub answer: &'static [Field],
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: false, is_nullable: false }
}

const fn text(name: &'static str) -> Field {
    field(name, Kind::Text)
}

const fn int(name: &'static str) -> Field {
    field(name, Kind::Integer)
}

const fn uint(name: &'static str) -> Field {
    field(name, Kind::Unsigned)
}

const fn number(name: &'static str) -> Field {
    field(name, Kind::Number)
}

const fn flag(name: &'static str) -> Field {
    field(name, Kind::Flag)
}

const fn any(name: &'static str) -> Field {
    field(name, Kind::Any)
}

const fn object(name: &'static str, object: &'static Object) -> Field {
    field(name, Kind::Object(object))
}

const fn list(name: &'static str, entries: &'static Kind) -> Field {
    field(name, Kind::List(entries))
}

impl Field {
    /// Of a parameter: it must be given.
    const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    /// Of a field: it may be null.
    const fn nullable(self) -> Self {
        Self { is_nullable: true, ..self }
    }
}

impl Kind {
    /// The fields of an object, or of each object in a list.
    pub fn fields(self) -> Option<&'static [Field]> {
        match self {
            Kind::Object(object) => Some(object.fields),
            Kind::List(entries) => entries.fields(),
            _ => None,
        }
    }
}

impl Shape {
    /// Compares an answer with what is described.
    ///
    /// # Errors
    /// The first difference, in words.
    pub fn check(&self, answer: &Value) -> Result<(), String> {
        let fields = answer.as_object().ok_or("the answer is no object")?;
        check_fields(self.answer, fields, "")
    }
}

fn check_fields(described: &[Field], found: &Map<String, Value>, at: &str) -> Result<(), String> {
    for name in found.keys() {
        if !described.iter().any(|field| field.name == name) {
            return Err(format!("{at}{name} is not described"));
        }
    }
    for field in described {
        let at = format!("{at}{}", field.name);
        match found.get(field.name) {
            None => return Err(format!("{at} is missing")),
            Some(Value::Null) if field.is_nullable => {}
            Some(value) => check(field.kind, value, &at)?,
        }
    }
    Ok(())
}

fn check(kind: Kind, value: &Value, at: &str) -> Result<(), String> {
    let is_right = match (kind, value) {
        (Kind::Any, _)
        | (Kind::Text, Value::String(_))
        | (Kind::Flag, Value::Bool(_))
        | (Kind::Number, Value::Number(_)) => true,
        (Kind::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
        (Kind::Unsigned, Value::Number(number)) => number.is_u64(),
        (Kind::Object(object), Value::Object(found)) => {
            return check_fields(object.fields, found, &format!("{at}."));
        }
        (Kind::List(entries), Value::Array(values)) => {
            for (index, value) in values.iter().enumerate() {
                check(*entries, value, &format!("{at}.{index}"))?;
            }
            true
        }
        _ => false,
    };
    if is_right { Ok(()) } else { Err(format!("{at} is {value}, which is no {kind:?}")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static INNER: Object = Object { name: "Inner", fields: &[uint("N")] };
    static SHAPE: Shape = Shape {
        parameters: &[],
        answer: &[text("T").nullable(), list("L", &Kind::Object(&INNER))],
    };

    #[test]
    fn differences_are_named() {
        let told = |answer| SHAPE.check(&answer).err().unwrap_or_default();
        assert_eq!(told(json!({ "T": null, "L": [{ "N": 1 }] })), "");
        assert_eq!(told(json!({ "T": 1, "L": [] })), "T is 1, which is no Text");
        assert_eq!(told(json!({ "T": "" })), "L is missing");
        assert_eq!(told(json!({ "T": "", "L": [], "X": 1 })), "X is not described");
        let negative = told(json!({ "T": "", "L": [{ "N": 1 }, { "N": -1 }] }));
        assert_eq!(negative, "L.1.N is -1, which is no Unsigned");
    }
}
