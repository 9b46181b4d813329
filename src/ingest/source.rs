//! Where a connection's bytes come from and go to. A seam for TLS: everything above works on
//! [`ByteSource`].

use std::{
    io::{self, Read, Write},
    mem,
    net::Shutdown,
};

use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

/// A non-blocking stream of bytes, either watched by the runtime or left to itself.
pub(super) trait ByteSource: Send + 'static {
    /// Reads what is there; [`io::ErrorKind::WouldBlock`] if nothing is, 0 at the end.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes what fits; [`io::ErrorKind::WouldBlock`] if nothing does.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until there is something to read, or room to write if that is wanted. Watches the
    /// source from now on.
    fn ready(&mut self, wants_write: bool) -> impl Future<Output = io::Result<()>> + Send;

    /// Stops watching: nothing wakes up until somebody looks.
    fn unwatch(&mut self) -> io::Result<()>;

    /// Says that nothing more will be written.
    fn shutdown(&mut self) -> io::Result<()>;
}

/// Plain TCP.
pub(super) enum TcpSource {
    /// Registered with the runtime.
    Watched(TcpStream),
    /// Taken out of it: every arriving packet would wake a thread.
    Unwatched(std::net::TcpStream),
    /// Lost on the way from one to the other.
    Gone,
}

impl ByteSource for TcpSource {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            TcpSource::Watched(stream) => stream.try_read(buffer),
            TcpSource::Unwatched(stream) => stream.read(buffer),
            TcpSource::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            TcpSource::Watched(stream) => stream.try_write(bytes),
            TcpSource::Unwatched(stream) => stream.write(bytes),
            TcpSource::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn ready(&mut self, wants_write: bool) -> io::Result<()> {
        if let TcpSource::Unwatched(_) = self
            && let TcpSource::Unwatched(stream) = mem::replace(self, TcpSource::Gone)
        {
            *self = TcpSource::Watched(TcpStream::from_std(stream)?);
        }
        match self {
            TcpSource::Watched(stream) if wants_write => {
                stream.ready(Interest::READABLE | Interest::WRITABLE).await?;
            }
            TcpSource::Watched(stream) => stream.readable().await?,
            _ => return Err(io::ErrorKind::NotConnected.into()),
        }
        Ok(())
    }

    fn unwatch(&mut self) -> io::Result<()> {
        if let TcpSource::Watched(_) = self
            && let TcpSource::Watched(stream) = mem::replace(self, TcpSource::Gone)
        {
            // Stays non-blocking.
            *self = TcpSource::Unwatched(stream.into_std()?);
        }
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        match self {
            TcpSource::Watched(stream) => SockRef::from(&*stream).shutdown(Shutdown::Write),
            TcpSource::Unwatched(stream) => stream.shutdown(Shutdown::Write),
            TcpSource::Gone => Ok(()),
        }
    }
}
