//! Blocking disk calls, few at a time and bounded in time; and what their errors mean.
//!
//! Not the journal's pool: a slow store must not slow the journal.

use std::{
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::sync::Semaphore;

use crate::storage::{Result, StorageError};

/// Writing calls at a time, each up to one part.
const WRITES: usize = 8;

/// Reading calls at a time, each up to one block. Apart from the writes, so that players are not
/// behind syncs.
const READS: usize = 16;

/// How long one call may take, waiting for its turn included. A call that is stuck in the kernel
/// keeps its place until it comes back, so a hanging disk holds at most all places.
const PATIENCE: Duration = Duration::from_secs(120);

/// Two bounded ways to the disk. Cheap to clone.
#[derive(Clone)]
pub(super) struct Disk {
    writes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self { writes: Arc::new(Semaphore::new(WRITES)), reads: Arc::new(Semaphore::new(READS)) }
    }

    /// Runs `work` among the writes.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        run(&self.writes, action, work).await
    }

    /// Runs `work` among the reads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        run(&self.reads, action, work).await
    }
}

async fn run<T: Send + 'static>(
    places: &Arc<Semaphore>,
    action: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let transient = |message: &str| StorageError::Transient { action, message: message.to_owned() };
    let job = async {
        let permit =
            places.clone().acquire_owned().await.map_err(|_| transient("the store is closed"))?;
        // The permit goes with the thread, not with this future, which may be dropped.
        let thread = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        thread
            .await
            .unwrap_or_else(|e| Err(transient(&format!("the blocking call did not finish: {e}"))))
    };
    match tokio::time::timeout(PATIENCE, job).await {
        Ok(done) => done,
        Err(_) => Err(transient("the disk did not answer in time")),
    }
}

/// Whether an error says that there is no such file.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

/// What a disk error means for the caller. Refused is what only an operator can change.
pub(super) fn io_error(action: &'static str, path: &Path, error: io::Error) -> StorageError {
    let message = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidFilename
        | ErrorKind::CrossesDevices => StorageError::Refused { action, message },
        _ => StorageError::Transient { action, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_transient_and_a_read_only_one_is_not() {
        let error = |kind| io_error("store", Path::new("x"), io::Error::from(kind));
        for kind in [
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::Interrupted,
            ErrorKind::Other,
        ] {
            assert!(error(kind).is_transient(), "{kind:?}");
        }
        // ENOSPC and EIO as the kernel numbers them.
        assert!(io_error("store", Path::new("x"), io::Error::from_raw_os_error(28)).is_transient());
        assert!(io_error("store", Path::new("x"), io::Error::from_raw_os_error(5)).is_transient());
        for kind in
            [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem, ErrorKind::IsADirectory]
        {
            assert!(matches!(error(kind), StorageError::Refused { .. }), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn a_dropped_call_keeps_its_place_until_the_thread_is_back() {
        let disk = Disk::new();
        let (release, blocked) = std::sync::mpsc::sync_channel::<()>(1);
        let (entered, entries) = std::sync::mpsc::sync_channel::<()>(1);
        let call = disk.write("wait", move || {
            let _ = entered.send(());
            let _ = blocked.recv();
            Ok(())
        });
        let mut call = Box::pin(call);
        assert!(futures_util::poll!(&mut call).is_pending());
        entries.recv().unwrap();
        drop(call);
        assert_eq!(disk.writes.available_permits(), WRITES - 1);
        release.send(()).unwrap();
        let all = disk.writes.acquire_many(WRITES as u32).await.unwrap();
        assert_eq!(all.num_permits(), WRITES);
    }
}
