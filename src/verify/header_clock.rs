//! Where the headers and script data of an FLV stand in time.
//!
//! A push that goes on with a file has one constant added to all its times. What comes before its first
//! frame may have times that are not of its clock: with the constant they would stand before what the
//! file already has, or far behind the frames. Those stand where the push begins. Between frames,
//! those that would stand below zero, or that are behind the frame before them only because the 32 bits
//! of the encoder's clock begin again, stand where that frame does. The writer says the same in code of
//! its own.

use crate::{
    delivery::source::Source,
    domain::recording::Span,
    journal::JournalError,
    media::sample::{CLOCK_CYCLE_MS, CLOCK_JUMP_MS, Sample, SampleKind},
};

/// So far into a push its first frame is looked for.
const LOOK_SAMPLES: usize = 4096;

/// Follows all samples of a file.
pub(super) struct HeaderClock {
    /// By span whether it is of another push than the one before.
    are_new: Vec<bool>,
    at: Option<usize>,
    /// The latest frame so far.
    latest_ms: Option<i64>,
    /// The last one.
    frame: Option<Frame>,
    /// As summaries of version 3 had it: between frames, only what would stand below zero is moved, to
    /// where the push begins.
    is_of_version_3: bool,
    /// The push goes on with what was there.
    resumed: Option<Start>,
}

struct Start {
    /// Before the first frame of the push.
    is_ahead: bool,
    earliest_ms: i64,
    at_ms: i64,
}

struct Frame {
    /// On the encoder's clock.
    sent_ms: i64,
    /// In the product.
    at_ms: i64,
}

impl HeaderClock {
    pub(super) fn new(spans: &[Span], is_of_version_3: bool) -> Self {
        let behind = spans.iter().skip(1);
        let changes = spans.iter().zip(behind).map(|(one, next)| one.session != next.session);
        let are_new = std::iter::once(false).chain(changes).collect();
        Self { are_new, at: None, latest_ms: None, frame: None, is_of_version_3, resumed: None }
    }

    /// The time of the next sample's tag in the product.
    pub(super) fn time_ms(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
        shift_ms: i64,
    ) -> Result<i64, JournalError> {
        let is_frame = |sample: &Sample| sample.kind == SampleKind::Frame;
        if self.at.replace(span) != Some(span) && self.are_new.get(span) == Some(&true) {
            let opening = source.first_samples(span, LOOK_SAMPLES)?;
            let first = opening.iter().find(|sample| is_frame(sample));
            self.resumed = first.zip(self.latest_ms).map(|(first, earliest_ms)| Start {
                is_ahead: true,
                earliest_ms,
                at_ms: earliest_ms.max(first.dts_ms.saturating_add(shift_ms)),
            });
        }
        let own_ms = sample.dts_ms.saturating_add(shift_ms);
        if is_frame(sample) {
            self.latest_ms = self.latest_ms.max(Some(own_ms));
            self.frame = Some(Frame { sent_ms: sample.dts_ms, at_ms: own_ms });
            if let Some(start) = &mut self.resumed {
                start.is_ahead = false;
            }
            return Ok(own_ms);
        }
        Ok(match &self.resumed {
            Some(start) if start.is_ahead => {
                let is_before = own_ms < start.earliest_ms;
                let is_behind = own_ms.saturating_sub(start.at_ms) > CLOCK_JUMP_MS;
                if is_before || is_behind { start.at_ms } else { own_ms }
            }
            Some(start) if self.is_of_version_3 && own_ms < 0 => start.at_ms,
            Some(_) if !self.is_of_version_3 => match &self.frame {
                Some(frame) if own_ms < 0 || frame.is_far_before(sample.dts_ms) => {
                    frame.at_ms.max(0)
                }
                _ => own_ms,
            },
            _ => own_ms,
        })
    }
}

impl Frame {
    /// Whether this time of the encoder's clock is more than a jump ahead, and beyond the next multiple
    /// of 2^32.
    fn is_far_before(&self, sent_ms: i64) -> bool {
        let border_ms = (self.sent_ms.div_euclid(CLOCK_CYCLE_MS) + 1) * CLOCK_CYCLE_MS;
        sent_ms >= border_ms && sent_ms - self.sent_ms > CLOCK_JUMP_MS
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::ids::SessionId,
        journal::{Journal, Settings},
        media::tag::{Tag, TagKind},
    };

    const CYCLE_MS: i64 = CLOCK_CYCLE_MS;
    const WALL_MS: i64 = 1_795_344_236_000;

    /// A journal of sound and script data with these times.
    fn record(journal: &Journal, tags: &[(TagKind, i64)]) -> Span {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let session = SessionId::new(0);
        let end = runtime.block_on(async {
            let mut writer = journal.create(session, "{}".to_owned(), WALL_MS).await.unwrap();
            for (kind, time_ms) in tags {
                let payload = match kind {
                    TagKind::Script => &b"\x02\0\x0aonTextData\x05"[..],
                    _ => b"\x2f\xff\xfb",
                };
                writer.push(
                    &Tag { kind: *kind, time_ms: *time_ms, payload: payload.into() },
                    WALL_MS,
                );
            }
            writer.close("{}").await.unwrap()
        });
        Span { session, from: 0, to: Some(end) }
    }

    /// Where script data of this time stand between frames of a second push, the first of which is at
    /// 10 s and the last before them 20 ms later.
    fn times(frame_ms: i64, data_ms: i64, is_of_version_3: bool) -> i64 {
        let root = tempfile::tempdir().unwrap();
        let (sync_interval, roll_bytes) = (Duration::from_secs(1), 1 << 20);
        let settings = Settings { root: root.path().join("journal"), sync_interval, roll_bytes };
        let journal = Journal::open(settings).unwrap();
        let (audio, script) = (TagKind::Audio, TagKind::Script);
        let first = record(&journal, &[(audio, 0), (script, 7), (audio, 5_000)]);
        let audio_at = |behind_ms| (audio, frame_ms + behind_ms);
        let second = [audio_at(0), audio_at(20), (script, data_ms), audio_at(40)];
        let spans = [first, record(&journal, &second)];
        let shifts_ms = [0, 10_000 - frame_ms];
        let mut source = Source::open(&journal, &spans).unwrap();
        let mut clock = HeaderClock::new(&spans, is_of_version_3);
        let mut found = Vec::new();
        while let Some((span, sample)) = source.next_sample().unwrap() {
            let time_ms = clock.time_ms(&mut source, span, &sample, shifts_ms[span]).unwrap();
            match sample.kind {
                SampleKind::Frame => assert_eq!(time_ms, sample.dts_ms + shifts_ms[span]),
                SampleKind::Script => found.push(time_ms),
                _ => {}
            }
        }
        assert_eq!((found[0], found.len()), (7, 2));
        found[1]
    }

    #[test]
    fn what_cannot_be_right_between_frames_stands_at_the_one_before() {
        let far_ms = 2_592_000_000;
        for (frame_ms, data_ms, of_version_3, now) in [
            (far_ms, CYCLE_MS, CYCLE_MS - far_ms + 10_000, 10_020),
            (3_600_000, 0, 10_000, 10_020),
            (CYCLE_MS - 9_000, CYCLE_MS, 19_000, 19_000),
            (CYCLE_MS - 11_000, CYCLE_MS, 21_000, 10_020),
            (0, 7_200_000, 7_210_000, 7_210_000),
            (5_000, 0, 5_000, 5_000),
        ] {
            assert_eq!(times(frame_ms, data_ms, true), of_version_3, "{frame_ms} {data_ms}");
            assert_eq!(times(frame_ms, data_ms, false), now, "{frame_ms} {data_ms}");
        }
    }
}
