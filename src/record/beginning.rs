//! Where a recording begins that is made while its stream is live: a pure function of how far the
//! journal has come.
//!
//! It begins with a key frame: the last one if that is recent, else the next one. An encoder whose
//! key frames have stopped sends none, and a lost minute cannot be recorded again: so the next one
//! is waited for only so long, and what the task asked for is held in the journal meanwhile. The
//! wait is a constant rather than `record.max_preroll`: that may be 0, which says that a recording
//! should not reach back, not that it should not wait; and the longer the wait, the more of what
//! was asked for lies before the key frame that ends it.

use crate::journal::{Mark, Progress};

/// How long the next key frame is waited for. Pictures whose key frames are further apart are
/// irregular, and told as such ([`super::watch`]).
pub const PATIENCE_MS: i64 = 10_000;

/// What the supervisor is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Begin with the tag at this position.
    At(u64),
    /// Wait for a key frame.
    Wait,
    /// No key frame came: begin with what is held.
    Anyway,
}

/// How a recording begins at `now_ms` that was first wanted at `since_ms` (unix milliseconds).
pub fn beginning(
    progress: &Progress,
    now_ms: i64,
    since_ms: i64,
    max_preroll_ms: i64,
) -> Beginning {
    if !progress.has_video {
        return Beginning::At(progress.written);
    }
    let is_recent = |mark: &Mark| {
        mark.wall_ms >= since_ms || now_ms.saturating_sub(mark.wall_ms) <= max_preroll_ms
    };
    match progress.last_keyframe.filter(is_recent) {
        Some(mark) => Beginning::At(mark.position),
        // A clock that was set back must not make it wait for ever.
        None if (0..PATIENCE_MS).contains(&now_ms.saturating_sub(since_ms)) => Beginning::Wait,
        None => Beginning::Anyway,
    }
}

/// The last key frame, if no more lies behind it than `unclaimed_max_bytes`: what a journal keeps
/// for recordings to come, whoever else needs more of it.
pub fn last_keyframe(progress: &Progress, unclaimed_max_bytes: u64) -> Option<u64> {
    let position = progress.last_keyframe?.position;
    (progress.written.saturating_sub(position) <= unclaimed_max_bytes).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_000_000;

    fn progress(keyframe_age_ms: Option<i64>) -> Progress {
        let mark = |age_ms: i64| Mark { position: 100, wall_ms: NOW_MS - age_ms, dts_ms: 0 };
        Progress {
            written: 900,
            has_video: true,
            last_keyframe: keyframe_age_ms.map(mark),
            ..Progress::default()
        }
    }

    #[test]
    fn a_recent_key_frame_is_where_it_begins() {
        for (age_ms, expected) in [
            (0, Beginning::At(100)),
            (15_000, Beginning::At(100)),
            (15_001, Beginning::Wait),
            (3_600_000, Beginning::Wait),
            // The clock was set back.
            (-5000, Beginning::At(100)),
        ] {
            let told = beginning(&progress(Some(age_ms)), NOW_MS, NOW_MS, 15_000);
            assert_eq!(told, expected, "{age_ms}");
        }
        // Without a pre-roll the next one is what it waited for, however long it took to be seen.
        assert_eq!(beginning(&progress(Some(300)), NOW_MS, NOW_MS, 0), Beginning::Wait);
        assert_eq!(beginning(&progress(Some(300)), NOW_MS, NOW_MS - 300, 0), Beginning::At(100));
    }

    #[test]
    fn the_next_key_frame_is_waited_for_only_so_long() {
        for keyframe in [None, Some(60_000)] {
            for (waited_ms, expected) in [
                (0, Beginning::Wait),
                (PATIENCE_MS - 1, Beginning::Wait),
                (PATIENCE_MS, Beginning::Anyway),
                (-1, Beginning::Anyway),
            ] {
                let told = beginning(&progress(keyframe), NOW_MS, NOW_MS - waited_ms, 15_000);
                assert_eq!(told, expected, "{keyframe:?} {waited_ms}");
            }
        }
    }

    #[test]
    fn sound_alone_begins_where_the_journal_is() {
        let sound = Progress { written: 900, has_audio: true, ..Progress::default() };
        assert_eq!(beginning(&sound, NOW_MS, NOW_MS, 15_000), Beginning::At(900));
    }

    #[test]
    fn a_key_frame_is_kept_as_long_as_little_lies_behind_it() {
        assert_eq!(last_keyframe(&progress(Some(0)), 800), Some(100));
        assert_eq!(last_keyframe(&progress(Some(0)), 799), None);
        assert_eq!(last_keyframe(&progress(None), 800), None);
    }
}
