//! Uploads in parts that the store has begun and nobody knows the id of: its answer was lost, or it
//! began them when nobody waited any more.
//!
//! They are found by the key of the object that they were to be, and freed before the next upload of
//! that key is begun. A request that is still on its way then takes effect later, so the key is looked
//! at again for an hour, ever more rarely. What is left after that `liverec doctor` finds.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::Delivery;
use crate::{
    db::{Db, DbError, media_file::StrayUpload},
    domain::media_file::MediaFile,
    storage::{self, ObjectStore, OpenUpload, StorageKey},
};

/// Pause between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// Keys of one round.
const BATCH: i64 = 100;
/// The first look at a key; the pauses between the others grow as the time since then.
const FIRST_LOOK_MS: i64 = 5_000;
/// How long a key is looked at.
const LOOKED_AT_MS: i64 = 3_600_000;

impl Delivery {
    /// Sees to it that strays of this key which may yet come are looked for.
    pub(super) async fn note_stray(
        &self,
        file: &MediaFile,
        key: &StorageKey,
    ) -> Result<(), DbError> {
        let now_ms = (self.now_ms)();
        let due_ms = now_ms.saturating_add(FIRST_LOOK_MS);
        self.db.note_stray_upload(file.id, key.as_str(), now_ms, due_ms).await
    }
}

/// Frees every upload of a key of which no id is known.
pub(super) async fn free_all(store: &dyn ObjectStore, key: &StorageKey) -> storage::Result<()> {
    free(store, key, store.uploads_of(key).await?, "").await
}

/// Frees these uploads, but for the one that is known.
async fn free(
    store: &dyn ObjectStore,
    key: &StorageKey,
    uploads: Vec<OpenUpload>,
    known: &str,
) -> storage::Result<()> {
    for upload in uploads.iter().filter(|upload| upload.id != known) {
        store.discard(upload).await?;
        info!(key = key.as_str(), upload.id, "an upload that nobody knew of was freed");
    }
    Ok(())
}

/// Looks for strays.
pub(super) struct Strays {
    pub db: Db,
    pub store: Arc<dyn ObjectStore>,
    /// Unix milliseconds.
    pub now_ms: fn() -> i64,
}

impl Strays {
    /// Goes round until stopped.
    pub(super) async fn run(self, token: CancellationToken) {
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(ROUND) => {}
            }
            let round = tokio::select! {
                () = token.cancelled() => return,
                round = self.round() => round,
            };
            if let Err(error) = round {
                debug!(%error, "stray uploads cannot be looked for now");
            }
        }
    }

    async fn round(&self) -> Result<(), DbError> {
        for stray in self.db.due_stray_uploads((self.now_ms)(), BATCH).await? {
            self.look(&stray).await?;
        }
        Ok(())
    }

    async fn look(&self, stray: &StrayUpload) -> Result<(), DbError> {
        let Ok(key) = StorageKey::parse(&stray.key) else {
            return self.db.forget_stray_upload(stray).await;
        };
        // Listed first and asked for afterwards: one that is begun meanwhile is not in the list, and
        // one that was begun before is in the row, or the row says that one is being begun.
        let freed = match self.store.uploads_of(&key).await {
            Ok(listed) if listed.is_empty() => Ok(()),
            Ok(listed) => {
                let row = self.db.media_upload(stray.file).await?.unwrap_or_default();
                match row.upload_id.split_once(':').map_or("none", |(_, id)| id) {
                    "" => Ok(()),
                    known => free(&*self.store, &key, listed, known).await,
                }
            }
            Err(error) => Err(error),
        };
        let now_ms = (self.now_ms)();
        let age_ms = now_ms.saturating_sub(stray.noted_ms).max(FIRST_LOOK_MS);
        if let Err(error) = &freed {
            debug!(%error, key = stray.key, "uploads of an object cannot be freed now");
        }
        // One that the store refuses to list is not worth an eternity.
        let is_over = !freed.is_err_and(|error| error.is_transient());
        if age_ms > LOOKED_AT_MS && is_over {
            return self.db.forget_stray_upload(stray).await;
        }
        let pause_ms = age_ms.min(LOOKED_AT_MS);
        self.db.defer_stray_upload(stray, now_ms, now_ms.saturating_add(pause_ms)).await
    }
}
