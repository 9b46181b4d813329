//! What a service manager is told (sd_notify: READY, STOPPING, WATCHDOG); nothing without one.

use sd_notify::{NotifyState, notify};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::sockets::Addresses;

/// Every socket accepts.
pub fn ready(addresses: &Addresses) {
    let status = addresses.to_string();
    say(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Recordings are being finished; nothing is accepted any more.
pub fn stopping() {
    say(&[NotifyState::Stopping, NotifyState::Status("finishing recordings")]);
}

/// Shows signs of life twice in each interval that the manager asks for, until stopped.
pub async fn watchdog(token: CancellationToken) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        token.cancelled().await;
        return;
    };
    loop {
        say(&[NotifyState::Watchdog]);
        tokio::select! {
            () = token.cancelled() => return,
            () = sleep(interval / 2) => {}
        }
    }
}

fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        info!(%error, "the service manager cannot be told");
    }
}
