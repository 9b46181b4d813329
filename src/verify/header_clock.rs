//! Where the headers and script data of an FLV stand in time.
//!
//! A push that goes on with a file has one constant added to all its times. What comes before its first
//! frame may have times that are not of its clock: with the constant they would stand before what the
//! file already has, or far behind the frames. Those stand where the push begins or, if it has no frame,
//! where the file has come to. Between frames, those that would stand below zero, or that are behind
//! the frame before them only because the 32 bits of the encoder's clock begin again, stand where that
//! frame does. The writer says the same in code of its own.

use crate::{
    delivery::source::Source,
    domain::recording::Span,
    journal::JournalError,
    media::sample::{CLOCK_CYCLE_MS, CLOCK_JUMP_MS, Sample, SampleKind},
};

/// So far into a push its first frame was looked for until version 4.
const LOOK_SAMPLES: usize = 4096;

/// How a file with a summary of some version was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HeaderRule {
    /// Everything has its own time and the constant of its push.
    Own,
    /// Version 3: between frames, only what would stand below zero is moved, to where the push begins.
    Third,
    /// Version 4: a push whose first frame has much before it has nothing moved, as one without any.
    Fourth,
    /// As above.
    Current,
}

impl HeaderRule {
    /// By the version of the summary, 0 without one.
    pub fn of_version(version: u32) -> Self {
        match version {
            ..=2 => Self::Own,
            3 => Self::Third,
            4 => Self::Fourth,
            _ => Self::Current,
        }
    }
}

/// Follows all samples of a file.
pub(super) struct HeaderClock {
    /// By span whether it is of another push than the one before.
    are_new: Vec<bool>,
    at: Option<usize>,
    /// The latest frame so far.
    latest_ms: Option<i64>,
    /// The last one.
    frame: Option<Frame>,
    rule: HeaderRule,
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
    pub(super) fn new(spans: &[Span], rule: HeaderRule) -> Self {
        let behind = spans.iter().skip(1);
        let changes = spans.iter().zip(behind).map(|(one, next)| one.session != next.session);
        let are_new = std::iter::once(false).chain(changes).collect();
        Self { are_new, at: None, latest_ms: None, frame: None, rule, resumed: None }
    }

    /// The time of the next sample's tag in the product.
    pub(super) fn time_ms(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
        shift_ms: i64,
    ) -> Result<i64, JournalError> {
        let own_ms = sample.dts_ms.saturating_add(shift_ms);
        if self.rule == HeaderRule::Own {
            return Ok(own_ms);
        }
        let is_frame = |sample: &Sample| sample.kind == SampleKind::Frame;
        if self.at.replace(span) != Some(span) && self.are_new.get(span) == Some(&true) {
            let is_current = self.rule == HeaderRule::Current;
            let max = if is_current { usize::MAX } else { LOOK_SAMPLES };
            let first = source.first_frame(span, max)?;
            let first_ms = first.map(|first| first.dts_ms.saturating_add(shift_ms));
            let start = self.latest_ms.filter(|_| is_current || first.is_some());
            self.resumed = start.map(|earliest_ms| Start {
                is_ahead: true,
                earliest_ms,
                at_ms: first_ms.map_or(earliest_ms, |first_ms| first_ms.max(earliest_ms)),
            });
        }
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
            Some(start) if self.rule == HeaderRule::Third && own_ms < 0 => start.at_ms,
            Some(_) if self.rule >= HeaderRule::Fourth => match &self.frame {
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
    fn times(frame_ms: i64, data_ms: i64, rule: HeaderRule) -> i64 {
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
        let mut clock = HeaderClock::new(&spans, rule);
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
            for (rule, expected) in [
                (HeaderRule::Third, of_version_3),
                (HeaderRule::Fourth, now),
                (HeaderRule::Current, now),
            ] {
                let found = times(frame_ms, data_ms, rule);
                assert_eq!(found, expected, "{rule:?} {frame_ms} {data_ms}");
            }
        }
    }
}
