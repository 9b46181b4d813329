//! What an independent demuxer (PyAV) finds in a product, and whether it is what was pushed.
//!
//! Payloads are compared in the form that all containers share (`packets.py`), times as a player
//! sees them: after one constant shift per file, the same for pictures and sound.

use serde::Deserialize;

use super::{python, run};

/// Ticks in a millisecond.
pub const TICKS_PER_MS: i64 = 90;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Packet {
    /// `video` or `audio`.
    pub kind: String,
    /// `h264`, `hevc` or `aac`.
    pub codec: String,
    /// Presentation time in ticks of 90 kHz.
    pub pts: Option<i64>,
    /// Decoding time in ticks of 90 kHz.
    pub dts: Option<i64>,
    /// Whether decoding can begin here.
    pub key: bool,
    /// SHA-256 of the payload.
    pub hash: String,
}

/// The packets of a file or URL, each track in its own order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packets {
    /// Pictures.
    pub video: Vec<Packet>,
    /// Sound.
    pub audio: Vec<Packet>,
}

impl Packets {
    /// Demultiplexes a file or URL.
    pub fn of(input: &str) -> Self {
        let text = String::from_utf8(run(python::script("packets.py").arg(input))).unwrap();
        let mut packets = Self::default();
        for line in text.lines() {
            let packet: Packet = serde_json::from_str(line).unwrap();
            match packet.kind.as_str() {
                "video" => packets.video.push(packet),
                "audio" => packets.audio.push(packet),
                other => panic!("a track of {other} in {input}"),
            }
        }
        packets
    }

    /// Sound alone.
    pub fn sound(&self) -> Self {
        Self { video: Vec::new(), audio: self.audio.clone() }
    }

    /// The first so many pictures and frames of sound.
    pub fn first(&self, video: usize, audio: usize) -> Self {
        Self { video: self.video[..video].to_vec(), audio: self.audio[..audio].to_vec() }
    }

    /// Every packet of `source` and nothing else, in its order.
    pub fn assert_payloads(&self, source: &Self, what: &str) {
        for (name, found, pushed) in self.tracks(source) {
            assert_same(found, pushed, &format!("{what}: payload of {name}"), |packet| {
                (packet.codec.clone(), packet.hash.clone())
            });
        }
    }

    /// The same with every time, after one constant shift. Gives the shift in ticks.
    pub fn assert_payloads_and_times(&self, source: &Self, what: &str) -> i64 {
        self.assert_payloads(source, what);
        let (_, found, pushed) = self.tracks(source)[usize::from(source.video.is_empty())];
        let first = found[0].pts.unwrap_or_else(|| panic!("{what}: no time in {:?}", found[0]));
        let shift = first - pushed[0].pts.unwrap();
        for (name, found, pushed) in self.tracks(source) {
            let expected: Vec<_> = pushed.iter().map(|packet| moved(packet, shift)).collect();
            assert_same(
                found,
                &expected,
                &format!("{what}: time of {name} (shift {shift} ticks)"),
                |packet| (packet.pts, packet.dts),
            );
        }
        shift
    }

    fn tracks<'a>(&'a self, source: &'a Self) -> [(&'static str, &'a [Packet], &'a [Packet]); 2] {
        [("video", &self.video, &source.video), ("audio", &self.audio, &source.audio)]
    }
}

/// The same packet later.
fn moved(packet: &Packet, shift: i64) -> Packet {
    let later = |time: Option<i64>| Some(time.expect("a source has every time") + shift);
    Packet { pts: later(packet.pts), dts: later(packet.dts), ..packet.clone() }
}

/// The first difference, in words: a dump of thousands of packets helps nobody.
fn assert_same<T: PartialEq + std::fmt::Debug>(
    found: &[Packet],
    expected: &[Packet],
    what: &str,
    part: impl Fn(&Packet) -> T,
) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(part(found), part(expected), "{what}, packet {index} (left: the product)");
    }
    assert_eq!(found.len(), expected.len(), "{what}: number of packets (left: the product)");
}
