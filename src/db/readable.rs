//! Rows that this version cannot read: told of, and left out where the others must not suffer.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use sqlx::any::AnyRow;

use super::{DbError, Result};

/// What was told already: the rows are read again and again.
static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// Kept of that.
const MAX_TOLD: usize = 1000;

/// Every row that can be read. Whatever else goes wrong is an error.
pub(super) fn readable<T>(rows: &[AnyRow], read: impl Fn(&AnyRow) -> Result<T>) -> Result<Vec<T>> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        match read(row) {
            Ok(one) => found.push(one),
            Err(error @ DbError::Row { .. }) => tell(&error),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn tell(error: &DbError) {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() < MAX_TOLD && told.insert(error.to_string()) {
        tracing::warn!(%error, "a row is left out");
    }
}
