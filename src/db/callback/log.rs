//! The delivery log: what was sent to a stream's receivers, and what they answered.

use super::{body_of, int, text};
use crate::db::{Db, Result, at};

/// Which attempts are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSearch {
    /// The stream's name, exactly.
    pub stream: String,
    /// Earliest time of the event, in unix milliseconds.
    pub from_ms: i64,
    /// Latest time of the event, in unix milliseconds.
    pub to_ms: i64,
    /// Only this event.
    pub event_type: Option<i64>,
    /// Only accepted ones, or only failed ones.
    pub is_accepted: Option<bool>,
    /// Attempts left out.
    pub offset: u64,
    /// Most attempts answered.
    pub limit: u64,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedAttempt {
    /// Time of the event, in unix milliseconds.
    pub event_ms: i64,
    /// `event_type`.
    pub event_type: i64,
    /// The stream's name.
    pub stream: String,
    /// The body as it was sent.
    pub request: String,
    /// The receiver's answer, or why there is none.
    pub response: String,
    /// When the attempt was over, in unix milliseconds.
    pub ended_ms: i64,
    /// 0 if the event was accepted.
    pub result_code: i64,
}

const WHERE: &str = "d.stream = $1 AND d.event_ms >= $2 AND d.event_ms <= $3 \
    AND ($4 < 0 OR d.event_type = $4) AND ($5 < 0 OR ($5 = 0 AND d.result_code = 0) OR ($5 = 1 AND d.result_code <> 0))";

impl Db {
    /// How many attempts there are, and a page of them, the newest first.
    pub async fn search_callback_log(
        &self,
        search: &LogSearch,
    ) -> Result<(u64, Vec<LoggedAttempt>)> {
        let event_type = search.event_type.unwrap_or(-1);
        let outcome = search.is_accepted.map_or(-1, |is_accepted| i64::from(!is_accepted));
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT COUNT(*) AS n FROM callback_delivery d WHERE {WHERE}"
        )))
        .bind(search.stream.as_str())
        .bind(search.from_ms)
        .bind(search.to_ms)
        .bind(event_type)
        .bind(outcome)
        .fetch_one(self.reader())
        .await
        .map_err(at("count attempts to deliver callbacks"))?;
        let total = u64::try_from(int(&row, "n")?).unwrap_or_default();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT d.event_ms, d.event_type, d.stream, d.response, d.ended_ms, d.result_code, \
             d.sent_t, d.sent_sign, c.body FROM callback_delivery d \
             JOIN callback c ON c.id = d.callback_id WHERE {WHERE} \
             ORDER BY d.id DESC LIMIT $6 OFFSET $7"
        )))
        .bind(search.stream.as_str())
        .bind(search.from_ms)
        .bind(search.to_ms)
        .bind(event_type)
        .bind(outcome)
        .bind(i64::try_from(search.limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(search.offset).unwrap_or(i64::MAX))
        .fetch_all(self.reader())
        .await
        .map_err(at("list attempts to deliver callbacks"))?;
        let mut attempts = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut body = body_of(row)?;
            let sign = text(row, "sent_sign")?;
            if !sign.is_empty() {
                body.insert("t".to_owned(), int(row, "sent_t")?.into());
                body.insert("sign".to_owned(), sign.into());
            }
            attempts.push(LoggedAttempt {
                event_ms: int(row, "event_ms")?,
                event_type: int(row, "event_type")?,
                stream: text(row, "stream")?,
                request: serde_json::Value::Object(body).to_string(),
                response: text(row, "response")?,
                ended_ms: int(row, "ended_ms")?,
                result_code: int(row, "result_code")?,
            });
        }
        Ok((total, attempts))
    }
}
