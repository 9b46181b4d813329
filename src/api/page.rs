//! PageNum and PageSize, as the stream actions have them (spec live-api 14).

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::{
    error::{ApiError, Result},
    params::Params,
};

/// Rows that can be reached by paging through what the database answers.
pub const MAX_REACH: u64 = 10_000;

/// Which rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: u64,
    /// Rows.
    pub size: u64,
}

impl Page {
    /// Reads both; the size is 10 if nothing is said.
    pub fn read(params: &mut Params, sizes: RangeInclusive<u64>) -> Result<Self> {
        let number = params.opt_u64("PageNum")?.unwrap_or(1);
        let size = params.opt_u64("PageSize")?.unwrap_or(10);
        if !sizes.contains(&size) {
            let (least, most) = sizes.into_inner();
            let message = format!("PageSize must be between {least} and {most}.");
            return Err(ApiError::invalid_value(message));
        }
        if number == 0 {
            return Err(ApiError::invalid_value("PageNum must be at least 1."));
        }
        Ok(Self { number, size })
    }

    /// Rows before the page.
    pub fn offset(self) -> u64 {
        (self.number - 1).saturating_mul(self.size)
    }

    /// The part of a list that is the page.
    pub fn of<T>(self, all: &[T]) -> &[T] {
        let from = usize::try_from(self.offset()).unwrap_or(usize::MAX).min(all.len());
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        all.get(from..from.saturating_add(size).min(all.len())).unwrap_or_default()
    }

    /// The answer: `rows` under `name`, and the numbers around them.
    pub fn answer(self, name: &str, total: u64, rows: Vec<Value>) -> Value {
        let mut fields = Map::new();
        fields.insert(name.to_owned(), Value::Array(rows));
        fields.insert("PageNum".to_owned(), json!(self.number));
        fields.insert("PageSize".to_owned(), json!(self.size));
        fields.insert("TotalNum".to_owned(), json!(total));
        fields.insert("TotalPage".to_owned(), json!(total.div_ceil(self.size)));
        Value::Object(fields)
    }
}
