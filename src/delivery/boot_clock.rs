//! The clock that counts since the machine was started, its sleep included: nobody sets it, and it
//! goes on from one process to the next.

use rustix::time::{ClockId, clock_gettime};

/// One start of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootClock {
    /// Names this start among all others; empty if the system does not say.
    pub id: String,
}

impl BootClock {
    /// Of the machine that this runs on.
    pub(super) fn open() -> Self {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { id: id.trim().to_owned() }
    }

    /// Milliseconds since the start.
    pub(super) fn now_ms(&self) -> i64 {
        let now = clock_gettime(ClockId::Boottime);
        now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_has_a_name() {
        let boot = BootClock::open();
        assert_eq!((boot.id.len(), &boot), (36, &BootClock::open()));
        let before = boot.now_ms();
        assert!(before > 0 && boot.now_ms() >= before);
    }
}
