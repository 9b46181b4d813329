//! The nouns that the journal knows.

#[path = "../../../../src/domain/ids.rs"]
pub mod ids;
#[path = "../../../../src/domain/stall.rs"]
pub mod stall;
