//! The object store: can everything be done there that delivery does, and does it mean the same.
//!
//! All objects of a probe have a random name under `liverec-doctor/` and are removed at its end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::time::timeout;
use uuid::Uuid;

use super::{advice, report::Finding};
use crate::{
    domain::{container::Container, ids::DecimalId},
    storage::{MIN_PART_BYTES, ObjectBody, ObjectStore, Part, StorageError, StorageKey, Upload},
};

/// First component of the names of probes.
pub(super) const PROBES: &str = "liverec-doctor";
/// Longest step.
const STEP: Duration = Duration::from_secs(60);
/// Bytes of the last part.
const LAST_PART: u64 = 1000;
/// Clocks that differ more are a warning, in milliseconds.
const OTHER_CLOCK_MS: i64 = 60_000;

/// One probe: names, and what was found so far.
struct Probe {
    store: Arc<dyn ObjectStore>,
    /// Tells the names of this run from those of another.
    run: String,
    now_ms: i64,
    findings: Vec<Finding>,
}

/// Looks, and changes nothing. `now_ms` is the clock; the flag says whether the store can be used at all.
pub(super) async fn look(store: &Arc<dyn ObjectStore>, now_ms: i64) -> (Vec<Finding>, bool) {
    let mut probe = Probe::new(store, now_ms);
    let is_there = probe.step("store.reach", "the store answers", store.check()).await.is_some();
    if is_there {
        probe.missing().await;
    }
    (probe.findings, is_there)
}

/// Does everything once. `now_ms` is the clock.
pub(super) async fn probe(store: &Arc<dyn ObjectStore>, now_ms: i64) -> (Vec<Finding>, bool) {
    let mut probe = Probe::new(store, now_ms);
    if probe.step("store.reach", "the store answers", store.check()).await.is_none() {
        return (probe.findings, false);
    }
    probe.missing().await;
    let key = probe.key("put");
    let put = probe.step("store.put", "an object was stored", store.put(&key, pattern(1, 4096)));
    if put.await.is_some() {
        probe.read(&key).await;
        probe.overwrite(&key).await;
        probe.list(&key).await;
        probe.multipart().await;
        probe.abort().await;
        probe.delete(&key).await;
    }
    (probe.findings, true)
}

impl Probe {
    fn new(store: &Arc<dyn ObjectStore>, now_ms: i64) -> Self {
        let run = Uuid::now_v7().to_string();
        Self { store: store.clone(), run, now_ms, findings: Vec::new() }
    }

    /// A name as a media file has it, so that what a crash leaves is found as an orphan.
    fn key(&self, name: &str) -> StorageKey {
        let id = DecimalId::next(self.now_ms);
        StorageKey::product(PROBES, &self.run, name, id, Container::Aac)
    }

    /// Notes how a call came out; its answer if it came.
    async fn step<T>(
        &mut self,
        check: &'static str,
        good: &str,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Option<T> {
        match bounded(call).await {
            Ok(answer) => {
                self.findings.push(Finding::ok(check, good));
                Some(answer)
            }
            Err(error) => {
                self.findings.push(Finding::fail(check, &error, advice::for_store(&error)));
                None
            }
        }
    }

    fn note(&mut self, check: &'static str, outcome: Result<String, String>, advice: &str) {
        self.findings.push(match outcome {
            Ok(found) => Finding::ok(check, found),
            Err(found) => Finding::fail(check, found, advice),
        });
    }

    /// A key that is not there must be said not to be there: without the right to list, S3 answers
    /// `forbidden`, and a lost answer to Complete cannot be told from a failure.
    async fn missing(&mut self) {
        const CHECK: &str = "store.missing";
        let key = self.key("missing");
        let finding = match bounded(self.store.head(&key)).await {
            Ok(None) => match bounded(self.store.get(&key, None)).await {
                Ok(_) => Finding::fail(
                    CHECK,
                    "an object that was never stored can be read",
                    "this is no S3 store that liverec can use",
                ),
                Err(error) if error.starts_with("no object") => {
                    Finding::ok(CHECK, "a missing object is said to be missing")
                }
                Err(error) => Finding::warn(
                    CHECK,
                    format!("a missing object is answered with: {error}"),
                    advice::for_store(&error),
                ),
            },
            Ok(Some(_)) => Finding::fail(
                CHECK,
                "an object that was never stored is said to be there",
                "this is no S3 store that liverec can use",
            ),
            Err(error) if error.contains("403") => Finding::warn(
                CHECK,
                "a missing object is answered with `forbidden`",
                "give the key the right s3:ListBucket on the bucket: without it a lost answer cannot be told from a failure",
            ),
            Err(error) => Finding::fail(CHECK, &error, advice::for_store(&error)),
        };
        self.findings.push(finding);
    }

    async fn read(&mut self, key: &StorageKey) {
        let (store, whole) = (self.store.clone(), pattern(1, 4096));
        let all = bounded(async { bytes_of(store.get(key, None).await?).await }).await;
        let outcome = all.and_then(|bytes| same(&bytes, &whole, "the object was read back"));
        self.note("store.get", outcome, "the store alters what is stored: do not use it");
        let range =
            bounded(async { bytes_of(store.get(key, Some(1000..3000)).await?).await }).await;
        let wanted = whole.slice(1000..3000);
        let outcome = range.and_then(|bytes| same(&bytes, &wanted, "a range was read"));
        self.note("store.range", outcome, "the store, or a proxy in front of it, does not answer ranges as asked; playback needs them");
    }

    async fn overwrite(&mut self, key: &StorageKey) {
        let (store, new) = (self.store.clone(), pattern(2, 5000));
        let read = bounded(async {
            store.put(key, new.clone()).await?;
            bytes_of(store.get(key, None).await?).await
        });
        let outcome = read
            .await
            .and_then(|bytes| same(&bytes, &new, "an object was replaced and read back new"));
        self.note("store.overwrite", outcome, "the store keeps old objects (object lock, a cache in front?): playlists are replaced, and products when they are made again");
    }

    async fn list(&mut self, key: &StorageKey) {
        let under = format!("{PROBES}/{}/", self.run);
        let page = match bounded(self.store.list(&under, None)).await {
            Ok(page) => page,
            Err(error) => {
                let found = format!("objects cannot be listed: {error}");
                self.findings.push(Finding::warn("store.list", found, advice::for_store(&error)));
                return;
            }
        };
        let Some(object) = page.objects.iter().find(|object| object.name == key.as_str()) else {
            self.findings.push(Finding::warn(
                "store.list",
                "an object that was stored just now is not listed",
                "the store lists late: orphans are found later, nothing else depends on it",
            ));
            return;
        };
        self.findings.push(Finding::ok("store.list", "objects can be listed"));
        let ahead_ms = object.modified_ms.saturating_sub(self.now_ms);
        self.findings.push(match ahead_ms.abs() > OTHER_CLOCK_MS {
            true => Finding::warn(
                "clock.store",
                format!("the clock of the store differs by {} s", ahead_ms / 1000),
                "set both clocks (NTP); from 15 minutes on S3 refuses requests",
            ),
            false => Finding::ok("clock.store", "the clock of the store agrees"),
        });
        if let Err(error) = bounded(self.store.list_uploads()).await {
            let found = format!("open uploads cannot be listed: {error}");
            let advice = "uploads that a crash left open cannot be found from here: give the bucket a lifecycle rule that aborts incomplete uploads after 7 days";
            self.findings.push(Finding::warn("store.uploads", found, advice));
        } else {
            self.findings.push(Finding::ok("store.uploads", "open uploads can be listed"));
        }
    }

    /// As delivery does it: equal parts, the first one last.
    async fn multipart(&mut self) {
        let key = self.key("parts");
        let store = self.store.clone();
        let start = store.start(&key, MIN_PART_BYTES);
        let Some(upload) = self.step("store.upload", "an upload in parts was begun", start).await
        else {
            return;
        };
        let made = bounded(make(&store, &upload)).await;
        let is_made = made.is_ok();
        let advice = made.as_ref().err().map_or("", |error| advice::for_store(error));
        self.note(
            "store.multipart",
            made.map(|()| {
                "three parts were stored, the first one last, listed and completed".to_owned()
            }),
            advice,
        );
        if is_made {
            let joint = MIN_PART_BYTES - 10..MIN_PART_BYTES + 10;
            let read = bounded(async { bytes_of(store.get(&key, Some(joint)).await?).await }).await;
            let wanted = [tail(&part_bytes(1)), part_bytes(2).slice(..10)].concat();
            let outcome =
                read.and_then(|bytes| same(&bytes, &wanted, "the parts are in their order"));
            self.note(
                "store.order",
                outcome,
                "the store joins parts in the wrong order: do not use it",
            );
        } else if let Err(error) = bounded(store.abort(&upload)).await {
            self.findings.push(Finding::warn("store.abort", &error, advice::for_store(&error)));
        }
        self.remove(&key).await;
    }

    async fn abort(&mut self) {
        let key = self.key("aborted");
        let store = self.store.clone();
        let outcome = bounded(async {
            let upload = store.start(&key, MIN_PART_BYTES).await?;
            store.put_part(&upload, 1, pattern(3, LAST_PART)).await?;
            store.abort(&upload).await?;
            is_gone(&store, &key).await
        });
        let outcome = match outcome.await {
            Ok(true) => Ok("an upload was aborted and left nothing".to_owned()),
            Ok(false) => Err("an aborted upload became an object".to_owned()),
            Err(error) => Err(error),
        };
        let advice = outcome.as_ref().err().map_or("", |error| advice::for_store(error));
        self.note("store.abort", outcome, advice);
    }

    async fn delete(&mut self, key: &StorageKey) {
        let store = self.store.clone();
        let outcome = bounded(async {
            store.delete(key).await?;
            store.delete(key).await?;
            is_gone(&store, key).await
        });
        let outcome = match outcome.await {
            Ok(true) => Ok("objects were removed; removing one again is no error".to_owned()),
            Ok(false) => Err("an object is still there after it was removed".to_owned()),
            Err(error) => Err(error),
        };
        let advice = outcome.as_ref().err().map_or("", |error| advice::for_store(error));
        self.note("store.delete", outcome, advice);
    }

    /// Takes a probe object away; what stays is for the operator.
    async fn remove(&mut self, key: &StorageKey) {
        if let Err(error) = bounded(self.store.delete(key)).await {
            let found = format!("{key} could not be removed: {error}");
            self.findings.push(Finding::warn("store.cleanup", found, "remove it by hand"));
        }
    }
}

/// Stores, lists and completes three parts.
async fn make(store: &Arc<dyn ObjectStore>, upload: &Upload) -> Result<(), StorageError> {
    let mut parts = vec![store.put_part(upload, 2, part_bytes(2)).await?];
    parts.push(store.put_part(upload, 3, part_bytes(3)).await?);
    parts.push(store.put_part(upload, 1, part_bytes(1)).await?);
    parts.sort_by_key(|part| part.number);
    let listed = store.list_parts(upload).await?;
    let shape = |parts: &[Part]| parts.iter().map(|p| (p.number, p.size)).collect::<Vec<_>>();
    if shape(&listed) != shape(&parts) {
        let message = format!("parts {:?} are listed as {:?}", shape(&parts), shape(&listed));
        return Err(StorageError::Refused { action: "list the parts of an upload", message });
    }
    store.complete(upload, &parts).await
}

/// Whether there is no such object, as far as the key may know: without the right to list, a store
/// answers `forbidden` for what is not there.
async fn is_gone(store: &Arc<dyn ObjectStore>, key: &StorageKey) -> Result<bool, StorageError> {
    match store.head(key).await {
        Ok(object) => Ok(object.is_none()),
        Err(error) if error.to_string().contains("HTTP 403") => Ok(true),
        Err(error) => Err(error),
    }
}

fn part_bytes(number: u32) -> Bytes {
    pattern(u64::from(number) + 3, if number == 3 { LAST_PART } else { MIN_PART_BYTES })
}

/// Bytes that differ from place to place and from seed to seed.
fn pattern(seed: u64, len: u64) -> Bytes {
    (0..len)
        .map(|n| (n.wrapping_mul(31).wrapping_add(n >> 9).wrapping_add(seed * 77)) as u8)
        .collect()
}

fn tail(bytes: &Bytes) -> Bytes {
    bytes.slice(bytes.len().saturating_sub(10)..)
}

fn same(found: &[u8], expected: &[u8], good: &str) -> Result<String, String> {
    match found == expected {
        true => Ok(good.to_owned()),
        false => {
            Err(format!("{} other bytes came back instead of {}", found.len(), expected.len()))
        }
    }
}

async fn bytes_of(body: ObjectBody) -> Result<Vec<u8>, StorageError> {
    Ok(body.stream.try_collect::<Vec<_>>().await?.concat())
}

async fn bounded<T>(call: impl Future<Output = Result<T, StorageError>>) -> Result<T, String> {
    match timeout(STEP, call).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("time-out: no answer within {} s", STEP.as_secs())),
    }
}

#[cfg(test)]
mod tests;
