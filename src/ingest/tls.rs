//! RTMPS: a [`ByteSource`] that speaks TLS over another one.
//!
//! The library keeps its state without sockets, so the source can be watched or looked at by the
//! clock as plain TCP is.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use rustls::{ServerConfig, ServerConnection};

use super::source::ByteSource;

/// TLS over a source.
pub(super) struct TlsSource<S> {
    inner: S,
    tls: ServerConnection,
    /// What went wrong after bytes that were still given out.
    failed: Option<io::Error>,
}

impl<S: ByteSource> TlsSource<S> {
    /// The side of the server, before the first byte.
    pub(super) fn new(inner: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self { inner, tls, failed: None })
    }

    /// Takes in what the network has; [`io::ErrorKind::WouldBlock`] if that is nothing.
    fn receive(&mut self) -> io::Result<()> {
        self.tls.read_tls(&mut Blocking(&mut self.inner))?;
        let taken = self.tls.process_new_packets();
        // Answers of the handshake, or why it failed.
        let sent = self.flush();
        taken.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match sent {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut Blocking(&mut self.inner))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

impl<S: ByteSource> ByteSource for TlsSource<S> {
    /// Fills the buffer as far as it can: less than its length means that nothing is left here.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut filled = 0;
        while filled < buffer.len() {
            let error = match self.tls.reader().read(&mut buffer[filled..]) {
                Ok(0) => return Ok(filled),
                Ok(read) => {
                    filled += read;
                    continue;
                }
                // Closed without a farewell, as many encoders do.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(filled),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.receive() {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if filled == 0 {
                return Err(error);
            }
            if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
                self.failed = Some(error);
            }
            break;
        }
        Ok(filled)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What was taken before goes first; the library must not collect without end.
        self.flush()?;
        let taken = self.tls.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ if taken == 0 && !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(taken),
        }
    }

    async fn ready(&mut self, wants_write: bool) -> io::Result<()> {
        let wants_write = wants_write || self.tls.wants_write();
        self.inner.ready(wants_write).await
    }

    fn unwatch(&mut self) -> io::Result<()> {
        self.inner.unwatch()
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        match self.flush() {
            // The rest goes with the next look; the peer ends the connection after the farewell.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.inner.shutdown(),
        }
    }
}

/// A source as the library wants it. It never blocks: that is only what the traits are called.
struct Blocking<'a, S>(&'a mut S);

impl<S: ByteSource> Read for Blocking<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl<S: ByteSource> Write for Blocking<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
