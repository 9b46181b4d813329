//! A publisher of the tests' own over a plain socket, for what ffmpeg cannot be told to do; tags
//! come from an FLV file that ffmpeg made.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use bytes::Bytes;
use liverec::{
    media::tag::{Tag, TagKind},
    rtmp::publisher::{Phase, Publisher, Target},
};

use super::server::PATIENCE;

/// How long to look for bytes that may not come.
const GLANCE: Duration = Duration::from_millis(20);

/// One connection that publishes one stream.
pub struct Pusher {
    socket: TcpStream,
    publisher: Publisher,
    is_closed: bool,
}

impl Pusher {
    /// Connects and asks to publish; see [`Pusher::phase`] for the answer.
    pub fn connect(server: SocketAddr, key: &str, chunk_size: usize) -> Self {
        Self::connect_to(server, "live", &format!("rtmp://{server}/live"), key, chunk_size)
    }

    /// The same with any application and address.
    pub fn connect_to(
        server: SocketAddr,
        app: &str,
        tc_url: &str,
        key: &str,
        chunk_size: usize,
    ) -> Self {
        let target = Target { app: app.to_owned(), tc_url: tc_url.to_owned(), key: key.to_owned() };
        let socket = TcpStream::connect(server).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(GLANCE)).unwrap();
        let mut pusher = Self {
            socket,
            publisher: Publisher::new(target, chunk_size).unwrap(),
            is_closed: false,
        };
        pusher.until(|phase| matches!(phase, Phase::Publishing | Phase::Over { .. }));
        pusher
    }

    /// How far it has come.
    pub fn phase(&self) -> &Phase {
        self.publisher.phase()
    }

    /// Code and description of the refusal.
    pub fn refusal(&self) -> (String, String) {
        match self.phase() {
            Phase::Over { code, description } => (code.clone(), description.clone()),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Must be publishing.
    pub fn accepted(self) -> Self {
        assert_eq!(self.phase(), &Phase::Publishing);
        self
    }

    /// Sends tags as fast as they are taken.
    pub fn send(&mut self, tags: &[Tag]) {
        for tag in tags {
            self.publisher.tag(tag);
            self.flush();
        }
        self.look();
    }

    /// Ends the publish and waits for the server's answer.
    pub fn finish(mut self) {
        self.publisher.finish().unwrap();
        self.until(|phase| matches!(phase, Phase::Over { .. }));
    }

    /// The same for one that the server may have closed already, as when it is stopped.
    pub fn finish_or_find_closed(&mut self) {
        self.publisher.finish().unwrap();
        self.flush();
        let deadline = Instant::now() + PATIENCE;
        while !self.is_closed && !matches!(self.phase(), Phase::Over { .. }) {
            assert!(Instant::now() < deadline, "no answer to the end of the publish");
            self.look();
        }
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Sends nothing more and waits until the server is gone.
    pub fn stay_until_closed(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_closed {
            assert!(Instant::now() < deadline, "the server does not close");
            self.look();
        }
    }

    /// Waits until the server has ended the publish; its words.
    pub fn wait_until_over(&mut self) -> (String, String) {
        self.until(|phase| matches!(phase, Phase::Over { .. }));
        self.refusal()
    }

    fn until(&mut self, is_there: impl Fn(&Phase) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        self.flush();
        while !is_there(self.publisher.phase()) {
            assert!(!self.is_closed, "the server closed the connection at {:?}", self.phase());
            assert!(Instant::now() < deadline, "no answer at {:?}", self.phase());
            self.look();
        }
    }

    /// Reads what is there.
    fn look(&mut self) {
        let mut buffer = [0; 4096];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.is_closed = true,
            Ok(read) => {
                let bytes = Bytes::copy_from_slice(buffer.get(..read).unwrap());
                self.publisher.receive(bytes).unwrap();
                self.flush();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.is_closed = true,
        }
    }

    fn flush(&mut self) {
        let output = self.publisher.take_output();
        if !output.is_empty() && self.socket.write_all(&output).is_err() {
            self.is_closed = true;
        }
    }
}

/// A push in real time beside the test, over and over the same tags with times that go on.
pub struct LivePush {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Tag>>>,
}

impl LivePush {
    /// Begins; the stream is live when this returns.
    pub fn start(mut pusher: Pusher, mut tags: Vec<Tag>) -> Self {
        tags.retain(|tag| !is_end_of_sequence(tag));
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = thread::spawn(move || {
            let begun = Instant::now();
            let length = tags.iter().map(|tag| tag.time_ms).max().unwrap() + 40;
            let mut sent = Vec::new();
            for round in 0.. {
                for tag in &tags {
                    // Headers are sent once, as encoders do.
                    if round > 0 && is_header(tag) {
                        continue;
                    }
                    let tag = Tag { time_ms: tag.time_ms + round * length, ..tag.clone() };
                    let due = Duration::from_millis(u64::try_from(tag.time_ms).unwrap());
                    sleep(due.saturating_sub(begun.elapsed()));
                    if flag.load(Ordering::Relaxed) || pusher.is_closed {
                        pusher.finish_or_find_closed();
                        return sent;
                    }
                    pusher.publisher.tag(&tag);
                    pusher.flush();
                    sent.push(tag);
                }
            }
            sent
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends the push; everything that was sent.
    pub fn stop(mut self) -> Vec<Tag> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for LivePush {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Script data, sequence headers and ends of sequence: everything that is no frame.
pub fn is_header(tag: &Tag) -> bool {
    match tag.kind {
        TagKind::Script => true,
        TagKind::Audio => tag.payload.starts_with(&[0xAF, 0]),
        TagKind::Video => tag.payload.get(1).is_some_and(|kind| *kind != 1),
    }
}

fn is_end_of_sequence(tag: &Tag) -> bool {
    tag.kind == TagKind::Video && tag.payload.get(1) == Some(&2)
}

/// Whether a tag is an H.264 key frame.
pub fn is_keyframe(tag: &Tag) -> bool {
    tag.kind == TagKind::Video && tag.payload.starts_with(&[0x17, 1])
}

/// The tags of an FLV file.
pub fn read_tags(path: &Path) -> Vec<Tag> {
    parse_tags(&std::fs::read(path).unwrap())
}

/// The tags of the bytes of an FLV file; times are the 32 bits of the file.
pub fn parse_tags(file: &[u8]) -> Vec<Tag> {
    assert!(file.starts_with(b"FLV\x01"), "not FLV");
    let mut rest = &file[13..];
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        let time = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
        tags.push(Tag {
            kind: TagKind::from_byte(rest[0]).unwrap(),
            time_ms: time.into(),
            payload: Bytes::copy_from_slice(&rest[11..11 + length]),
        });
        let previous = u32::from_be_bytes(rest[11 + length..15 + length].try_into().unwrap());
        assert_eq!(previous as usize, 11 + length, "PreviousTagSize");
        rest = &rest[15 + length..];
    }
    tags
}
