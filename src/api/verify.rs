//! LiverecVerifyFile, an action of this server's own: checks that a stored file is what was sent.
//!
//! Answers when the check is over. A check reads the whole product; one that takes longer than
//! [`PATIENCE`] is given up, and the command `liverec verify` is the way.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    State,
    caller::Caller,
    error::{ApiError, Result, shown},
    media_file::known_sub_app,
    params::Params,
};
use crate::{
    db::media_file::MediaSearch,
    domain::{ids::DecimalId, media_file::MediaFileState},
    verify::{CHECKS_MAX, Report, VerifyError, report::Difference},
};

/// Longest check. Shorter than what the gateway gives an action, so that the answer says what to do.
const PATIENCE: Duration = Duration::from_secs(50);

/// LiverecVerifyFile.
pub async fn verify_file(state: &State, caller: &Caller, mut params: Params) -> Result<Value> {
    let sub_app = params.opt_u64("SubAppId")?;
    let file_id = params.req_str("FileId")?;
    params.finish()?;
    let missing = || {
        let message = format!("There is no file {}.", shown(&file_id));
        ApiError::new("ResourceNotFound.FileNotExist", message)
    };
    let id = DecimalId::parse(&file_id).ok_or_else(missing)?;
    let search = MediaSearch {
        sub_app_id: known_sub_app(state, caller, sub_app).await?,
        file_ids: vec![id.to_string()],
        limit: 1,
        ..MediaSearch::default()
    };
    let (_, found) = state.db.search_media_files(&search, state.now_ms()).await?;
    if found.is_empty() {
        // A search finds what is stored; of the rest there is only something to say.
        let file = state.db.media_file(id).await?;
        let file = file.filter(|file| file.sub_app_id == search.sub_app_id);
        return Err(file.and_then(|file| unready(file.state, &file_id)).unwrap_or_else(missing));
    }
    // A search does not answer where in the journals a file lies.
    let file = state.db.media_file(id).await?.ok_or_else(missing)?;
    match timeout(PATIENCE, state.verifier.verify(file)).await {
        Ok(Ok(report)) => Ok(answer(&report)),
        Ok(Err(error)) => Err(refusal(error)),
        Err(_) => Err(ApiError::new(
            "FailedOperation",
            format!(
                "Verifying the file takes longer than {} s; use the command `liverec verify {id}`.",
                PATIENCE.as_secs()
            ),
        )),
    }
}

/// Why a file that was never stored cannot be verified.
fn unready(state: MediaFileState, file_id: &str) -> Option<ApiError> {
    let why = match state {
        MediaFileState::Recording => "is still being recorded",
        MediaFileState::Ended => "was recorded and is not stored yet",
        MediaFileState::Failed => "could not be made",
        MediaFileState::Empty => {
            "was not made, since no more than headers and onMetaData was pushed"
        }
        MediaFileState::Stored | MediaFileState::Deleted => return None,
    };
    let message = format!("The file {} {why}, so there is nothing to verify.", shown(file_id));
    Some(ApiError::new("FailedOperation", message))
}

fn refusal(error: VerifyError) -> ApiError {
    match error {
        VerifyError::Db(error) => error.into(),
        VerifyError::Storage(error) => error.into(),
        VerifyError::Busy => ApiError::new(
            "RequestLimitExceeded",
            format!("{CHECKS_MAX} files are being verified already. Please try again later."),
        ),
        VerifyError::NotStored(_) | VerifyError::Key | VerifyError::Unfinished(_) => {
            ApiError::new("FailedOperation", format!("The file was not verified: {error}."))
        }
    }
}

fn shown_difference(difference: &Difference) -> Value {
    json!({
        "What": difference.what,
        "Object": difference.object,
        "Track": difference.track,
        "Packet": difference.packet,
        "Expected": difference.expected,
        "Found": difference.found,
    })
}

fn answer(report: &Report) -> Value {
    let differences: Vec<Value> = report.differences.iter().map(shown_difference).collect();
    let tracks: Vec<Value> = report
        .tracks
        .iter()
        .map(|track| {
            json!({
                "Track": track.track,
                "Packets": track.packets,
                "Same": track.compared,
            })
        })
        .collect();
    json!({
        "FileId": report.file_id,
        "Verified": report.verified,
        "Against": report.against.as_str(),
        "Objects": report.objects,
        "Bytes": report.bytes,
        "HasHashes": report.has_hashes,
        "TrackSet": tracks,
        "DifferenceSet": differences,
        "Notes": report.notes,
        "JournalDifference": report.journal_difference.as_ref().map(shown_difference),
        "Summary": report.summary,
    })
}
