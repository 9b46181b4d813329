//! One function for each target.

pub mod amf0;
pub mod chunk_reader;
pub mod config;
pub mod flv_tag;
pub mod frame_head;
pub mod journal_index;
pub mod journal_recovery;
pub mod session;

/// Takes the first byte off; 0 if there is none.
fn first(data: &mut &[u8]) -> u8 {
    match data.split_first() {
        Some((first, rest)) => {
            *data = rest;
            *first
        }
        None => 0,
    }
}

/// Asserts that the shorter list is the beginning of the longer one, and that there is no longer
/// one if both came to their end.
fn assert_same<T: PartialEq + std::fmt::Debug>(
    (whole, whole_ended): (&[T], bool),
    (pieces, pieces_ended): (&[T], bool),
) {
    let both = whole.len().min(pieces.len());
    assert_eq!(whole[..both], pieces[..both], "depends on how the bytes are cut");
    if whole_ended && pieces_ended {
        assert_eq!(whole.len(), pieces.len(), "depends on how the bytes are cut");
    }
}
