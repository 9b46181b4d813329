//! A stretch of one span's journal, held in memory while it is walked over.

/// See the module.
#[derive(Default)]
pub(super) struct Window {
    /// Which span.
    span: usize,
    /// Where in it the first byte stands.
    from: u64,
    /// What is held.
    pub bytes: Vec<u8>,
}

impl Window {
    /// Holds `len` bytes from `position` of a span from now on, which are to be filled in.
    pub fn begin(&mut self, span: usize, position: u64, len: usize) -> &mut [u8] {
        (self.span, self.from) = (span, position);
        self.bytes.resize(len, 0);
        &mut self.bytes
    }

    /// `len` bytes from `position` of a span; none if not all of them are held.
    pub fn slice(&self, span: usize, position: u64, len: usize) -> Option<&[u8]> {
        let start = self.start(span, position)?;
        self.bytes.get(start..start.checked_add(len)?)
    }

    /// Has these bytes from `position` of a span on, where it holds what stands there.
    pub fn put(&mut self, span: usize, position: u64, bytes: &[u8]) {
        let held = self.start(span, position).and_then(|start| {
            let end = start.checked_add(bytes.len())?;
            self.bytes.get_mut(start..end)
        });
        if let Some(held) = held {
            held.copy_from_slice(bytes);
        }
    }

    fn start(&self, span: usize, position: u64) -> Option<usize> {
        let ahead = position.checked_sub(self.from).filter(|_| span == self.span)?;
        usize::try_from(ahead).ok()
    }
}
