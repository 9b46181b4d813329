//! The times that the packets of a product have, worked out from the samples alone: what each
//! container's clock makes of the encoder's times and one constant shift.
//!
//! The writers of the containers do not use this. It says the same as they do a second time, so that
//! what is hashed while a product is made does not come from the code that is to be checked.

use super::sample::{Sample, Track};

/// 90 kHz units in a millisecond.
const UNITS_PER_MS: i64 = 90;
/// MPEG-TS times have 33 bits.
const TS_MASK: i64 = (1 << 33) - 1;
/// The largest step between two decoding times that MP4 can say.
const MP4_STEP_MAX_MS: i64 = i32::MAX as i64 - MP4_OFFSET_MAX_MS;
/// The largest composition offset that MP4 is given.
const MP4_OFFSET_MAX_MS: i64 = (1 << 27) - 1;

/// How a container tells time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeRule {
    /// Milliseconds, the low 32 bits of DTS.
    Flv,
    /// PTS as [`TimeRule::Fragmented`]; DTS counts from the first packet of each track, because an
    /// MP4 decodes a whole track earlier than it was sent if some of it is presented before that.
    Mp4,
    /// As [`TimeRule::Mp4`] was in summaries of version 1: the DTS of a track's first packet counts as
    /// 0, those of the others are as in [`TimeRule::Fragmented`].
    Mp4OfVersion1,
    /// Milliseconds. DTS never falls, except at a discontinuity: a step back of the encoder's clock is
    /// absorbed, for pictures without any change of PTS.
    Fragmented,
    /// 90 kHz in 33 bits.
    Ts,
    /// None at all.
    Adts,
}

/// Follows the packets of one product.
#[derive(Debug, Clone)]
pub struct ProductClock {
    rule: TimeRule,
    /// First and latest decoding time of video and audio where they never fall.
    decode_ms: [Option<(i64, i64)>; 2],
}

impl ProductClock {
    /// At the beginning of a product.
    pub fn new(rule: TimeRule) -> Self {
        Self { rule, decode_ms: [None; 2] }
    }

    /// The packets that follow do not continue the time of those before: what [`TimeRule::Fragmented`]
    /// is told at a discontinuity.
    pub fn restart(&mut self) {
        self.decode_ms = [None; 2];
    }

    /// PTS and DTS of the next packet in the units of the container; `shift_ms` is added to the
    /// encoder's times.
    pub fn times(&mut self, sample: &Sample, shift_ms: i64) -> (i64, i64) {
        let dts_ms = sample.dts_ms.saturating_add(shift_ms);
        let cts_ms = i64::from(sample.cts_ms);
        match self.rule {
            TimeRule::Flv => {
                let dts_ms = dts_ms & 0xffff_ffff;
                (dts_ms + cts_ms, dts_ms)
            }
            TimeRule::Ts => {
                let units = |ms: i64| ms.wrapping_mul(UNITS_PER_MS) & TS_MASK;
                (units(dts_ms.wrapping_add(cts_ms)), units(dts_ms))
            }
            TimeRule::Adts => (0, 0),
            TimeRule::Mp4 | TimeRule::Mp4OfVersion1 | TimeRule::Fragmented => {
                let (first_ms, decode_ms) = self.decode(sample.track, dts_ms);
                let sent_ms = dts_ms.saturating_add(cts_ms);
                let offset_ms = match sample.track {
                    // Sound that steps back is presented right behind what was before.
                    Track::Audio => cts_ms,
                    _ => sent_ms.saturating_sub(decode_ms),
                };
                let offset_ms = offset_ms.clamp(-MP4_OFFSET_MAX_MS, MP4_OFFSET_MAX_MS);
                let pts_ms = decode_ms.saturating_add(offset_ms);
                let dts_ms = match self.rule {
                    TimeRule::Mp4 => decode_ms.saturating_sub(first_ms.unwrap_or(decode_ms)),
                    TimeRule::Mp4OfVersion1 if first_ms.is_none() => 0,
                    _ => decode_ms,
                };
                (pts_ms, dts_ms)
            }
        }
    }

    /// Decoding time of a track's first packet, if this is another one, and that of this one.
    fn decode(&mut self, track: Track, dts_ms: i64) -> (Option<i64>, i64) {
        let [video, audio] = &mut self.decode_ms;
        let known = if track == Track::Audio { audio } else { video };
        let first_ms = known.map(|(first_ms, _)| first_ms);
        let (start_ms, before_ms) = known.unwrap_or((dts_ms, dts_ms));
        let step_ms = dts_ms.saturating_sub(before_ms).clamp(0, MP4_STEP_MAX_MS);
        let decode_ms = before_ms.saturating_add(step_ms);
        *known = Some((start_ms, decode_ms));
        (first_ms, decode_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::testing;

    fn sample(track: Track, dts_ms: i64, cts_ms: i32) -> Sample {
        Sample { cts_ms, ..testing::frame(track, dts_ms) }
    }

    fn times(rule: TimeRule, shift_ms: i64, samples: &[Sample]) -> Vec<(i64, i64)> {
        let mut clock = ProductClock::new(rule);
        samples.iter().map(|sample| clock.times(sample, shift_ms)).collect()
    }

    #[test]
    fn flv_has_32_bits_and_ts_33() {
        let late = sample(Track::Video, (1 << 32) + 5, -7);
        assert_eq!(times(TimeRule::Flv, 0, &[late]), [(-2, 5)]);
        assert_eq!(times(TimeRule::Flv, -10, &[late]), [((1 << 32) - 12, (1 << 32) - 5)]);
        let wrapped = |ms: i64| (ms * 90).rem_euclid(1 << 33);
        let expected = (wrapped((1 << 32) + 9_998), wrapped((1 << 32) + 10_005));
        assert_eq!(times(TimeRule::Ts, 10_000, &[late]), [expected]);
        assert_eq!(times(TimeRule::Adts, 10_000, &[late]), [(0, 0)]);
    }

    #[test]
    fn mp4_absorbs_steps_back() {
        let video = [(100, 40), (140, 0), (90, 30), (180, 0)];
        let video = video.map(|(dts, cts)| sample(Track::Video, dts, cts));
        let expected = [(40, 0), (40, 40), (20, 40), (80, 80)];
        assert_eq!(times(TimeRule::Mp4, -100, &video), expected);
        assert_eq!(times(TimeRule::Mp4OfVersion1, -100, &video), expected);
        assert_eq!(
            times(TimeRule::Fragmented, 1000, &video),
            [(1140, 1100), (1140, 1140), (1120, 1140), (1180, 1180)]
        );
        let audio = [100, 120, 90, 95, 130].map(|dts| sample(Track::Audio, dts, 0));
        assert_eq!(
            times(TimeRule::Mp4, 0, &audio),
            [(100, 0), (120, 20), (120, 20), (120, 20), (130, 30)]
        );
        assert_eq!(
            times(TimeRule::Mp4OfVersion1, 0, &audio),
            [(100, 0), (120, 120), (120, 120), (120, 120), (130, 130)]
        );
    }
}
