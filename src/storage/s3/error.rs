//! What the store's answers mean: [`StorageError`] from the SDK's errors.
//!
//! The code in the body decides where there is one, else the HTTP status. Everything that another
//! attempt could change is transient; refused is what needs an operator.

use std::{error::Error, fmt::Display};

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::storage::{StorageError, Upload};

/// The HTTP status of the answer, if there was one.
pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Whether the answer was 404.
pub(super) fn is_missing<E>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(404)
}

/// Whether the answer was 403.
pub(super) fn is_forbidden<E>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(403)
}

/// The size in `Content-Range: bytes */size` of a 416.
pub(super) fn unsatisfied_size<E>(error: &SdkError<E, HttpResponse>) -> Option<u64> {
    error.raw_response()?.headers().get("content-range")?.strip_prefix("bytes */")?.parse().ok()
}

/// An error of an operation on an object or on the bucket named `key`.
pub(super) fn storage_error<E>(
    action: &'static str,
    key: impl Display,
    error: SdkError<E, HttpResponse>,
) -> StorageError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match (error.code(), status(&error)) {
        (Some("NoSuchKey" | "NotFound"), _) => StorageError::NotFound { key: key.to_string() },
        (code, status) if is_permanent(code, status, &error) => {
            StorageError::Refused { action, message: text(&error) }
        }
        _ => StorageError::Transient { action, message: text(&error) },
    }
}

/// An error of an operation on an upload.
pub(super) fn upload_error<E>(
    action: &'static str,
    upload: &Upload,
    error: SdkError<E, HttpResponse>,
) -> StorageError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error.code() {
        // What the store has are not the parts we know: nothing but beginning anew helps.
        Some("NoSuchUpload" | "InvalidPart" | "InvalidPartOrder") => {
            StorageError::NoSuchUpload { upload: upload.id.clone(), reason: text(&error) }
        }
        _ => storage_error(action, &upload.key, error),
    }
}

fn is_permanent<E>(
    code: Option<&str>,
    status: Option<u16>,
    error: &SdkError<E, HttpResponse>,
) -> bool {
    if matches!(error, SdkError::ConstructionFailure(_)) {
        return true;
    }
    match code {
        // Bytes lost or changed on the way, clocks, throttling: with statuses that say otherwise.
        Some(
            "RequestTimeout"
            | "RequestTimeTooSkewed"
            | "IncompleteBody"
            | "BadDigest"
            | "XAmzContentSHA256Mismatch"
            | "SlowDown"
            | "Throttling"
            | "RequestLimitExceeded"
            | "OperationAborted"
            | "InternalError",
        ) => false,
        _ => match status {
            Some(408 | 409 | 412 | 425 | 429) | None => false,
            Some(status) => (300..500).contains(&status) || status == 501,
        },
    }
}

/// One line for a log: code, message, status and request id of an answer, else what broke.
fn text<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let Some(status) = status(error) else { return chain(error) };
    let mut text = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => chain(error),
    };
    text.push_str(&format!(" (HTTP {status}"));
    if let Some(id) =
        error.raw_response().and_then(|response| response.headers().get("x-amz-request-id"))
    {
        text.push_str(&format!(", request {id}"));
    }
    text.push(')');
    text
}

/// An error and its causes on one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut lines = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        lines.push(error.to_string());
        cause = error.source();
    }
    // Wrappers often repeat what they wrap.
    lines.dedup();
    lines.join(": ")
}
