//! Read buffers that are used again.
//!
//! A buffer is filled by one read and then shared out: tags are slices of it, and it comes back
//! when the last of them was written. Its memory stays initialised, so a read into it costs neither
//! an allocation nor clearing nor page faults. Sizes are few, so that a slow stream does not hold
//! a large buffer for a small read.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Sizes of buffers, in bytes.
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];
/// Idle buffers of one size that are kept take at most so many bytes.
const MAX_IDLE_BYTES: usize = 16 << 20;

/// Where buffers come from and go back to.
#[derive(Debug, Clone, Default)]
pub(super) struct BufferPool {
    idle: Arc<[Mutex<Vec<Vec<u8>>>; SIZES.len()]>,
}

/// A buffer; goes back to its pool when dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    class: usize,
    pool: BufferPool,
}

impl BufferPool {
    /// A buffer for a read of about `wanted` bytes: large enough, or the largest.
    pub(super) fn take(&self, wanted: usize) -> Buffer {
        let class = SIZES.iter().position(|size| *size >= wanted).unwrap_or(SIZES.len() - 1);
        let size = SIZES.get(class).copied().unwrap_or_default();
        let used = self.with(class, Vec::pop).flatten();
        let bytes = used.unwrap_or_else(|| vec![0; size]);
        Buffer { bytes, filled: 0, class, pool: self.clone() }
    }

    fn with<T>(&self, class: usize, f: impl FnOnce(&mut Vec<Vec<u8>>) -> T) -> Option<T> {
        let idle = self.idle.get(class)?;
        // A list of buffers is whole even if a thread died while it held the lock.
        Some(f(&mut idle.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Buffer {
    /// All of the buffer.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The first `filled` bytes, to be shared. The buffer comes back when the last share is dropped.
    pub(super) fn freeze(mut self, filled: usize) -> Bytes {
        self.filled = filled.min(self.bytes.len());
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let most = MAX_IDLE_BYTES / bytes.len().max(1);
        self.pool.with(self.class, |idle| {
            if idle.len() < most {
                idle.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_its_last_share() {
        let pool = BufferPool::default();
        let mut buffer = pool.take(5000);
        assert_eq!(buffer.space().len(), 16 << 10);
        buffer.space()[..5].copy_from_slice(b"hello");
        let address = buffer.space().as_ptr();
        let whole = buffer.freeze(5);
        let share = whole.slice(1..3);
        drop(whole);
        assert_ne!(pool.take(5000).space().as_ptr(), address);
        assert_eq!(&share[..], b"el");
        drop(share);
        assert_eq!(pool.take(5000).space().as_ptr(), address);
        assert_eq!(pool.take(usize::MAX).space().len(), 256 << 10);
        assert!(pool.take(1).freeze(0).is_empty());
    }

    #[test]
    fn idle_memory_is_bounded() {
        let pool = BufferPool::default();
        let many: Vec<Buffer> = (0..100).map(|_| pool.take(usize::MAX)).collect();
        drop(many);
        let idle = pool.with(3, |idle| idle.len()).unwrap();
        assert_eq!(idle, MAX_IDLE_BYTES / SIZES[3]);
    }
}
