//! Answers on their way to the peer. Written without waiting: a peer that does not read is left
//! to itself until too much has piled up.

use std::io;

use super::source::ByteSource;

/// A peer that leaves so much unread is not worth keeping, in bytes.
const MAX_PENDING: usize = 256 << 10;

/// Bytes that did not fit into the socket yet.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    pending: Vec<u8>,
    sent: usize,
}

impl Outbound {
    /// Adds bytes behind what is pending.
    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        if self.is_empty() {
            (self.pending, self.sent) = (bytes, 0);
        } else {
            self.pending.drain(..self.sent);
            self.sent = 0;
            self.pending.extend_from_slice(&bytes);
        }
    }

    /// Writes what fits.
    ///
    /// # Errors
    /// Those of the socket; [`io::ErrorKind::TimedOut`] if too much is pending.
    pub(super) fn write(&mut self, source: &mut impl ByteSource) -> io::Result<()> {
        while let Some(rest) = self.pending.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match source.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return match rest.len() {
                        len if len > MAX_PENDING => Err(io::ErrorKind::TimedOut.into()),
                        _ => Ok(()),
                    };
                }
                Err(error) => return Err(error),
            }
        }
        (self.pending, self.sent) = (Vec::new(), 0);
        Ok(())
    }

    /// True when everything was written.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}
