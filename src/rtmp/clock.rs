//! Unwraps RTMP's 32-bit millisecond clock to 64 bits, once for all of the product.
//!
//! Sound and pictures of one publish share an epoch, so one clock serves the whole message
//! stream. It follows the latest frame seen (the high-water mark): a time is the nearest one to it
//! with the same low 32 bits, which is at most 2^31 ms, some 24 days, away. A small step back,
//! as between sound and pictures, is therefore a step back and never a wrap.

/// The clock of one publish.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    high_ms: Option<i64>,
}

impl Clock {
    /// The time of a coded frame. Moves the high-water mark.
    pub fn frame(&mut self, timestamp: u32) -> i64 {
        let time_ms = self.mark(timestamp);
        self.high_ms = Some(self.high_ms.map_or(time_ms, |high_ms| high_ms.max(time_ms)));
        time_ms
    }

    /// The time of something whose timestamp says nothing about the clock: encoders send script
    /// data and ends of sequence with time 0 whenever they like.
    pub fn mark(&self, timestamp: u32) -> i64 {
        match self.high_ms {
            None => i64::from(timestamp),
            Some(high_ms) => {
                // Truncations on purpose: the difference modulo 2^32, nearest to zero.
                let step = timestamp.wrapping_sub(high_ms as u32) as i32;
                high_ms + i64::from(step)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unwrap_all(timestamps: &[u32]) -> Vec<i64> {
        let mut clock = Clock::default();
        timestamps.iter().map(|timestamp| clock.frame(*timestamp)).collect()
    }

    #[test]
    fn wraps_are_counted_and_steps_back_are_not() {
        let wrap = 1_i64 << 32;
        assert_eq!(unwrap_all(&[0, 40, 20, 80]), [0, 40, 20, 80]);
        assert_eq!(
            unwrap_all(&[4_294_967_280, 16, 4_294_967_290, 48]),
            [4_294_967_280, wrap + 16, 4_294_967_290, wrap + 48]
        );
        assert_eq!(unwrap_all(&[10, 4_294_967_290]), [10, -6]);
        assert_eq!(unwrap_all(&[0x7FFF_FFFF, 0x8000_0001]), [0x7FFF_FFFF, 0x8000_0001]);
    }

    #[test]
    fn script_data_with_time_zero_leave_the_clock_alone() {
        let mut clock = Clock::default();
        assert_eq!(clock.mark(0), 0);
        assert_eq!(clock.frame(4_294_962_296), 4_294_962_296);
        assert_eq!(clock.mark(0), 1 << 32);
        assert_eq!(clock.frame(4_294_962_336), 4_294_962_336);
    }

    proptest! {
        /// Any true clock whose steps stay below 2^31 ms is recovered, whatever its wraps.
        #[test]
        fn recovers_a_64_bit_clock(start: u32, steps in prop::collection::vec(-200_000_i64..2_000_000_000, 1..60)) {
            let mut truth_ms = i64::from(start);
            let mut high_ms = truth_ms;
            let mut clock = Clock::default();
            prop_assert_eq!(clock.frame(start), truth_ms);
            for step in steps {
                // Steps count from the high-water mark, as interleaved tracks do.
                truth_ms = high_ms + step;
                high_ms = high_ms.max(truth_ms);
                prop_assert_eq!(clock.frame(truth_ms as u32), truth_ms);
            }
        }
    }
}
