//! What an action answers when it does not do what was asked: the vendor's code and a sentence.
//!
//! Not the envelope around it (that is [`super::envelope`]). Codes are those of spec live-api 15;
//! of two codes with one meaning the one without `InternalError` is used.

use crate::{db::DbError, storage::StorageError};

/// Every code there is.
pub const CODES: &[&str] = &[
    "AuthFailure.InvalidAuthorization",
    "AuthFailure.SecretIdNotFound",
    "AuthFailure.SignatureExpire",
    "AuthFailure.SignatureFailure",
    "FailedOperation",
    "FailedOperation.ConfInUsed",
    "FailedOperation.DeleteDomainInLockedTime",
    "FailedOperation.DomainAdded",
    "FailedOperation.HostOutLimit",
    "FailedOperation.NotFound",
    "FailedOperation.RuleAlreadyExist",
    "InternalError",
    "InternalError.ConfOutLimit",
    "InternalError.RuleOutLimit",
    "InvalidAction",
    "InvalidParameter",
    "InvalidParameter.ArgsNotMatch",
    "InvalidParameter.ConfNotFound",
    "InvalidParameter.DomainFormatError",
    "InvalidParameter.InvalidVodFileName",
    "InvalidParameter.UrlNotSafe",
    "InvalidParameterValue",
    "InvalidParameterValue.EndTime",
    "InvalidParameterValue.FileIds",
    "InvalidParameterValue.FileIdsEmpty",
    "InvalidParameterValue.FileIdsOverLimit",
    "InvalidParameterValue.NamePrefixes",
    "InvalidParameterValue.Offset",
    "InvalidParameterValue.Sort",
    "InvalidParameterValue.SourceType",
    "InvalidParameterValue.SourceTypes",
    "InvalidParameterValue.StartTime",
    "InvalidParameterValue.StreamIds",
    "InvalidParameterValue.SubAppId",
    "InvalidRequest",
    "LimitExceeded",
    "LimitExceeded.MaximumRunningTask",
    "LimitExceeded.MaximumTask",
    "MissingParameter",
    "NoSuchVersion",
    "RequestLimitExceeded",
    "RequestSizeLimitExceeded",
    "ResourceNotFound",
    "ResourceNotFound.DomainNotExist",
    "ResourceNotFound.FileNotExist",
    "ResourceNotFound.PushDomainNoRecord",
    "ResourceNotFound.TaskId",
    "ResourceUnavailable.StreamNotExist",
    "UnauthorizedOperation",
    "UnknownParameter",
    "UnsupportedOperation",
    "UnsupportedProtocol",
];

/// Result of an action or a part of it.
pub type Result<T> = std::result::Result<T, ApiError>;

/// Why an action was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is at fault, or the state of things does not allow it.
    #[error("{code}: {message}")]
    Refused {
        /// The vendor's error code.
        code: &'static str,
        /// One sentence for the caller; says what was wrong and never holds a secret.
        message: String,
    },
    /// The database failed; the caller reads `InternalError`, the log the rest.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The store failed; the caller reads `InternalError`, the log the rest.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The action took too long; the caller reads `InternalError`. It may have been carried out.
    #[error("the action took too long")]
    TimedOut,
}

impl ApiError {
    /// A refusal with one of the vendor's codes.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(CODES.contains(&code), "{code} is not in CODES");
        Self::Refused { code, message: message.into() }
    }

    /// A required parameter is absent, null or empty.
    pub fn missing(name: &str) -> Self {
        Self::new(
            "MissingParameter",
            format!("The request is missing a required parameter `{name}`."),
        )
    }

    /// A parameter that the action does not know.
    pub fn unknown(name: &str) -> Self {
        Self::new("UnknownParameter", format!("The parameter `{}` is not recognized.", shown(name)))
    }

    /// A parameter of the wrong type or form.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameter", message)
    }

    /// A parameter of the right type with a value that is not allowed.
    pub fn invalid_value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    /// A parameter whose value has the wrong JSON type.
    pub fn wrong_type(name: &str, wanted: &str) -> Self {
        Self::invalid(format!(
            "The value type of parameter `{name}` is not valid: {wanted} is expected."
        ))
    }

    /// Known to the vendor, not to this server.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new("UnsupportedOperation", message)
    }

    /// The vendor's error code.
    pub fn code(&self) -> &'static str {
        match self {
            ApiError::Refused { code, .. } => code,
            ApiError::Db(_) | ApiError::Storage(_) | ApiError::TimedOut => "InternalError",
        }
    }

    /// The sentence the caller reads. Failures of ours are not described to it.
    pub fn public_message(&self) -> &str {
        match self {
            ApiError::Refused { message, .. } => message,
            ApiError::Db(_) => "The server could not reach its database. Please try again later.",
            ApiError::Storage(_) => {
                "The server could not reach its storage. Please try again later."
            }
            ApiError::TimedOut => "The server took too long. Please look whether it was done.",
        }
    }

    /// True when the server, not the request, is at fault.
    pub fn is_internal(&self) -> bool {
        !matches!(self, ApiError::Refused { .. })
    }
}

/// A name or value from outside, cut to a length that fits into a message or a log line.
pub fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let mut out: String =
        text.chars().take(MAX_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        out.push_str("...");
    }
    out
}
