//! A store that fails when it is told to, for unit tests: a wrapper around any other.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::Semaphore;

use super::{
    BoxFuture, ObjectBody, ObjectInfo, ObjectStore, OpenUpload, Page, Part, Result, StorageError,
    StorageKey, Upload,
};

/// When it fails.
#[derive(Debug, Default)]
struct Plan {
    is_down: bool,
    /// Keys that hold this text are refused for good.
    refused: Vec<String>,
    /// Parts for keys that hold this text wait until there is a permit.
    held: Option<(String, Arc<Semaphore>)>,
    calls: Vec<&'static str>,
}

/// A store that fails when it is told to.
#[derive(Clone)]
pub struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Mutex<Plan>>,
}

impl FailingStore {
    /// Fails nothing yet.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, plan: Arc::default() }
    }

    /// While it is down every call is a transient error.
    pub fn set_down(&self, is_down: bool) {
        self.plan().is_down = is_down;
    }

    /// From now on parts for a key that holds `part` wait until the answered semaphore has a permit.
    pub fn hold(&self, part: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.plan().held = Some((part.to_owned(), gate.clone()));
        gate
    }

    /// Whatever is asked of a key that holds `part` is refused.
    pub fn refuse(&self, part: &str) {
        self.plan().refused.push(part.to_owned());
    }

    /// Ends what [`FailingStore::refuse`] asked for.
    pub fn accept(&self) {
        self.plan().refused.clear();
    }

    /// Calls of this name so far, failed ones included.
    pub fn count(&self, call: &str) -> usize {
        self.plan().calls.iter().filter(|seen| **seen == call).count()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, call: &'static str, key: &str) -> Result<()> {
        let mut plan = self.plan();
        plan.calls.push(call);
        let message = "as asked".to_owned();
        if plan.refused.iter().any(|part| key.contains(part.as_str())) {
            return Err(StorageError::Refused { action: call, message });
        }
        match plan.is_down {
            true => Err(StorageError::Transient { action: call, message }),
            false => Ok(()),
        }
    }
}

impl ObjectStore for FailingStore {
    fn put<'a>(&'a self, key: &'a StorageKey, body: Bytes) -> BoxFuture<'a, Result<()>> {
        async move {
            self.enter("put", key.as_str())?;
            self.inner.put(key, body).await
        }
        .boxed()
    }

    fn start<'a>(&'a self, key: &'a StorageKey, part_size: u64) -> BoxFuture<'a, Result<Upload>> {
        async move {
            self.enter("start", key.as_str())?;
            self.inner.start(key, part_size).await
        }
        .boxed()
    }

    fn put_part<'a>(
        &'a self,
        upload: &'a Upload,
        number: u32,
        body: Bytes,
    ) -> BoxFuture<'a, Result<Part>> {
        async move {
            self.enter("put_part", upload.key.as_str())?;
            let held = self.plan().held.clone();
            if let Some((_, gate)) = held.filter(|(part, _)| upload.key.as_str().contains(part)) {
                let _permit = gate.acquire().await;
            }
            self.inner.put_part(upload, number, body).await
        }
        .boxed()
    }

    fn complete<'a>(&'a self, upload: &'a Upload, parts: &'a [Part]) -> BoxFuture<'a, Result<()>> {
        async move {
            self.enter("complete", upload.key.as_str())?;
            self.inner.complete(upload, parts).await
        }
        .boxed()
    }

    fn abort<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<()>> {
        async move {
            self.enter("abort", upload.key.as_str())?;
            self.inner.abort(upload).await
        }
        .boxed()
    }

    fn list_parts<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<Vec<Part>>> {
        async move {
            self.enter("list_parts", upload.key.as_str())?;
            self.inner.list_parts(upload).await
        }
        .boxed()
    }

    fn head<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<ObjectInfo>>> {
        async move {
            self.enter("head", key.as_str())?;
            self.inner.head(key).await
        }
        .boxed()
    }

    fn get<'a>(
        &'a self,
        key: &'a StorageKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<ObjectBody>> {
        async move {
            self.enter("get", key.as_str())?;
            self.inner.get(key, range).await
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<()>> {
        async move {
            self.enter("delete", key.as_str())?;
            self.inner.delete(key).await
        }
        .boxed()
    }

    fn list<'a>(&'a self, under: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page>> {
        async move {
            self.enter("list", under)?;
            self.inner.list(under, after).await
        }
        .boxed()
    }

    fn list_uploads(&self) -> BoxFuture<'_, Result<Vec<OpenUpload>>> {
        async move {
            self.enter("list_uploads", "")?;
            self.inner.list_uploads().await
        }
        .boxed()
    }

    fn uploads_of<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Vec<OpenUpload>>> {
        async move {
            self.enter("uploads_of", key.as_str())?;
            self.inner.uploads_of(key).await
        }
        .boxed()
    }

    fn discard<'a>(&'a self, upload: &'a OpenUpload) -> BoxFuture<'a, Result<()>> {
        async move {
            self.enter("discard", upload.name.as_deref().unwrap_or_default())?;
            self.inner.discard(upload).await
        }
        .boxed()
    }

    fn is_own_disk(&self) -> bool {
        self.inner.is_own_disk()
    }

    fn check(&self) -> BoxFuture<'_, Result<()>> {
        async move {
            self.enter("check", "")?;
            self.inner.check().await
        }
        .boxed()
    }
}
