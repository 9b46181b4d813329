//! Objects of the store for readers that block: one stream from beginning to end, begun again where
//! it broke off, and small ranges. Nothing is kept but the block that came last.

use std::{
    io::{self, Read},
    ops::Range,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use tokio::{runtime::Handle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::storage::{ObjectInfo, ObjectStore, Result as Stored, StorageError, StorageKey};

/// How often a stream that broke off is begun again without a byte in between.
const ATTEMPTS: u32 = 3;
/// Pause before that.
const PAUSE: Duration = Duration::from_secs(1);

/// The store, from a thread that may block.
#[derive(Clone)]
pub struct Objects {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The runtime that the store works on.
    pub handle: Handle,
    /// Ends every wait.
    pub token: CancellationToken,
}

impl Objects {
    /// What the store knows of an object; none if it has none.
    pub fn head(&self, key: &StorageKey) -> io::Result<Option<ObjectInfo>> {
        let mut attempt = 0;
        loop {
            match self.wait(self.store.head(key))? {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    attempt += 1;
                    self.wait(sleep(PAUSE))?;
                }
                known => return known.map_err(io::Error::other),
            }
        }
    }

    /// A whole range of an object, shorter where the object ends before.
    pub fn range(&self, key: &StorageKey, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let reader = ObjectReader::new(self.clone(), key.clone(), None, range);
        reader.take(u64::MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The whole of an object whose `info` is known; another object under its key is an error.
    pub fn open(&self, key: &StorageKey, info: &ObjectInfo) -> ObjectReader {
        ObjectReader::new(self.clone(), key.clone(), Some(info.etag.clone()), 0..info.size)
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> io::Result<T> {
        self.handle.block_on(async {
            tokio::select! {
                done = work => Ok(done),
                () = self.token.cancelled() => Err(io::Error::other("given up")),
            }
        })
    }
}

/// A range of an object being read.
pub struct ObjectReader {
    objects: Objects,
    key: StorageKey,
    etag: Option<String>,
    rest: Range<u64>,
    stream: Option<Pin<Box<dyn Stream<Item = Stored<Bytes>> + Send>>>,
    block: Bytes,
    failures: u32,
}

impl ObjectReader {
    fn new(objects: Objects, key: StorageKey, etag: Option<String>, rest: Range<u64>) -> Self {
        Self { objects, key, etag, rest, stream: None, block: Bytes::new(), failures: 0 }
    }

    /// The next bytes from the store; none at the end.
    fn next_block(&mut self) -> io::Result<Option<Stored<Bytes>>> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let get = self.objects.store.get(&self.key, Some(self.rest.clone()));
                match self.objects.wait(get)? {
                    Ok(body) if self.etag.as_ref().is_some_and(|etag| *etag != body.info.etag) => {
                        return Err(io::Error::other(format!(
                            "object {} was replaced while it was read",
                            self.key
                        )));
                    }
                    Ok(body) => body.stream,
                    Err(StorageError::Range { .. }) => return Ok(None),
                    Err(error) => return Ok(Some(Err(error))),
                }
            }
        };
        let next = self.objects.wait(stream.next())?;
        if let Some(Ok(_)) = &next {
            self.stream = Some(stream);
        }
        Ok(next)
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.block.is_empty() && !self.rest.is_empty() && !buf.is_empty() {
            match self.next_block()? {
                Some(Ok(block)) => {
                    self.rest.start = self.rest.start.saturating_add(block.len() as u64);
                    self.failures = 0;
                    self.block = block;
                }
                Some(Err(error)) if error.is_transient() && self.failures < ATTEMPTS => {
                    self.failures += 1;
                    self.objects.wait(sleep(PAUSE))?;
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                // The store says it has given everything: what is missing is not there.
                None => self.rest.start = self.rest.end,
            }
        }
        let len = self.block.len().min(buf.len());
        let (buf, _) = buf.split_at_mut(len);
        self.block.copy_to_slice(buf);
        Ok(len)
    }
}
