//! Buffers for parts, used again and again.
//!
//! A part is megabytes. Allocated anew by whichever thread makes it, such memory stays with that
//! thread's arena when it is freed: a process that makes long files would grow with their length.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Buffers kept while nobody has them: two on their way, one that is made, one for another worker.
const KEPT: usize = 4;
/// Smaller ones are not worth it.
const LEAST_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Default)]
pub struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

/// Bytes whose buffer comes back when nobody reads them any more.
struct Lent {
    buffer: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// An empty buffer for so many bytes.
    pub fn take(&self, room: usize) -> Vec<u8> {
        let mut buffer = match room >= LEAST_BYTES {
            true => self.free().pop().unwrap_or_default(),
            false => Vec::new(),
        };
        buffer.reserve_exact(room);
        buffer
    }

    /// Gives a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.free();
        if buffer.capacity() >= LEAST_BYTES && free.len() < KEPT {
            free.push(buffer);
        }
    }

    /// What a buffer holds, which is given back when the last reader lets go of it.
    pub fn lend(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, home: self.clone() })
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_reader_is_gone() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(LEAST_BYTES);
        buffer.extend_from_slice(b"part");
        let place = buffer.as_ptr();
        let lent = buffers.lend(buffer);
        let reader = lent.slice(1..3);
        drop(lent);
        assert_eq!((&reader[..], buffers.free().len()), (&b"ar"[..], 0));
        drop(reader);
        let again = buffers.take(LEAST_BYTES);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        buffers.give(Vec::with_capacity(10));
        (0..10).for_each(|_| buffers.give(Vec::with_capacity(LEAST_BYTES)));
        assert_eq!(buffers.free().len(), KEPT);
    }
}
