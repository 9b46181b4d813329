//! Stores that answer, and do not do what they say.

use std::{ops::Range, sync::Mutex};

use super::*;
use crate::{
    doctor::report::Status,
    storage::{BoxFuture, LocalStore, ObjectInfo, OpenUpload, Page, Result},
};

/// What a store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    Nothing,
    /// The whole object, whatever was asked for.
    IgnoresRanges,
    /// The first object of a name stays.
    KeepsTheOld,
    /// What is stored is not listed.
    ListsLate,
    /// In the order in which they came.
    JoinsByArrival,
    /// What was given up becomes an object.
    CompletesAborted,
    /// Nothing goes.
    KeepsTheRemoved,
}

struct Liar {
    inner: LocalStore,
    lie: Lie,
    /// Numbers of the parts that came.
    arrived: Mutex<Vec<u32>>,
}

impl ObjectStore for Liar {
    fn put<'a>(&'a self, key: &'a StorageKey, body: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let is_old = self.inner.head(key).await?.is_some();
            if is_old && self.lie == Lie::KeepsTheOld {
                return Ok(());
            }
            self.inner.put(key, body).await
        })
    }

    fn start<'a>(&'a self, key: &'a StorageKey, part_size: u64) -> BoxFuture<'a, Result<Upload>> {
        self.inner.start(key, part_size)
    }

    fn put_part<'a>(
        &'a self,
        upload: &'a Upload,
        number: u32,
        body: Bytes,
    ) -> BoxFuture<'a, Result<Part>> {
        Box::pin(async move {
            let mut at = number;
            if self.lie == Lie::JoinsByArrival && body.len() as u64 == MIN_PART_BYTES {
                let mut arrived = self.arrived.lock().unwrap();
                arrived.push(number);
                at = u32::try_from(arrived.len()).unwrap();
            }
            let part = self.inner.put_part(upload, at, body).await?;
            Ok(Part { number, ..part })
        })
    }

    fn complete<'a>(&'a self, upload: &'a Upload, parts: &'a [Part]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match self.lie {
                Lie::JoinsByArrival => {
                    let own = self.inner.list_parts(upload).await?;
                    self.inner.complete(upload, &own).await
                }
                _ => self.inner.complete(upload, parts).await,
            }
        })
    }

    fn abort<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.lie == Lie::CompletesAborted {
                let parts = self.inner.list_parts(upload).await?;
                return self.inner.complete(upload, &parts).await;
            }
            self.inner.abort(upload).await
        })
    }

    fn list_parts<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<Vec<Part>>> {
        self.inner.list_parts(upload)
    }

    fn head<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<ObjectInfo>>> {
        self.inner.head(key)
    }

    fn get<'a>(
        &'a self,
        key: &'a StorageKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<ObjectBody>> {
        self.inner.get(key, range.filter(|_| self.lie != Lie::IgnoresRanges))
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<()>> {
        match self.lie {
            Lie::KeepsTheRemoved => Box::pin(async { Ok(()) }),
            _ => self.inner.delete(key),
        }
    }

    fn list<'a>(&'a self, under: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let mut page = self.inner.list(under, after).await?;
            page.objects.retain(|_| self.lie != Lie::ListsLate);
            Ok(page)
        })
    }

    fn list_uploads(&self) -> BoxFuture<'_, Result<Vec<OpenUpload>>> {
        self.inner.list_uploads()
    }

    fn uploads_of<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Vec<OpenUpload>>> {
        self.inner.uploads_of(key)
    }

    fn discard<'a>(&'a self, upload: &'a OpenUpload) -> BoxFuture<'a, Result<()>> {
        self.inner.discard(upload)
    }

    fn check(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.check()
    }
}

#[tokio::test]
async fn a_store_that_does_not_do_what_it_says_is_found_out() {
    let cases: [(Lie, &[(&str, Status)]); 7] = [
        (Lie::Nothing, &[]),
        // A range is how it is seen in which order parts are joined.
        (Lie::IgnoresRanges, &[("store.range", Status::Fail), ("store.order", Status::Fail)]),
        (Lie::KeepsTheOld, &[("store.overwrite", Status::Fail)]),
        (Lie::ListsLate, &[("store.list", Status::Warn)]),
        (Lie::JoinsByArrival, &[("store.order", Status::Fail)]),
        (Lie::CompletesAborted, &[("store.abort", Status::Fail)]),
        (Lie::KeepsTheRemoved, &[("store.delete", Status::Fail)]),
    ];
    for (lie, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let inner = LocalStore::open(dir.path()).unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(Liar { inner, lie, arrived: Mutex::default() });
        let now_ms = chrono::Utc::now().timestamp_millis();
        let (findings, is_there) = probe(&store, now_ms).await;
        assert!(is_there);
        let bad = findings.iter().filter(|finding| finding.status != Status::Ok);
        let bad: Vec<_> = bad.map(|finding| (finding.check, finding.status)).collect();
        assert_eq!(bad, expected, "{lie:?}: {findings:#?}");
    }
}
