//! From ended media files to products in the store: claim, project, store, commit.
//!
//! The rows are the queue: a worker claims an ended file of this node, makes its product from the
//! journal, stores it, and commits row and callback in one transaction. Whatever fails in between
//! is tried again; nothing is given up but what a container cannot carry. Knows nothing of live
//! streams; `record` decides what an ended file is.

mod ahead;
mod beginning;
mod boot_clock;
mod buffers;
pub mod callback;
mod check;
mod clock_guard;
mod damage;
mod emit;
mod error;
pub mod evidence;
mod expiry;
pub mod facts;
mod finish;
mod first_walk;
mod flv_clock;
mod flv_plan;
mod growing;
mod hls;
mod hls_remains;
mod hls_step;
pub mod janitor;
mod layout;
mod left_out;
mod objects;
mod observe;
mod part;
mod product;
pub mod project;
pub mod publish_auth;
mod pushed;
pub mod source;
mod spared;
mod step;
mod strays;
mod timeline;
pub mod upload;
mod uploads;
mod view;
mod walk_ahead;
mod window;
mod workers;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::{error, info, warn};

use crate::{
    db::{
        Db, DbError,
        media_file::{Fence, Fenced},
    },
    domain::{
        callback::{self as event, Event, NewCallback, RecordEvent, RecordException},
        file_name,
        ids::DecimalId,
        media_file::{MediaFacts, MediaFile, MediaFileState},
        snapshot::Snapshot,
        verification::Verification,
    },
    journal::Journal,
    storage::{ObjectStore, StorageKey},
};

use check::Proof;
use error::DeliverError;
pub use hls::{GrowingHls, HlsSettings};
use project::ProjectError;
use uploads::Uploads;

/// Pauses after failed attempts grow from the first to the second.
const RETRY_MS: (i64, i64) = (2_000, 60_000);

/// What delivery is told at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node: only its files are claimed, since only it has their journals.
    pub node_id: String,
    /// The account number in events.
    pub app_id: u64,
    /// Base of `video_url`, without a trailing slash.
    pub public_url: String,
    /// Seconds east of UTC for times in names.
    pub utc_offset_s: i32,
    /// How HLS products are made.
    pub hls: HlsSettings,
    /// Bytes of a part.
    pub part_size: u64,
    /// Files made at the same time, and one small one; bounds memory to that many parts.
    pub workers: usize,
}

/// Makes products.
#[derive(Clone)]
pub struct Delivery {
    /// Settings.
    pub settings: Arc<Settings>,
    /// Rows.
    pub db: Db,
    /// Where the bytes come from.
    pub journal: Journal,
    /// Where they go.
    pub store: Arc<dyn ObjectStore>,
    /// Configuration, for callback targets.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Unix milliseconds.
    pub now_ms: fn() -> i64,
    /// What is under way.
    uploads: Arc<Uploads>,
}

impl Delivery {
    /// Nothing runs yet. `now_ms` answers unix milliseconds, `snapshot` the callback targets.
    pub fn new(
        settings: Settings,
        db: Db,
        journal: Journal,
        store: Arc<dyn ObjectStore>,
        snapshot: Arc<ArcSwap<Snapshot>>,
        now_ms: fn() -> i64,
    ) -> Self {
        let (settings, uploads) = (Arc::new(settings), Arc::default());
        Self { settings, db, journal, store, snapshot, now_ms, uploads }
    }

    async fn commit(
        &self,
        mut file: MediaFile,
        verification: &Verification,
        proof: Proof,
        fence: Fence,
    ) -> Result<(), DeliverError> {
        let now_ms = (self.now_ms)();
        let mut tx = self.db.begin().await?;
        let recording = Db::load_recording(&mut tx, file.recording).await?;
        let param = recording.as_ref().map(|r| r.template.param(file.container));
        let pattern = param.map_or("", |p| p.vod_file_name.as_str());
        let MediaFacts { start_ms, end_ms, .. } = file.facts;
        let stream = file.path.stream.as_str();
        file.name =
            file_name::expand(pattern, stream, start_ms, end_ms, self.settings.utc_offset_s);
        let storage_s = param.map_or(0, |p| p.storage_time);
        file.expire_ms = match storage_s {
            0 => 0,
            s => Db::storage_time_from_ms(&mut tx, &self.settings.node_id, now_ms)
                .await?
                .saturating_add(s.saturating_mul(1000)),
        };
        file.state = MediaFileState::Stored;
        if Db::commit_stored_media_file(&mut tx, &file, fence, now_ms).await? == Fenced::Lost {
            return Err(DeliverError::LeaseLost);
        }
        Db::set_media_file_verification(&mut tx, file.id, verification).await?;
        let verified_ms = if proof == Proof::Verified { now_ms } else { 0 };
        let was_announced = Db::announce_media_file(&mut tx, file.id, verified_ms, now_ms).await?;
        let key = StorageKey::parse(&file.storage_key).map(|key| key.url_path());
        let url = format!("{}/vod/{}", self.settings.public_url, key.unwrap_or_default());
        if !was_announced {
            let stored = event::file_stored(&file, verification, self.settings.app_id, &url);
            self.enqueue(&mut tx, &file, stored).await?;
            self.tell_left_out(&mut tx, &file, recording.as_ref(), verification).await?;
        }
        self.db.commit(tx, "commit a media file").await?;
        if !was_announced {
            left_out::tell_lost(&file, verification);
        }
        self.db.outbox_changed().notify_one();
        info!(
            size_bytes = file.facts.size_bytes,
            duration_ms = file.facts.duration_ms,
            url = %url,
            "media file stored"
        );
        Ok(())
    }

    /// Nothing can make this product: say so in the row and to the receiver.
    async fn give_up(
        &self,
        file: &MediaFile,
        fence: Fence,
        error: &ProjectError,
    ) -> Result<(), DeliverError> {
        self.abort_earlier(file, &step::main_key(file)).await?;
        // What the store has of it is all that is left if its journal is gone.
        if !matches!(error, ProjectError::Journal(_) | ProjectError::Lost) {
            self.remove_product(file).await?;
        }
        self.db.forget_media_upload(file.id).await?;
        self.uploads.forget(file.id);
        let now_ms = (self.now_ms)();
        let state = match error {
            ProjectError::Empty => MediaFileState::Empty,
            _ => MediaFileState::Failed,
        };
        let mut tx = self.db.begin().await?;
        let reason = error.to_string();
        if Db::fail_media_file(&mut tx, file.id, fence, state, &reason, now_ms).await?
            == Fenced::Lost
        {
            return Err(DeliverError::LeaseLost);
        }
        if state == MediaFileState::Failed {
            match error {
                ProjectError::Journal(_) => {
                    error!(reason, "a media file cannot be made; nothing is left of its journal");
                }
                _ => warn!(reason, "a media file cannot be made; its journal is kept"),
            }
            if let Some(recording) = Db::load_recording(&mut tx, file.recording).await? {
                let seq = DecimalId::next(now_ms);
                let failed = event::record_status(
                    &recording,
                    &file.path,
                    self.settings.app_id,
                    RecordEvent::Error,
                    seq,
                    now_ms,
                );
                self.enqueue(&mut tx, file, failed).await?;
                let (what, app_id) = (RecordException::WriteError, self.settings.app_id);
                let exception = event::stream_exception(
                    &recording, &file.path, app_id, what, 1, &reason, now_ms,
                );
                self.enqueue(&mut tx, file, exception).await?;
            }
        } else {
            info!("of a media file headers and onMetaData came at most; nothing is stored");
        }
        self.db.commit(tx, "commit a media file").await?;
        self.db.outbox_changed().notify_one();
        Ok(())
    }

    async fn postpone(
        &self,
        file: &MediaFile,
        fence: Fence,
        error: &DeliverError,
    ) -> Result<(), DeliverError> {
        let now_ms = (self.now_ms)();
        let age_ms = now_ms.saturating_sub(file.facts.end_ms).max(0);
        let pause_ms = (age_ms / 4).clamp(RETRY_MS.0, RETRY_MS.1);
        match self.uploads.is_news(file.id, now_ms) {
            true => {
                warn!(%error, retry_in_ms = pause_ms, "a media file could not be stored; its journal is kept and it is tried again");
            }
            false => info!(%error, retry_in_ms = pause_ms, "a media file still cannot be stored"),
        }
        let next_ms = now_ms.saturating_add(pause_ms);
        let text = error.to_string();
        let _lost = self.db.postpone_media_file(file.id, fence, next_ms, &text, now_ms).await?;
        Ok(())
    }

    async fn enqueue(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Any>,
        file: &MediaFile,
        event: Event,
    ) -> Result<(), DbError> {
        let snapshot = self.snapshot.load_full();
        let template = event::template_for(&snapshot, &file.path);
        let Some(callback) = template.and_then(|t| NewCallback::new(t, event)) else {
            return Ok(());
        };
        Db::enqueue_callbacks(tx, (self.now_ms)(), &[callback]).await
    }
}

#[cfg(test)]
mod tests;
