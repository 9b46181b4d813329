//! The database: whose schema it has, whether it can be written, and what it says of time.

use super::{advice, report::Finding};
use crate::db::{Db, DbError, media_file::ExpiryClock};

/// Clocks that differ more are a warning, in milliseconds.
const OTHER_CLOCK_MS: i64 = 5_000;
/// An unfinished file older than this is a warning, in milliseconds.
const LONG_BACKLOG_MS: i64 = 3_600_000;
/// A clock ahead of what was believed by more than this is for the operator to confirm.
const DOUBTFUL_MS: i64 = 7 * 24 * 3_600_000;

/// What cannot be reached is one finding.
pub fn unreachable(error: &DbError) -> Finding {
    failed("database", error)
}

fn failed(check: &'static str, error: &DbError) -> Finding {
    let text = match error {
        DbError::Sql { action, source } => format!("{action}: {source}"),
        other => other.to_string(),
    };
    Finding::fail(check, &text, advice::for_database(&text))
}

/// Reads only. The flag says whether its rows can be used.
pub(super) async fn look(db: &Db, node_id: Option<&str>, now_ms: i64) -> (Vec<Finding>, bool) {
    let versions = match db.schema_versions().await {
        Ok(versions) => versions,
        Err(error) => return (vec![failed("database", &error)], false),
    };
    let (database, program) = (versions.database, versions.program);
    if database > program {
        let found =
            format!("its schema has version {database}, this program knows up to {program}");
        let advice = "the database was used by a newer liverec: run that one, or restore a backup made before";
        return (vec![Finding::fail("database", found, advice)], false);
    }
    if database < program {
        let found = format!("its schema has version {database}, this program has {program}");
        let advice = "start the server once: it brings the database up to date";
        return (vec![Finding::warn("database", found, advice)], false);
    }
    let mut findings =
        vec![Finding::ok("database", format!("reachable, schema version {database}"))];
    match db.server_time_ms().await {
        Ok(None) => {}
        Ok(Some(server_ms)) => findings.push(server_clock(server_ms.saturating_sub(now_ms))),
        Err(error) => findings.push(failed("clock.database", &error)),
    }
    if let Some(node_id) = node_id {
        findings.extend(backlog(db, node_id, now_ms).await);
    }
    (findings, true)
}

fn server_clock(ahead_ms: i64) -> Finding {
    match ahead_ms.abs() > OTHER_CLOCK_MS {
        true => Finding::warn(
            "clock.database",
            format!("the clock of the database server differs by {} s", ahead_ms / 1000),
            "set both clocks (NTP)",
        ),
        false => Finding::ok("clock.database", "the clock of the database server agrees"),
    }
}

async fn backlog(db: &Db, node_id: &str, now_ms: i64) -> Option<Finding> {
    const CHECK: &str = "delivery";
    Some(match db.delivery_backlog(node_id).await {
        Err(error) => failed(CHECK, &error),
        Ok(backlog) if backlog.files == 0 => {
            Finding::ok(CHECK, "no ended recording waits to be stored")
        }
        Ok(backlog) => {
            let waits_ms = now_ms.saturating_sub(backlog.oldest_end_ms);
            let found = format!(
                "{} ended recordings are not stored yet, the oldest since {} min",
                backlog.files,
                waits_ms / 60_000
            );
            match waits_ms > LONG_BACKLOG_MS {
                true => {
                    Finding::warn(CHECK, found, "the log says why, and whether the store is away")
                }
                false => Finding::ok(CHECK, found),
            }
        }
    })
}

/// Writes a row and takes it back.
pub(super) async fn probe(db: &Db) -> Finding {
    match db.probe_write().await {
        Ok(()) => Finding::ok("database.write", "a row was written and taken back"),
        Err(error) => failed("database.write", &error),
    }
}

/// Whether expiry believes the clock; with `confirms` it does from now on. The flag says whether the
/// age of things can be told.
pub(super) async fn clock(db: &Db, node_id: &str, now_ms: i64, confirms: bool) -> (Finding, bool) {
    const CHECK: &str = "clock";
    let believed = match db.expiry_clock(node_id).await {
        Ok(Some(believed)) => believed,
        Ok(None) => return (Finding::ok(CHECK, "nothing is known of it yet"), true),
        Err(error) => return (failed(CHECK, &error), false),
    };
    let ahead_ms = now_ms.saturating_sub(believed.trusted_ms);
    if believed.paused_since_ms == 0 && (-DOUBTFUL_MS..=DOUBTFUL_MS).contains(&ahead_ms) {
        let found = "it goes on from the newest time seen before (no time server is asked)";
        return (Finding::ok(CHECK, found), true);
    }
    let days = ahead_ms as f64 / 86_400_000.0;
    if confirms {
        let clock = ExpiryClock { trusted_ms: now_ms, paused_since_ms: 0 };
        return match db.set_expiry_clock(node_id, clock).await {
            Ok(()) => (
                Finding::ok(
                    CHECK,
                    format!("confirmed; it was {days:.1} days from the newest time believed"),
                ),
                false,
            ),
            Err(error) => (failed(CHECK, &error), false),
        };
    }
    let found = format!(
        "it is {days:.1} days from the newest time believed; nothing expires if it is ahead"
    );
    let advice = "set the clock; if it is right, `liverec doctor --fix` says so";
    (Finding::warn(CHECK, found, advice), false)
}
