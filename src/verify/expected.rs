//! What the packets of a product should be, read from the journal it was made from.
//!
//! Every lane walks the journal on its own, so that nothing is assumed about the order of packets of
//! different tracks. Times are worked out by [`ProductClock`], which the writers do not use.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    delivery::source::Source,
    domain::recording::Span,
    journal::{Journal, JournalError},
    media::{
        adts,
        config::{CodecConfig, Configs},
        flv::{self, script},
        frame_head::describes_itself,
        mp4, nal,
        product_clock::{ProductClock, TimeRule},
        sample::{Codec, Sample, SampleKind, Track},
        tag::TagKind,
        ts,
    },
};

use super::{
    header_clock::{HeaderClock, HeaderRule},
    packet::{Lane, Packet},
    read::flv::Splitter,
};

/// Bytes of a tag before its body.
const TAG_HEADER: usize = 11;
/// Bytes of the back pointer behind it.
const TAG_TRAILER: usize = 4;

/// What a product is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// FLV with a summary of this version; 0 is without one.
    Flv(u32),
    /// Plain MP4.
    Mp4,
    /// Plain MP4 with a summary of version 1.
    Mp4OfVersion1,
    /// HLS with MPEG-TS segments.
    Ts,
    /// HLS with fragmented MP4 segments.
    Fragmented,
    /// ADTS.
    Adts,
}

impl Product {
    fn is_flv(self) -> bool {
        matches!(self, Product::Flv(_))
    }

    fn takes(self, sample: &Sample) -> bool {
        match self {
            Product::Flv(_) => flv::takes(sample),
            Product::Mp4 => mp4::takes(sample),
            Product::Mp4OfVersion1 | Product::Fragmented => mp4::fragment::takes(sample),
            Product::Ts => ts::takes(sample),
            Product::Adts => adts::takes(sample),
        }
    }

    fn time_rule(self) -> TimeRule {
        match self {
            Product::Flv(_) => TimeRule::Flv,
            Product::Mp4 => TimeRule::Mp4,
            Product::Mp4OfVersion1 => TimeRule::Mp4OfVersion1,
            Product::Ts => TimeRule::Ts,
            Product::Fragmented => TimeRule::Fragmented,
            Product::Adts => TimeRule::Adts,
        }
    }
}

/// A packet that is kept.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Presentation time.
    pub pts: i64,
    /// Decoding time.
    pub dts: i64,
    /// What is hashed.
    pub payload: Vec<u8>,
    /// See [`Packet::prefix`].
    pub prefix: Vec<u8>,
}

/// One lane of a product.
pub struct Cursor {
    product: Product,
    lane: Lane,
    source: Source,
    /// Constant added to the times of each span.
    shifts_ms: Vec<i64>,
    clock: ProductClock,
    headers: HeaderClock,
    /// What some configuration of the file describes, where MP4 needs one.
    described: BTreeSet<(Lane, Codec)>,
    /// Lengths of NAL unit lengths by configuration, of the span they belong to.
    nal_lengths: (Option<usize>, BTreeMap<u32, (Codec, u8)>),
    queue: VecDeque<Wanted>,
    splitter: Splitter,
    bytes: Vec<u8>,
    has_metadata: bool,
    /// See [`open`].
    is_rotten: bool,
}

/// Cursors for all lanes, if the whole journal of a file is still there. In one that `is_rotten` the
/// bytes of a tag may say another lane than the index does, as they do to a reader of FLV.
///
/// # Errors
/// It is not there, or cannot be read.
pub fn open(
    journal: &Journal,
    product: Product,
    spans: &[Span],
    shifts_ms: &[i64],
    is_rotten: bool,
) -> Result<Vec<Cursor>, JournalError> {
    for span in spans {
        let mut reader = journal.reader(span.session)?;
        let end = reader.end()?;
        let outside = |position| JournalError::Position { session: span.session, position };
        if span.from < reader.start() {
            return Err(outside(span.from));
        }
        if span.end_in(end) > end {
            return Err(outside(span.end_in(end)));
        }
    }
    let lanes = Lane::ALL.into_iter().filter(|lane| {
        *lane != Lane::Data && (product, *lane) != (Product::Adts, Lane::Video) || product.is_flv()
    });
    let described = described(journal, spans)?;
    let header_rule = match product {
        Product::Flv(version) => HeaderRule::of_version(version),
        _ => HeaderRule::Own,
    };
    lanes
        .map(|lane| {
            Ok(Cursor {
                product,
                lane,
                described: described.clone(),
                source: Source::open(journal, spans)?,
                shifts_ms: shifts_ms.to_vec(),
                clock: ProductClock::new(product.time_rule()),
                headers: HeaderClock::new(spans, header_rule),
                nal_lengths: (None, BTreeMap::new()),
                queue: VecDeque::new(),
                splitter: Splitter::default(),
                bytes: Vec::new(),
                has_metadata: false,
                is_rotten,
            })
        })
        .collect()
}

impl Cursor {
    /// Which lane.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// The packets that follow are behind a discontinuity: what a clock keeps of those before does
    /// not count.
    pub fn restart_clock(&mut self) {
        self.clock.restart();
    }

    /// The next packet; none at the end.
    ///
    /// # Errors
    /// The journal cannot be read any more.
    pub fn next(&mut self) -> Result<Option<Wanted>, JournalError> {
        loop {
            if let Some(wanted) = self.queue.pop_front() {
                return Ok(Some(wanted));
            }
            let Some((span, sample)) = self.source.next_sample()? else { return Ok(None) };
            let shift_ms = self.shift_ms(span);
            // That of other products is their own clock's.
            let time_ms = self.headers.time_ms(&mut self.source, span, &sample, shift_ms)?;
            if !self.product.takes(&sample) || self.is_undescribed(&sample) {
                continue;
            }
            if self.product.is_flv() {
                self.take_tag(span, &sample, time_ms)?;
            } else if lane_of(sample.track) == self.lane {
                self.take_frame(span, &sample)?;
            }
        }
    }

    /// Whether MP4 leaves this out, because the configuration that it needs never came.
    fn is_undescribed(&self, sample: &Sample) -> bool {
        let is_known = || self.described.contains(&(lane_of(sample.track), sample.codec));
        self.product == Product::Mp4 && !describes_itself(sample.codec) && !is_known()
    }

    fn shift_ms(&self, span: usize) -> i64 {
        self.shifts_ms.get(span).copied().unwrap_or(0)
    }

    fn take_tag(&mut self, span: usize, sample: &Sample, time_ms: i64) -> Result<(), JournalError> {
        // What is of another lane alone need not be read. A frame that reaches the end of its tag
        // is all there is in it; a tag of several tracks has something for its lane and for data.
        let is_whole = sample.data_offset.checked_add(sample.data_len + TAG_TRAILER as u32)
            == Some(sample.tag_len);
        let is_frame_alone = sample.kind == SampleKind::Frame && sample.track_id == 0 && is_whole;
        let is_of_another = lane_of(sample.track) != self.lane;
        if is_of_another && !self.is_rotten && (self.lane != Lane::Data || is_frame_alone) {
            return Ok(());
        }
        self.source.tag(span, sample, &mut self.bytes)?;
        // The writer makes the header of a tag anew.
        let kind = sample.track.tag_kind();
        let end = self.bytes.len().saturating_sub(TAG_TRAILER);
        let Some(body) = self.bytes.get(TAG_HEADER..end) else { return Ok(()) };
        // The first onMetaData of the first stretch is in the head, with more keys.
        let is_first = span == 0 && !self.has_metadata;
        if kind == TagKind::Script && is_first && script::is_metadata(body) {
            self.has_metadata = true;
            return Ok(());
        }
        let (lane, queue) = (self.lane, &mut self.queue);
        self.splitter.split(kind, time_ms, body, &mut |packet: Packet<'_>| {
            if packet.lane == lane {
                queue.push_back(Wanted {
                    pts: packet.pts,
                    dts: packet.dts,
                    payload: packet.payload.to_vec(),
                    prefix: packet.prefix.to_vec(),
                });
            }
        });
        Ok(())
    }

    fn take_frame(&mut self, span: usize, sample: &Sample) -> Result<(), JournalError> {
        let (pts, dts) = self.clock.times(sample, self.shift_ms(span));
        self.bytes.clear();
        self.source.read(span, sample.data_position(), sample.data_len, &mut self.bytes)?;
        let is_picture = matches!(sample.codec, Codec::H264 | Codec::Hevc);
        let payload = match self.product == Product::Ts && is_picture {
            true => {
                let size = self.nal_length(span, sample)?;
                let mut out = Vec::with_capacity(self.bytes.len());
                nal::canonical_nal_units(sample.codec, &self.bytes, size, &mut out);
                out
            }
            false => self.bytes.clone(),
        };
        self.queue.push_back(Wanted { pts, dts, payload, prefix: Vec::new() });
        Ok(())
    }

    /// Bytes of the length before each NAL unit of a sample: as its configuration says, or the last
    /// one before that can be read, or 4.
    fn nal_length(&mut self, span: usize, sample: &Sample) -> Result<u8, JournalError> {
        if self.nal_lengths.0 != Some(span) {
            self.nal_lengths = (Some(span), nal_lengths(&self.source.configs(span)?));
        }
        let known = self.nal_lengths.1.range(..=sample.config).next_back();
        Ok(known.filter(|(_, (codec, _))| *codec == sample.codec).map_or(4, |(_, (_, size))| *size))
    }
}

/// What the configurations of a file describe that can be read.
fn described(journal: &Journal, spans: &[Span]) -> Result<BTreeSet<(Lane, Codec)>, JournalError> {
    let mut source = Source::open(journal, spans)?;
    let mut found = BTreeSet::new();
    for span in 0..spans.len() {
        let configs = source.configs(span)?;
        let readable = configs.iter().map(|(_, config)| config);
        let readable = readable.filter(|config| config.track_id == 0 && config.parse().is_ok());
        found.extend(readable.map(|config| (lane_of(config.track), config.codec)));
    }
    Ok(found)
}

fn nal_lengths(configs: &Configs) -> BTreeMap<u32, (Codec, u8)> {
    let video = configs.iter().filter(|(_, c)| (c.track, c.track_id) == (Track::Video, 0));
    video
        .filter_map(|(ordinal, config)| match config.parse().ok()? {
            CodecConfig::Avc(avc) => Some((ordinal, (Codec::H264, avc.nal_length_size))),
            CodecConfig::Hevc(hevc) => Some((ordinal, (Codec::Hevc, hevc.nal_length_size))),
            _ => None,
        })
        .collect()
}

fn lane_of(track: Track) -> Lane {
    match track {
        Track::Video => Lane::Video,
        Track::Audio => Lane::Audio,
        Track::Script => Lane::Data,
    }
}
