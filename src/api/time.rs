//! Times in parameters and answers as the vendor writes them (spec live-api 14).

use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};

use super::error::{ApiError, Result};

/// `YYYY-MM-DDThh:mm:ssZ`.
const UTC_FORMAT: &str = "%Y-%m-%dT%H:%M:%SZ";
/// `YYYY-MM-DD hh:mm:ss`, without a zone.
const LOCAL_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// Reads `2018-06-29T19:00:00Z`; answers unix milliseconds.
pub fn parse_utc(name: &str, text: &str) -> Result<i64> {
    let time = NaiveDateTime::parse_from_str(text, UTC_FORMAT).map_err(|_| {
        ApiError::invalid_value(format!("{name} must be a UTC time such as 2018-06-29T19:00:00Z."))
    })?;
    Ok(time.and_utc().timestamp_millis())
}

/// Reads a UTC time, or a local one without a zone, which is in `offset`.
pub fn parse_any(name: &str, text: &str, offset: FixedOffset) -> Result<i64> {
    match NaiveDateTime::parse_from_str(text, LOCAL_FORMAT) {
        Ok(local) => match local.and_local_timezone(offset).single() {
            Some(time) => Ok(time.timestamp_millis()),
            None => Err(ApiError::invalid_value(format!("{name} is not a time."))),
        },
        Err(_) => parse_utc(name, text),
    }
}

/// Writes `2018-06-29T19:00:00Z`.
pub fn utc(unix_ms: i64) -> String {
    let time: DateTime<Utc> = DateTime::from_timestamp_millis(unix_ms).unwrap_or_default();
    time.format(UTC_FORMAT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        assert_eq!(parse_utc("T", "2018-06-29T19:00:00Z").unwrap(), 1_530_298_800_000);
        assert_eq!(utc(1_530_298_800_999), "2018-06-29T19:00:00Z");
        let beijing = FixedOffset::east_opt(8 * 3600).unwrap();
        assert_eq!(parse_any("T", "2018-06-30 03:00:00", beijing).unwrap(), 1_530_298_800_000);
        assert_eq!(parse_any("T", "2018-06-29T19:00:00Z", beijing).unwrap(), 1_530_298_800_000);
        for odd in ["", "2018-06-29", "2018-13-29T19:00:00Z", "2018-06-29T19:00:00", "x"] {
            assert!(parse_utc("T", odd).is_err(), "{odd}");
        }
    }
}
