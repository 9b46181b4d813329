//! LiverecDescribeRecordings, an action of this server's own: every file of the recordings with how
//! far it is on its way from the journal to the store.

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    page::Page,
    params::Params,
    scope,
    state::State,
    time::utc,
};
use crate::{
    db::media_file::{DeliveryRow, DeliverySearch},
    domain::media_file::MediaFileState,
};

/// Rows of a page.
const SIZES: std::ops::RangeInclusive<u64> = 1..=100;

/// LiverecDescribeRecordings: files of recordings, the newest first. `StreamName`, `AppName`,
/// `DomainName` and `State` (of the file: `recording`, `ended`, `stored`, ...) narrow it down.
pub async fn describe(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let page = Page::read(&mut params, SIZES)?;
    let domain = params.opt_str("DomainName")?.unwrap_or_default();
    let (app, stream) = (scope::app(&mut params)?, scope::stream(&mut params)?);
    let wanted = params.opt_str("State")?;
    params.finish()?;
    let wanted = wanted.filter(|text| !text.is_empty()).map(|text| {
        let names: Vec<&str> = MediaFileState::ALL.iter().map(|state| state.as_str()).collect();
        MediaFileState::parse(&text).ok_or_else(|| {
            ApiError::invalid_value(format!("State must be one of {}.", names.join(", ")))
        })
    });
    let search = DeliverySearch {
        domain: domain.to_ascii_lowercase(),
        app,
        stream,
        state: wanted.transpose()?,
        offset: page.offset(),
        limit: page.size,
    };
    let (total, rows) = state.db.describe_deliveries(&search).await?;
    Ok(page.answer("FileList", total, rows.iter().map(info).collect()))
}

fn info(row: &DeliveryRow) -> Value {
    let [domain, app, stream] = &row.path;
    // What an earlier version stored has 1 here: it was not noted.
    let time = |ms: i64| if ms > 1 { utc(ms) } else { String::new() };
    json!({
        "FileId": row.id.to_string(),
        "RecordingId": row.recording_id,
        "Ordinal": row.ordinal,
        "DomainName": domain,
        "AppName": app,
        "StreamName": stream,
        "Container": row.container,
        "State": row.state.as_str(),
        "Progress": row.progress.name(),
        "UploadId": row.upload_id,
        "PartSize": row.part_size,
        "PartsDone": row.parts,
        "UploadedBytes": row.uploaded_bytes,
        "Attempts": row.attempts,
        "NextTryTime": time(row.next_try_ms),
        "LastError": row.error,
        "StartTime": time(row.start_ms),
        "EndTime": time(row.end_ms),
        "VerifiedTime": time(row.verified_ms),
        "AnnouncedTime": time(row.announced_ms),
    })
}
