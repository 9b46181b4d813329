//! A typed reader over the parameters of one action.
//!
//! Whatever shape they came in (JSON, flattened query or form, multipart), they are one tree here.
//! null, the empty text and absence are the same thing (spec live-api 18.1); scalars are coerced
//! leniently (spec live-api 1.2), since flattened requests know only text. A handler reads what it
//! knows and calls [`Params::finish`], which refuses what is left.

use serde_json::{Map, Value};

use super::{
    error::{ApiError, Result, shown},
    shape::Field,
};

/// The tree of one request.
pub type Fields = Map<String, Value>;

/// How the tree is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Whether [`Params::finish`] refuses unread parameters (`api.unknown_parameters`).
    pub rejects_unknown: bool,
    /// Whether lists and objects may stand as JSON text (multipart parts).
    pub has_json_text: bool,
}

/// Parameters not read yet, of the request or of one object in it.
#[derive(Debug, Clone)]
pub struct Params {
    fields: Fields,
    path: String,
    reading: Reading,
    /// What may be read.
    described: &'static [Field],
}

impl Params {
    /// A reader over the whole request, which has the parameters that are `described`.
    pub fn new(fields: Fields, reading: Reading, described: &'static [Field]) -> Self {
        Self { fields, path: String::new(), reading, described }
    }

    /// The fields of a parameter that is an object or a list of objects. A handler that reads what is
    /// not described is a mistake of ours, which tests find.
    fn inner(&self, name: &str) -> &'static [Field] {
        let field = self.described.iter().find(|field| field.name == name);
        debug_assert!(field.is_some(), "{} is not described in api::shape", self.name_of(name));
        field.and_then(|field| field.kind.fields()).unwrap_or_default()
    }

    /// The full name of a parameter, as error messages give it: `Mp4Param.Enable`.
    pub fn name_of(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.inner(name);
        self.fields.remove(name).filter(|v| !is_absent(v))
    }

    fn read<T>(
        &mut self,
        name: &str,
        wanted: &str,
        convert: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match convert(value) {
                Some(read) => Ok(Some(read)),
                None => Err(ApiError::wrong_type(&self.name_of(name), wanted)),
            },
        }
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| ApiError::missing(&self.name_of(name)))
    }

    /// A text that may be absent.
    pub fn opt_str(&mut self, name: &str) -> Result<Option<String>> {
        let text = self.read(name, "a string", to_text)?;
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            // No name and no text of anybody's has one, and PostgreSQL keeps none.
            let what = format!("{} holds a NUL character.", self.name_of(name));
            return Err(ApiError::invalid_value(what));
        }
        Ok(text)
    }

    /// A text that must be there and not empty.
    pub fn req_str(&mut self, name: &str) -> Result<String> {
        let value = self.opt_str(name)?;
        self.required(name, value)
    }

    /// A signed integer that may be absent.
    pub fn opt_i64(&mut self, name: &str) -> Result<Option<i64>> {
        self.read(name, "an integer", |v| to_i64(&v))
    }

    /// A signed integer that must be there.
    pub fn req_i64(&mut self, name: &str) -> Result<i64> {
        let value = self.opt_i64(name)?;
        self.required(name, value)
    }

    /// An unsigned integer that may be absent.
    pub fn opt_u64(&mut self, name: &str) -> Result<Option<u64>> {
        self.read(name, "an unsigned integer", |v| to_u64(&v))
    }

    /// An unsigned integer that must be there.
    pub fn req_u64(&mut self, name: &str) -> Result<u64> {
        let value = self.opt_u64(name)?;
        self.required(name, value)
    }

    /// A number that may be absent; never infinite.
    pub fn opt_f64(&mut self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", |v| to_f64(&v))
    }

    /// A truth value that may be absent: a JSON bool, 0, 1, or `true`/`false` in any case.
    pub fn opt_bool(&mut self, name: &str) -> Result<Option<bool>> {
        self.read(name, "a boolean", |v| to_bool(&v))
    }

    /// A flag as the vendor sends it, 0 or 1, that may be absent.
    pub fn opt_flag(&mut self, name: &str) -> Result<Option<bool>> {
        match self.opt_i64(name)? {
            None => Ok(None),
            Some(0) => Ok(Some(false)),
            Some(1) => Ok(Some(true)),
            Some(_) => {
                let name = self.name_of(name);
                Err(ApiError::invalid_value(format!("{name} must be 0 or 1.")))
            }
        }
    }

    /// A nested object that may be absent. The caller finishes it.
    pub fn opt_object(&mut self, name: &str) -> Result<Option<Params>> {
        let (json, described) = (self.reading.has_json_text, self.inner(name));
        let fields = self.read(name, "an object", |v| match from_json_text(v, json) {
            Value::Object(fields) => Some(fields),
            _ => None,
        })?;
        Ok(fields.map(|fields| Params {
            fields,
            path: format!("{}{name}.", self.path),
            reading: self.reading,
            described,
        }))
    }

    /// A list of texts of at most `max` entries that may be absent; an empty list is not absent.
    pub fn opt_list_str(&mut self, name: &str, max: usize) -> Result<Option<Vec<String>>> {
        self.list(name, max, "a list of strings", to_text)
    }

    /// A list of signed integers of at most `max` entries that may be absent.
    pub fn opt_list_i64(&mut self, name: &str, max: usize) -> Result<Option<Vec<i64>>> {
        self.list(name, max, "a list of integers", |v| to_i64(&v))
    }

    /// A list of unsigned integers of at most `max` entries that may be absent.
    pub fn opt_list_u64(&mut self, name: &str, max: usize) -> Result<Option<Vec<u64>>> {
        self.list(name, max, "a list of unsigned integers", |v| to_u64(&v))
    }

    /// A list of objects of at most `max` entries that may be absent. The caller finishes each.
    pub fn opt_list_object(&mut self, name: &str, max: usize) -> Result<Option<Vec<Params>>> {
        let (reading, prefix, described) = (self.reading, self.name_of(name), self.inner(name));
        let list = self.list(name, max, "a list of objects", |v| match v {
            Value::Object(fields) => Some(fields),
            _ => None,
        })?;
        Ok(list.map(|list| {
            let params =
                |(i, fields)| Params { fields, path: format!("{prefix}.{i}."), reading, described };
            list.into_iter().enumerate().map(params).collect()
        }))
    }

    fn list<T>(
        &mut self,
        name: &str,
        max: usize,
        wanted: &str,
        convert: impl Fn(Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let json = self.reading.has_json_text;
        let values = self.read(name, wanted, |v| match from_json_text(v, json) {
            Value::Array(values) => Some(values),
            _ => None,
        })?;
        let Some(values) = values else {
            return Ok(None);
        };
        if values.len() > max {
            return Err(ApiError::invalid_value(format!(
                "The parameter `{}` has {} entries, at most {max} are allowed.",
                self.name_of(name),
                values.len()
            )));
        }
        let list: Option<Vec<T>> = values.into_iter().map(convert).collect();
        match list {
            Some(list) => Ok(Some(list)),
            None => Err(ApiError::wrong_type(&self.name_of(name), wanted)),
        }
    }

    /// Documented parameters that are accepted in any shape and have no effect here.
    pub fn accept(&mut self, names: &[&str]) {
        for name in names {
            self.inner(name);
            self.fields.remove(*name);
        }
    }

    /// True when a parameter is there with a value; it is not read by this.
    pub fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|v| !is_absent(v))
    }

    /// Refuses parameters that nobody read, unless `api.unknown_parameters` is `ignore`.
    pub fn finish(self) -> Result<()> {
        if !self.reading.rejects_unknown {
            return Ok(());
        }
        match self.fields.iter().find(|(_, v)| !is_absent(v)) {
            Some((name, _)) => Err(ApiError::unknown(&self.name_of(&shown(name)))),
            None => Ok(()),
        }
    }
}

fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn from_json_text(value: Value, has_json_text: bool) -> Value {
    match value {
        Value::String(text) if has_json_text => {
            super::decode::json_value(text.as_bytes()).unwrap_or(Value::Null)
        }
        other => other,
    }
}

fn to_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn to_i64(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn to_u64(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn to_f64(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        _ => None,
    }
}

fn to_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(bool) => Some(*bool),
        Value::Number(number) => match number.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::shape::{Kind, Object};

    const fn of(name: &'static str, kind: Kind) -> Field {
        Field { name, kind, is_required: false, is_nullable: false }
    }

    static NESTED: Object =
        Object { name: "Nested", fields: &[of("D", Kind::Any), of("Known", Kind::Any)] };
    static DESCRIBED: &[Field] = &[
        of("A", Kind::Any),
        of("B", Kind::Any),
        of("C", Kind::Object(&NESTED)),
        of("E", Kind::Any),
        of("L", Kind::Any),
        of("List", Kind::List(&Kind::Object(&NESTED))),
        of("Z", Kind::Any),
        of("b", Kind::Any),
        of("c", Kind::Any),
        of("d", Kind::Any),
        of("f", Kind::Any),
        of("i", Kind::Any),
        of("n", Kind::Any),
        of("o", Kind::Any),
        of("s", Kind::Any),
        of("u", Kind::Any),
        of("x", Kind::Any),
        of("y", Kind::Any),
    ];

    fn params(value: Value) -> Params {
        let Value::Object(fields) = value else { panic!("not an object") };
        let reading = Reading { rejects_unknown: true, has_json_text: false };
        Params::new(fields, reading, DESCRIBED)
    }

    #[test]
    fn no_text_holds_a_nul() {
        let mut p = params(serde_json::json!({ "A": "a\0" }));
        assert!(refusal(p.opt_str("A")).contains("A holds a NUL"));
    }

    fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn null_empty_and_absent_are_the_same() {
        let mut p = params(serde_json::json!({ "A": null, "B": "", "C": { "D": "" }, "E": [] }));
        assert!(!p.has("A") && !p.has("B") && p.has("C"));
        assert_eq!(p.opt_str("A").unwrap(), None);
        assert_eq!(p.opt_i64("B").unwrap(), None);
        assert_eq!(
            refusal(p.req_str("Z")),
            "MissingParameter: The request is missing a required parameter `Z`."
        );
        let mut c = p.opt_object("C").unwrap().unwrap();
        assert_eq!(
            refusal(c.req_u64("D")),
            "MissingParameter: The request is missing a required parameter `C.D`."
        );
        assert_eq!(p.opt_list_str("E", 3).unwrap(), Some(Vec::new()));
        p.finish().unwrap();
        params(serde_json::json!({ "Unknown": null })).finish().unwrap();
    }

    #[test]
    fn scalars_are_coerced_and_types_are_checked() {
        let mut p = params(serde_json::json!({
            "i": "-5", "u": 18446744073709551615u64, "b": "True", "c": 1, "d": "2", "s": 12, "f": "0.5", "n": "NaN", "x": [1, "2"], "y": ["a", []], "o": "{}"
        }));
        assert_eq!(p.req_i64("i").unwrap(), -5);
        assert_eq!(p.req_u64("u").unwrap(), u64::MAX);
        assert_eq!(p.opt_bool("b").unwrap(), Some(true));
        assert_eq!(p.opt_bool("c").unwrap(), Some(true));
        assert!(refusal(p.opt_bool("d")).contains("`d`"));
        assert_eq!(p.req_str("s").unwrap(), "12");
        assert_eq!(p.opt_f64("f").unwrap(), Some(0.5));
        assert!(p.opt_f64("n").is_err());
        assert_eq!(p.opt_list_i64("x", 2).unwrap(), Some(vec![1, 2]));
        assert!(p.opt_list_str("y", 2).is_err());
        assert!(p.opt_object("o").is_err());
        p.finish().unwrap();
    }

    #[test]
    fn what_nobody_read_is_named() {
        let mut p = params(serde_json::json!({ "List": [{ "Known": 1, "Other": 2 }] }));
        let mut list = p.opt_list_object("List", 1).unwrap().unwrap();
        let mut first = list.remove(0);
        assert_eq!(first.req_i64("Known").unwrap(), 1);
        assert_eq!(
            refusal(first.finish()),
            "UnknownParameter: The parameter `List.0.Other` is not recognized."
        );
        let mut p = params(serde_json::json!({ "L": [1, 2, 3] }));
        assert!(refusal(p.opt_list_i64("L", 2)).starts_with("InvalidParameterValue"));
    }
}
