//! A disk that will not read for a while, or let a journal be recovered: it is asked again.

use super::{assert_holds, assert_nothing_left, files_of, live, shim};
use crate::support::{
    ffmpeg::Codecs,
    pushing::{Source, journaled_frames},
    receiver::{Receiver, SIGN_KEY},
    server::{Backend, Server, eventually},
};

#[test]
fn what_cannot_be_read_or_recovered_is_tried_again() {
    let shim = shim::Shim::build();
    let own = shim.settings();
    let mut server = Server::start(Backend::Plain, &shim::with(&own, &[]));
    server.expect("the journal of a session cannot be read; trying again");
    server.expect("a journal cannot be recovered yet; trying again");
    let receiver = Receiver::start();
    server.record("live", "", &["Flv", "Mp4"], 7200);
    server.call_back(&receiver.url(), SIGN_KEY);
    let source = Source::make(&server, Codecs::H264Aac, 4);

    let unread = "load /00000001.flv$ EIO 2 0";
    shim.set(unread);
    let (push, _) = live(&server, "a", &source.tags);
    server.logs.wait_for("the journal of a session cannot be read; trying again");
    eventually("frames in the journal", || (journaled_frames(&server).len() >= 20).then_some(()));
    let sent = push.stop();
    assert_holds(&server, &files_of(&receiver, "a", 2), &sent, None);
    server.logs.wait_for("the journal of a session could be read again");

    let (push, _) = live(&server, "b", &source.tags);
    receiver.wait_for(1, 2);
    std::thread::sleep(std::time::Duration::from_secs(2));
    server.kill();
    let full = "open .idx.new ENOSPC 2 0";
    shim.set(full);
    server.launch();
    let sent = push.stop();
    assert_holds(&server, &files_of(&receiver, "b", 2), &sent, Some(1));
    server.logs.wait_for("a journal could be recovered after all");
    assert_nothing_left(&server);
    let calls = shim.calls();
    assert_eq!((shim::met(&calls, unread), shim::met(&calls, full)), (2, 2));
}
