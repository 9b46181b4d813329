//! `liverec keys`: makes, lists and revokes key pairs of API clients, beside a running server, which
//! takes the change up within a few seconds.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, SecondsFormat};

use super::{master_key, now_ms};
use crate::{cli::KeysCommand, config::Config, db::Db, domain::api_key::Role};

/// Longest note, in bytes.
const MAX_NOTE_BYTES: usize = 255;

/// Carries the command out; answers what to print.
///
/// # Errors
/// There is no database yet, it refuses, or what was asked for does not exist.
pub async fn run(config: &Config, command: &KeysCommand) -> Result<String> {
    if let Some(file) = config.database.sqlite_file() {
        let shown = file.display();
        ensure!(file.exists(), "there is no database {shown} yet: start the server once");
    }
    let db = Db::connect(config.database.as_str()).await?;
    let text = carry_out(config, &db, command).await;
    db.close().await;
    text
}

async fn carry_out(config: &Config, db: &Db, command: &KeysCommand) -> Result<String> {
    match command {
        KeysCommand::Create { role, sub_app, note } => {
            let role = match (role.as_str(), sub_app) {
                ("sub-app", Some(id)) => Role::SubApp(*id),
                ("sub-app", None) => bail!("--role sub-app needs --sub-app NUMBER"),
                (_, Some(_)) => bail!("--sub-app belongs to --role sub-app"),
                ("read-only", None) => Role::ReadOnly,
                _ => Role::Admin,
            };
            ensure!(note.len() <= MAX_NOTE_BYTES, "--note may have {MAX_NOTE_BYTES} bytes");
            ensure!(!note.contains(char::is_control), "--note holds a control character");
            let master = master_key::load(config.api.master_key.as_ref(), &config.data_dir)?;
            let (key, secret) = master.generate(role, note.clone(), now_ms())?;
            ensure!(db.insert_api_key(&key).await?, "there are too many keys");
            Ok(format!(
                "secret_id  {}\nsecret_key {secret}\nThe secret is shown once. The key is in force within a few seconds.\n",
                key.key.secret_id
            ))
        }
        KeysCommand::List => {
            let mut text = String::new();
            for row in db.api_keys().await? {
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
        KeysCommand::Revoke { secret_id } => {
            ensure!(
                db.revoke_api_key(secret_id, now_ms()).await?,
                "there is no key {secret_id} in force; the configured one cannot be revoked here"
            );
            Ok(format!("{secret_id} is revoked; a running server knows within a few seconds\n"))
        }
    }
}

fn time(unix_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(unix_ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
