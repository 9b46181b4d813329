//! A journal whose own head is spoilt when the server starts.

use std::fs;

use crate::{
    support::{pushing::journal_files, server::BACKENDS},
    verbatim::FORMATS,
};

use super::{SERVER_STOPPED, assert_holds, half_pushed, told};

/// What the journal itself says of its session cannot be read any more, but the rows know it.
#[test]
fn a_journal_with_a_spoilt_head_is_followed_by_its_rows() {
    for backend in BACKENDS {
        let (mut server, receiver, source, sent) = half_pushed(backend, 700);
        server.kill();
        let first = journal_files(&server).remove(0);
        let mut bytes = fs::read(&first).unwrap();
        let head = bytes.windows(9).position(|window| window == b"node_id\\\"").unwrap();
        bytes[head] = b'x';
        fs::write(&first, bytes).unwrap();
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        assert_holds(&server, &files, &source, &sent);
    }
}
