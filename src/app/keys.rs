//! `liverec keys`: makes, lists and revokes key pairs of API clients, beside a running server, which
//! takes the change up within a few seconds.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SecondsFormat};

use serde_json::{Value, json};

use super::{master_key, now_ms};
use crate::{
    config::Config,
    db::{self, Db},
    domain::{api_key::Role, audit::AuditEntry, ids::DecimalId},
};

/// Longest note, in bytes.
const MAX_NOTE_BYTES: usize = 255;

/// Makes a key pair; answers what to print, the secret among it.
///
/// # Errors
/// There is no database yet, it refuses, or the note cannot be one.
pub async fn create_key(config: &Config, role: Role, note: &str) -> Result<String> {
    ensure!(note.len() <= MAX_NOTE_BYTES, "--note may have {MAX_NOTE_BYTES} bytes");
    ensure!(!note.contains(char::is_control), "--note holds a control character");
    let master = master_key::load(config.api.master_key.as_ref(), &config.data_dir)?;
    let (key, secret) = master.generate(role, note.to_owned(), now_ms())?;
    let db = open(config).await?;
    let named = json!({
        "SecretId": key.key.secret_id,
        "Role": role.as_str(),
        "SubAppId": role.sub_app_id(),
        "Note": note,
    });
    let stored = audited(&db, "keys create", &named, db.insert_api_key(&key)).await;
    db.close().await;
    ensure!(stored?, "there are too many keys");
    Ok(format!(
        "secret_id  {}\nsecret_key {secret}\nThe secret is shown once. The key is in force within a few seconds.\n",
        key.key.secret_id
    ))
}

/// Every key pair, a line each, without secrets.
///
/// # Errors
/// There is no database yet, or it refuses.
pub async fn list_keys(config: &Config) -> Result<String> {
    let db = open(config).await?;
    let rows = db.api_keys().await;
    db.close().await;
    let mut text = String::new();
    for row in rows? {
        let key = row.key;
        let sub_app = key.role.sub_app_id().map(|id| format!(" {id}")).unwrap_or_default();
        let revoked = match key.revoked_ms {
            0 => String::new(),
            at => format!("  revoked {}", time(at)),
        };
        writeln!(
            text,
            "{}  {}{sub_app}  made {}{revoked}  {}",
            key.secret_id,
            key.role.as_str(),
            time(key.created_ms),
            key.note
        )
        .context("write the list")?;
    }
    Ok(text)
}

/// Revokes a key pair; answers what to print.
///
/// # Errors
/// There is no database yet, it refuses, or there is no such key in force.
pub async fn revoke_key(config: &Config, secret_id: &str) -> Result<String> {
    let db = open(config).await?;
    let named = json!({ "SecretId": secret_id });
    let revoke = db.revoke_api_key(secret_id, now_ms());
    let revoked = audited(&db, "keys revoke", &named, revoke).await;
    db.close().await;
    ensure!(
        revoked?,
        "there is no key {secret_id} in force; the configured one cannot be revoked here"
    );
    Ok(format!("{secret_id} is revoked; a running server knows within a few seconds\n"))
}

/// Makes a change with its entry in the audit log around it.
async fn audited(
    db: &Db,
    action: &str,
    named: &Value,
    change: impl Future<Output = db::Result<bool>>,
) -> db::Result<bool> {
    let at_ms = now_ms();
    let entry = AuditEntry {
        id: DecimalId::next(at_ms),
        at_ms,
        secret_id: AuditEntry::COMMAND_LINE.to_owned(),
        role: Role::Admin.as_str().to_owned(),
        action: action.to_owned(),
        peer: String::new(),
        request_id: String::new(),
        // The id of a key is none of its secrets, whatever its name looks like.
        parameters: named.to_string(),
    };
    db.insert_audit(&entry).await?;
    let done = change.await;
    let outcome = match &done {
        Ok(true) => "OK",
        Ok(false) => "refused",
        Err(_) => "InternalError",
    };
    db.finish_audit(entry.id, outcome, "").await?;
    done
}

async fn open(config: &Config) -> Result<Db> {
    if let Some(file) = config.database.sqlite_file() {
        let shown = file.display();
        ensure!(file.exists(), "there is no database {shown} yet: start the server once");
    }
    Ok(Db::connect(config.database.as_str()).await?)
}

fn time(unix_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(unix_ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
