//! The one noun that the journal knows.

#[path = "../../../../src/domain/ids.rs"]
pub mod ids;
