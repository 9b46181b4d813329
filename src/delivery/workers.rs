//! The workers: each takes an ended file one turn further, or a growing one a part.
//!
//! The rows are the queue; a lease says whose a file is. What a turn came to is written down here,
//! how it is done is [`super::finish`]'s and [`super::ahead`]'s.

use std::time::Duration;

use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use super::{DeliverError, Delivery, finish::Turn, layout::PARTS_WAITING, project::ProjectError};
use crate::{
    db::media_file::{Claim, Fence, Fenced},
    domain::media_file::MediaFile,
};

/// A worker that falls silent for this long loses its file to another.
pub(super) const LEASE_MS: i64 = 60_000;
/// How often a lease is renewed.
const RENEW: Duration = Duration::from_secs(20);
/// How often the rows are looked at without a nudge.
const POLL: Duration = Duration::from_secs(5);

/// What a worker would rather do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The ended files that have waited longest, in turn with growing ones.
    Oldest,
    /// The small ended files, so that they need not wait behind large ones.
    Smallest,
    /// Small ended files of the newest pushes and nothing else: the others may all wait for a store that
    /// takes its time to complete large ones, or be busy with what an earlier process left behind.
    Newest,
}

impl Delivery {
    /// Runs the workers until stopped; what they were doing is given back to be done again.
    pub async fn run(self, token: CancellationToken) {
        if let Err(error) = self.db.release_media_files_of(&self.settings.node_id).await {
            info!(%error, "leases of an earlier process run out by themselves");
        }
        let mut workers = JoinSet::new();
        let others = std::iter::repeat_n(Role::Oldest, self.settings.workers.saturating_sub(1));
        let roles = [Role::Smallest].into_iter().chain(others).chain([Role::Newest]);
        for (number, role) in roles.enumerate() {
            let (worker, token) = (self.clone(), token.clone());
            workers.spawn(async move { worker.work(number, role, token).await });
        }
        workers.spawn(self.clone().scout(token.clone()));
        workers.spawn(self.read_back(token));
        while let Some(joined) = workers.join_next().await {
            if let Err(error) = joined {
                error!(%error, "a delivery worker stopped");
            }
        }
    }

    /// Ended files and parts of growing ones, as they come.
    async fn work(self, number: usize, role: Role, token: CancellationToken) {
        let owner = format!("{}/{}/{number}", self.settings.node_id, std::process::id());
        let claim = match role {
            Role::Oldest => Claim::Oldest,
            Role::Smallest => Claim::Smallest,
            Role::Newest => Claim::Newest(self.settings.part_size.saturating_mul(PARTS_WAITING)),
        };
        let mut is_stale = false;
        let mut is_growing_next = false;
        while !token.is_cancelled() {
            // Registered before the query, so that a nudge in between is not missed. All are woken: what
            // came may not be what the one would take who looks first.
            let changed = self.db.media_changed().notified();
            let grown = self.uploads.woken().notified();
            is_growing_next = !is_growing_next && role == Role::Oldest;
            if is_growing_next && self.grow(&token).await {
                continue;
            }
            let (node_id, now_ms) = (&self.settings.node_id, (self.now_ms)());
            match self.db.claim_media_file(claim, node_id, &owner, now_ms, LEASE_MS).await {
                Ok(Some((file, fence))) => {
                    is_stale = false;
                    let span = info_span!("deliver", file.id = %file.id, stream.path = %file.path, container = %file.container);
                    self.handle(file, fence, &token).instrument(span).await;
                    continue;
                }
                Ok(None) => is_stale = false,
                Err(error) if !is_stale => {
                    is_stale = true;
                    warn!(%error, "ended media files cannot be read from the database; trying again");
                }
                Err(_) => {}
            }
            if role != Role::Newest && self.grow(&token).await {
                continue;
            }
            tokio::select! {
                () = token.cancelled() => {}
                () = changed => {}
                () = grown, if role != Role::Newest => {}
                () = sleep(POLL) => {}
            }
        }
    }

    /// Takes a growing file one part further. False if none is due.
    async fn grow(&self, token: &CancellationToken) -> bool {
        let Some(due) = self.uploads.next() else { return false };
        let span = info_span!("grow", file.id = %due.id);
        tokio::select! {
            () = self.go_ahead(due).instrument(span) => {}
            () = token.cancelled() => {}
        }
        true
    }

    /// Takes an ended file one turn further and writes down how that went.
    pub(super) async fn handle(&self, file: MediaFile, fence: Fence, token: &CancellationToken) {
        let made = tokio::select! {
            made = self.take_turn(&file, fence) => made,
            () = self.keep_lease(&file, fence) => Err(DeliverError::LeaseLost),
            () = token.cancelled() => {
                self.give_back(&file, fence).await;
                return;
            }
        };
        count(&made);
        let settled = match made {
            Ok(Turn::Done) => Ok(()),
            Ok(Turn::More) => {
                self.give_back(&file, fence).await;
                Ok(())
            }
            Err(DeliverError::Project(error)) if error.is_final() => {
                self.give_up(&file, fence, &error).await
            }
            Err(DeliverError::Spared) => self.spare(&file, fence).await,
            Err(DeliverError::LeaseLost) => {
                info!("a media file was taken over by another worker");
                Ok(())
            }
            Err(error) => self.postpone(&file, fence, &error).await,
        };
        if let Err(error) = settled {
            info!(%error, "the outcome of a media file could not be written; it is made again");
        }
    }

    async fn give_back(&self, file: &MediaFile, fence: Fence) {
        if let Err(error) = self.db.release_media_file(file.id, fence).await {
            info!(%error, "the lease of a media file runs out by itself");
        }
    }

    /// Renews the lease until it is lost.
    async fn keep_lease(&self, file: &MediaFile, fence: Fence) {
        loop {
            sleep(RENEW).await;
            let until = (self.now_ms)().saturating_add(LEASE_MS);
            if let Ok(Fenced::Lost) = self.db.renew_media_file(file.id, fence, until).await {
                return;
            }
        }
    }
}

/// Counts what an attempt at a file came to, in the metrics.
fn count(made: &Result<Turn, DeliverError>) {
    let outcome = match made {
        Ok(Turn::Done) => "stored",
        Err(DeliverError::Project(ProjectError::Empty)) => "empty",
        Err(DeliverError::Project(error)) if error.is_final() => "failed",
        Err(DeliverError::Spared) => "failed",
        Ok(Turn::More) | Err(DeliverError::LeaseLost) => return,
        Err(_) => "postponed",
    };
    metrics::counter!("liverec_delivery_attempts_total", "outcome" => outcome).increment(1);
}
