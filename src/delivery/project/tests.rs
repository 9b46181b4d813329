//! Products of two pushes, made from journals on disk.

use std::time::Duration;

use crate::{
    domain::ids::SessionId,
    journal::Settings,
    media::{
        flv::header::{TAG_HEADER_LEN, TAG_TRAILER_LEN, TagHeader, encode_tag_trailer},
        hls::SegmentType,
        sample::Sample,
        tag::{Tag, TagKind},
    },
};

use super::*;

mod damage;
mod duration;
pub(in crate::delivery) mod resumed;
mod sound;
mod tracks;

pub(in crate::delivery) const HLS: HlsSettings =
    HlsSettings { segment_ms: 10_000, segment_type: SegmentType::Ts, live_playlist: false };
pub(in crate::delivery) const WALL_MS: i64 = 1_795_344_236_000;
const AVC: &[u8] =
    b"\x17\0\0\0\0\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\
    \xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\
    \xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
const AAC: &[u8] = b"\xaf\0\x12\x10";
pub(in crate::delivery) const METADATA: &[u8] =
    b"\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x01a\0\x40\0\0\0\0\0\0\0\0\0\x09";
/// Sent by some encoders in this form.
pub(in crate::delivery) const SET_METADATA: &[u8] =
    b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x01b\0\x40\0\0\0\0\0\0\0\0\0\x09";

pub(in crate::delivery) struct Push {
    pub(in crate::delivery) session: SessionId,
    pub(in crate::delivery) end: u64,
    tags: Vec<Tag>,
}

pub(in crate::delivery) struct Place {
    pub(in crate::delivery) journal: Journal,
    runtime: tokio::runtime::Runtime,
    _root: tempfile::TempDir,
}

impl Place {
    pub(in crate::delivery) fn new() -> Self {
        Self::rolling(4096)
    }

    fn rolling(roll_bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let settings = Settings {
            root: root.path().join("journal"),
            sync_interval: Duration::from_secs(1),
            roll_bytes,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { journal: Journal::open(settings).unwrap(), runtime, _root: root }
    }

    /// Two seconds in real time from `wall_ms` and, on the encoder's clock, from `first_ms` on.
    pub(in crate::delivery) fn push(
        &self,
        wall_ms: i64,
        first_ms: i64,
        metadata: &'static [u8],
    ) -> Push {
        let mut tags = vec![
            tag(TagKind::Script, first_ms, metadata.to_vec()),
            tag(TagKind::Video, first_ms, AVC.to_vec()),
            tag(TagKind::Audio, first_ms, AAC.to_vec()),
        ];
        for at in (0..2000).step_by(20) {
            if at % 40 == 0 {
                let (head, nal) = if at % 400 == 0 { (0x17, 0x65) } else { (0x27, 0x41) };
                let mut payload = vec![head, 1, 0, 0, 40, 0, 0, 0, 9, nal];
                payload.extend_from_slice(&u64::to_be_bytes(0x8080_8080 + at as u64));
                tags.push(tag(TagKind::Video, first_ms + at, payload));
            }
            tags.push(tag(TagKind::Audio, first_ms + at, vec![0xaf, 1, at as u8, 7, 7]));
        }
        self.record(wall_ms, tags)
    }

    /// So many seconds of one picture a second, each of so many bytes.
    pub(in crate::delivery) fn push_heavy(&self, wall_ms: i64, seconds: i64, bytes: usize) -> Push {
        let mut tags = vec![tag(TagKind::Video, 0, AVC.to_vec())];
        for at in 0..seconds {
            let mut payload = vec![0x17, 1, 0, 0, 0];
            payload.extend_from_slice(&u32::try_from(bytes).unwrap().to_be_bytes());
            payload.push(0x65);
            payload.resize(9 + bytes, at as u8);
            tags.push(tag(TagKind::Video, at * 1000, payload));
        }
        self.record(wall_ms, tags)
    }

    /// So many pictures of so many bytes by an encoder whose clock stands still.
    pub(in crate::delivery) fn push_still(&self, wall_ms: i64, frames: u8, bytes: usize) -> Push {
        let mut tags = vec![tag(TagKind::Video, 0, AVC.to_vec())];
        for nth in 0..frames {
            let mut payload = vec![0x17, 1, 0, 0, 0];
            payload.extend_from_slice(&u32::try_from(bytes).unwrap().to_be_bytes());
            payload.push(0x65);
            payload.resize(9 + bytes, nth);
            tags.push(tag(TagKind::Video, 0, payload));
        }
        self.record(wall_ms, tags)
    }

    /// These tags, arriving in real time but for jumps of their clock. Script data arrive with what is
    /// before them.
    fn record(&self, mut wall_ms: i64, tags: Vec<Tag>) -> Push {
        let mut before_ms = tags.first().map_or(0, |tag| tag.time_ms);
        let session = SessionId::new(0);
        let end = self.runtime.block_on(async {
            let mut writer = self.journal.create(session, "{}".to_owned(), wall_ms).await.unwrap();
            for tag in &tags {
                if tag.kind != TagKind::Script {
                    wall_ms += (tag.time_ms - before_ms).min(1000);
                    before_ms = tag.time_ms;
                }
                writer.push(tag, wall_ms);
            }
            writer.close("{}").await.unwrap()
        });
        Push { session, end, tags }
    }

    /// All bytes of the file's objects, one behind the other, and what is said of them.
    pub(in crate::delivery) fn make(
        &self,
        container: Container,
        spans: &[Span],
    ) -> (Vec<u8>, MediaFacts, Verification) {
        self.make_as(container, spans, HLS)
    }

    fn make_as(
        &self,
        container: Container,
        spans: &[Span],
        hls: HlsSettings,
    ) -> (Vec<u8>, MediaFacts, Verification) {
        let causes = vec!["network".to_owned(); spans.len() - 1];
        let (facts, journal) = (MediaFacts::default(), &self.journal);
        let mut projection =
            Projection::open(journal, container, spans, causes, facts, hls).unwrap();
        let mut out = Vec::new();
        loop {
            match projection.next_block(700).unwrap() {
                Block::Bytes { bytes, .. } => out.extend_from_slice(&bytes),
                Block::EndOfObject => {}
                _ => break,
            }
        }
        let facts = projection.facts().clone();
        (out, facts, projection.finish(Vec::new()))
    }
}

fn tag(kind: TagKind, time_ms: i64, payload: Vec<u8>) -> Tag {
    Tag { kind, time_ms, payload: payload.into() }
}

pub(in crate::delivery) fn span(push: &Push) -> Span {
    Span { session: push.session, from: 0, to: Some(push.end) }
}

/// Kind, time and payload of every tag of an FLV file.
fn tags_of(file: &[u8]) -> Vec<Tag> {
    let mut rest = &file[13..];
    let mut tags = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<TAG_HEADER_LEN>() {
        let header = TagHeader::decode(header);
        let (payload, behind) = behind.split_at(header.data_size as usize);
        let (trailer, behind) = behind.split_at(TAG_TRAILER_LEN);
        assert_eq!(trailer, encode_tag_trailer(header.data_size));
        tags.push(tag(header.kind().unwrap(), header.time_ms.into(), payload.to_vec()));
        rest = behind;
    }
    tags
}

pub(in crate::delivery) fn two_pushes(place: &Place) -> [Push; 2] {
    // The last frame of the first, at 1980 ms, arrives 5.5 s before the first of the second.
    [place.push(WALL_MS, 60_000, SET_METADATA), place.push(WALL_MS + 7_480, 12, METADATA)]
}

#[test]
fn an_flv_of_two_pushes_is_both_with_one_clock() {
    let place = Place::new();
    let pushes = two_pushes(&place);
    let [first, second] = &pushes;
    let (file, facts, summary) = place.make(Container::Flv, &pushes.each_ref().map(span));
    let mut expected = first.tags[1..].to_vec();
    expected.extend(
        second
            .tags
            .iter()
            .map(|sent| Tag { time_ms: sent.time_ms - 12 + 60_000 + 7_480, ..sent.clone() }),
    );
    let found = tags_of(&file);
    let head = &found[0];
    assert!(head.payload.starts_with(b"\x02\0\x0aonMetaData") && head.time_ms == 0);
    assert!(head.payload.windows(4).any(|key| key == b"\0\x01b\0"), "the encoder's own key");
    assert_eq!(found[1..], expected, "also the second onMetaData and the second headers");

    let shifts: Vec<_> = summary.sessions.iter().map(|session| session.shift_ms).collect();
    assert_eq!(shifts, [0, 60_000 + 7_480 - 12]);
    check_gap(&summary, 5_500);
    check_tracks(&summary);
    // Pictures are presented 40 ms late, and each lasts 40 ms.
    assert_eq!((facts.first_pts_ms, facts.duration_ms, facts.fps), (60_000, 9_520, 25));
}

#[test]
fn an_mp4_of_two_pushes_has_the_gap_of_the_wall() {
    let place = Place::new();
    let pushes = two_pushes(&place);
    let (_, facts, summary) = place.make(Container::Mp4, &pushes.each_ref().map(span));
    let shifts: Vec<_> = summary.sessions.iter().map(|session| session.shift_ms).collect();
    assert_eq!(shifts, [-60_000, 7_480 - 12]);
    assert_eq!((facts.shift_ms, facts.duration_ms, facts.fps), (-60_000, 9_520, 25));
    check_gap(&summary, 5_500);
    check_tracks(&summary);
}

#[test]
fn hls_and_aac_of_two_pushes_leave_the_gap_out() {
    let place = Place::new();
    let pushes = two_pushes(&place);
    for container in [Container::Hls, Container::Aac] {
        let (_, facts, summary) = place.make(container, &pushes.each_ref().map(span));
        // The second push begins so low that it is moved up.
        let second_ms = if container == Container::Hls { 10_000 } else { 0 };
        let shifts: Vec<_> = summary.sessions.iter().map(|session| session.shift_ms).collect();
        assert_eq!((shifts, facts.shift_ms), (vec![0, second_ms], 0));
        assert_eq!(facts.duration_ms, 4_000, "{container}");
        // An AAC file tells of its sound alone.
        let (video, frames) = (facts.video_codec.as_str(), facts.video_frames);
        let has_pictures = container == Container::Hls;
        assert_eq!((video == "h264", frames > 0), (has_pictures, has_pictures));
        assert_eq!(facts.audio_codec, "aac");
        check_gap(&summary, 0);
    }
}

#[test]
fn a_second_push_that_is_joined_late_is_configured_before_its_first_frame() {
    let place = Place::new();
    let pushes = two_pushes(&place);
    let [first, second] = &pushes;
    let mut reader = place.journal.reader(second.session).unwrap();
    let samples: Vec<Sample> =
        reader.samples(0, second.end).unwrap().collect::<Result<_, _>>().unwrap();
    let key = samples.iter().filter(|s| s.is_video_frame() && s.keyframe).nth(1).unwrap();
    let late = Span { from: key.position, ..span(second) };
    let (file, _, _) = place.make(Container::Flv, &[span(first), late]);
    let found = tags_of(&file);
    let configs = found.iter().filter(|tag| tag.payload == AVC || tag.payload == AAC);
    assert_eq!(configs.count(), 4);
    let at = found.iter().rposition(|tag| tag.payload == AVC).unwrap();
    assert_eq!(found[at + 1].payload[..2], [0x17, 1], "a key frame behind its header");
    assert_eq!(found[at].time_ms, found[at + 1].time_ms);
    // The first walk has counted every byte.
    let spans = [span(first), late];
    let projection =
        Projection::open(&place.journal, Container::Flv, &spans, Vec::new(), <_>::default(), HLS)
            .unwrap();
    assert_eq!(projection.total_len(), file.len() as u64);
}

fn check_gap(summary: &Verification, media_ms: i64) {
    let [gap] = summary.gaps.as_slice() else { panic!("{:?}", summary.gaps) };
    assert_eq!((gap.cause.as_str(), gap.at_ms), ("network", 1_980));
    assert_eq!((gap.wall_ms, gap.media_ms), (5_500, media_ms));
}

fn check_tracks(summary: &Verification) {
    let [video, audio] = summary.tracks.as_slice() else { panic!("{:?}", summary.tracks) };
    assert_eq!((video.packets, audio.packets), (100, 200));
    assert_eq!((video.first_dts_ms, video.last_dts_ms), (60_000, 1_972));
    assert_eq!((audio.first_dts_ms, audio.last_dts_ms), (60_000, 1_992));
}
