//! A publishing RTMP client on a blocking socket: pushes exactly the tags a test gives it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use bytes::Bytes;
use liverec::{
    media::tag::{Tag, TagKind},
    rtmp::publisher::{Phase, Publisher, Target},
};

/// Nothing takes so long unless something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to push, and how.
#[derive(Debug, Clone)]
pub struct Push {
    /// The server's RTMP address.
    pub server: SocketAddr,
    /// Host in `tcUrl`.
    pub host: String,
    /// Application.
    pub app: String,
    /// Stream name and parameters.
    pub key: String,
    /// Chunk size, 1 to 16777215.
    pub chunk_size: usize,
}

impl Push {
    /// To the default domain, in chunks as OBS sends them.
    pub fn new(server: SocketAddr, app: &str, key: &str) -> Self {
        let host = server.ip().to_string();
        Self { server, host, app: app.to_owned(), key: key.to_owned(), chunk_size: 4096 }
    }

    /// Connects and publishes.
    ///
    /// # Errors
    /// Code and description of the server's refusal.
    ///
    /// # Panics
    /// If the server says nothing or closes the connection.
    pub fn start(&self) -> Result<Pushing, (String, String)> {
        let target = Target {
            app: self.app.clone(),
            tc_url: format!("rtmp://{}:{}/{}", self.host, self.server.port(), self.app),
            key: self.key.clone(),
        };
        let stream = TcpStream::connect(self.server).expect("connect to the server");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let publisher = Publisher::new(target, self.chunk_size).unwrap();
        let mut pushing = Pushing { stream, publisher };
        loop {
            match pushing.publisher.phase().clone() {
                Phase::Publishing => return Ok(pushing),
                Phase::Over { code, description } => return Err((code, description)),
                _ => assert!(pushing.exchange(), "the server closed the connection without a word"),
            }
        }
    }
}

/// An accepted push. Dropped, it breaks off without a word.
pub struct Pushing {
    stream: TcpStream,
    publisher: Publisher,
}

impl Pushing {
    /// Sends tags at once, as fast as the server takes them.
    pub fn send<'a>(&mut self, tags: impl IntoIterator<Item = &'a Tag>) {
        for tag in tags {
            self.publisher.tag(tag);
            self.stream.write_all(&self.publisher.take_output()).expect("send to the server");
        }
    }

    /// Sends tags at the times they carry, `speed` times as fast as real time.
    pub fn send_paced<'a>(&mut self, tags: impl IntoIterator<Item = &'a Tag>, speed: f64) {
        let mut origin = None;
        for tag in tags {
            let (begun, first_ms) = *origin.get_or_insert((Instant::now(), tag.time_ms));
            let due_ms = (tag.time_ms - first_ms).max(0) as f64 / speed;
            std::thread::sleep(
                Duration::from_secs_f64(due_ms / 1000.0).saturating_sub(begun.elapsed()),
            );
            self.send([tag]);
        }
    }

    /// Ends the push in good order and waits until the server has confirmed it.
    pub fn finish(mut self) {
        self.publisher.finish().unwrap();
        while !matches!(self.publisher.phase(), Phase::Over { .. }) && self.exchange() {}
        self.close();
    }

    /// Closes the connection without ending the push.
    pub fn close(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        // With something unread in it, the socket would be reset instead.
        while self.exchange() {}
    }

    /// Waits until the server ends the push; gives its words.
    pub fn wait_for_end(mut self) -> (String, String) {
        loop {
            if let Phase::Over { code, description } = self.publisher.phase() {
                return (code.clone(), description.clone());
            }
            assert!(self.exchange(), "the server closed the connection without a word");
        }
    }

    /// Sends what is to be sent, receives once; false when the server has closed.
    fn exchange(&mut self) -> bool {
        let _ = self.stream.write_all(&self.publisher.take_output());
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.publisher.receive(Bytes::copy_from_slice(&buffer[..read])).unwrap();
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("the server does not answer: {error}"),
        }
    }
}

/// The tags of an FLV file, in order.
///
/// # Panics
/// If it is not one, or cut short.
pub fn flv_tags(file: &[u8]) -> Vec<Tag> {
    assert_eq!(&file[..3], b"FLV");
    let mut rest = &file[13..];
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte));
        let length = number(&rest[1..4]) as usize;
        let time_ms = i64::from(number(&rest[4..7]) | u32::from(rest[7]) << 24);
        let kind = TagKind::from_byte(rest[0]).expect("an FLV tag type");
        tags.push(Tag { kind, time_ms, payload: Bytes::copy_from_slice(&rest[11..11 + length]) });
        rest = &rest[11 + length + 4..];
    }
    tags
}
