//! Typing of single values: one parser a type, the same for file, environment and flags.
//!
//! A parser gets the value as it was written and says in one sentence what is wrong with it. It
//! never repeats the value of a secret.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use chrono::FixedOffset;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use url::Url;

/// A value as written, before its key gives it a type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// TOML text, or anything from the environment or a flag.
    Text(String),
    /// TOML integer.
    Integer(i64),
    /// TOML boolean.
    Boolean(bool),
    /// TOML array of texts.
    List(Vec<String>),
    /// TOML value that no key takes.
    Other(&'static str),
}

/// Result of a parser; the error is a sentence without the key.
type Parsed<T> = Result<T, String>;

impl Raw {
    pub(super) fn from_toml(value: toml::Value) -> Self {
        match value {
            toml::Value::String(text) => Raw::Text(text),
            toml::Value::Integer(number) => Raw::Integer(number),
            toml::Value::Boolean(flag) => Raw::Boolean(flag),
            toml::Value::Array(items) => {
                let texts: Option<Vec<String>> =
                    items.into_iter().map(|v| v.as_str().map(str::to_owned)).collect();
                texts.map_or(Raw::Other("an array of something else than texts"), Raw::List)
            }
            toml::Value::Float(_) => Raw::Other("a number with a fraction"),
            toml::Value::Datetime(_) => Raw::Other("a date"),
            toml::Value::Table(_) => Raw::Other("a section"),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Raw::Text(_) => "text",
            Raw::Integer(_) => "a number",
            Raw::Boolean(_) => "true or false",
            Raw::List(_) => "an array",
            Raw::Other(kind) => kind,
        }
    }

    /// The text of a key that takes text. A TOML number is refused: its leading zeros are gone.
    fn text(&self) -> Parsed<&str> {
        match self {
            Raw::Text(text) => Ok(text),
            other => Err(format!("must be text in quotes, found {}", other.kind())),
        }
    }
}

/// Text as it is.
pub(super) fn text(raw: &Raw) -> Parsed<String> {
    raw.text().map(str::to_owned)
}

/// An optional value: empty text means that it is not set.
pub(super) fn optional<T>(parse: impl Fn(&Raw) -> Parsed<T>) -> impl Fn(&Raw) -> Parsed<Option<T>> {
    move |raw| match raw {
        Raw::Text(text) if text.is_empty() => Ok(None),
        _ => parse(raw).map(Some),
    }
}

/// Any type whose text form needs no bounds; `what` completes "must be ...".
pub(super) fn parsed<T: FromStr>(what: &'static str) -> impl Fn(&Raw) -> Parsed<T> {
    move |raw| {
        let text = raw.text()?;
        text.parse().map_err(|_| format!("must be {what}, found {text:?}"))
    }
}

/// `ip:port`.
pub(super) fn address(raw: &Raw) -> Parsed<SocketAddr> {
    parsed("an IP address and a port such as 0.0.0.0:8080 or [::]:8080")(raw)
}

/// A path; empty is refused.
pub(super) fn path(raw: &Raw) -> Parsed<PathBuf> {
    match raw.text()? {
        "" => Err("must not be empty".to_owned()),
        text => Ok(PathBuf::from(text)),
    }
}

/// true, false, 1 or 0.
pub(super) fn flag(raw: &Raw) -> Parsed<bool> {
    match raw {
        Raw::Boolean(flag) => Ok(*flag),
        Raw::Integer(1) => Ok(true),
        Raw::Integer(0) => Ok(false),
        Raw::Text(text) => match text.as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(format!("must be true, false, 1 or 0, found {text:?}")),
        },
        Raw::Integer(number) => Err(format!("must be true, false, 1 or 0, found {number}")),
        other => Err(format!("must be true, false, 1 or 0, found {}", other.kind())),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(options: &[(&str, T)]) -> impl Fn(&Raw) -> Parsed<T> {
    move |raw| {
        let text = raw.text()?;
        let found = options.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let names: Vec<&str> = options.iter().map(|(name, _)| *name).collect();
            format!("must be {}, found {text:?}", names.join(" or "))
        })
    }
}

/// A whole number from `min` to `max`, both of which must fit the target type.
pub(super) fn integer<T: TryFrom<i64>>(min: i64, max: i64) -> impl Fn(&Raw) -> Parsed<T> {
    move |raw| {
        let number = match raw {
            Raw::Integer(number) => *number,
            Raw::Text(text) => {
                text.parse().map_err(|_| format!("must be a whole number, found {text:?}"))?
            }
            other => return Err(format!("must be a whole number, found {}", other.kind())),
        };
        let is_inside = (min..=max).contains(&number);
        is_inside
            .then(|| T::try_from(number).ok())
            .flatten()
            .ok_or_else(|| format!("must be from {min} to {max}, found {number}"))
    }
}

/// Units and what one of them is worth, in the base unit of the quantity.
type Units = &'static [(&'static str, u64)];

const DURATION_UNITS: Units =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: Units =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// `10s`, `8MiB`: digits and a unit; digits alone count in `bare`.
fn quantity(text: &str, units: Units, bare: u64) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" => bare,
        unit => units.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn bounded(
    raw: &Raw,
    units: Units,
    bare: u64,
    what: &str,
    (min, max): (&str, &str),
) -> Parsed<u64> {
    let found = match raw {
        Raw::Text(text) => {
            quantity(text, units, bare).ok_or_else(|| format!("must be {what}, found {text:?}"))?
        }
        Raw::Integer(number) => u64::try_from(*number)
            .ok()
            .and_then(|n| n.checked_mul(bare))
            .ok_or_else(|| format!("must be {what}, found {number}"))?,
        other => return Err(format!("must be {what}, found {}", other.kind())),
    };
    let low = quantity(min, units, bare).unwrap_or(0);
    let high = quantity(max, units, bare).unwrap_or(u64::MAX);
    if (low..=high).contains(&found) {
        Ok(found)
    } else {
        Err(format!("must be from {min} to {max}"))
    }
}

/// Whole seconds, or text with a unit, from `min` to `max`.
pub(super) fn duration(min: &'static str, max: &'static str) -> impl Fn(&Raw) -> Parsed<Duration> {
    const WHAT: &str = "whole seconds or a number with ms, s, m, h or d (such as 500ms)";
    move |raw| bounded(raw, DURATION_UNITS, 1_000, WHAT, (min, max)).map(Duration::from_millis)
}

/// A duration as every key takes it, for arguments that are no keys: from 1 s to ten years.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration("1s", "3650d")(&Raw::Text(text.to_owned()))
}

/// Bytes, or text with a binary unit, from `min` to `max`.
pub(super) fn size<T: TryFrom<u64>>(
    min: &'static str,
    max: &'static str,
) -> impl Fn(&Raw) -> Parsed<T> {
    const WHAT: &str = "bytes or a number with B, KiB, MiB, GiB or TiB (such as 8MiB)";
    move |raw| {
        let bytes = bounded(raw, SIZE_UNITS, 1, WHAT, (min, max))?;
        T::try_from(bytes).map_err(|_| format!("must be from {min} to {max}"))
    }
}

/// A list: an array of texts, or one text with commas.
pub(super) fn list<T: FromStr>(what: &'static str) -> impl Fn(&Raw) -> Parsed<Vec<T>> {
    move |raw| {
        let items: Vec<&str> = match raw {
            Raw::List(items) => items.iter().map(String::as_str).collect(),
            Raw::Text(text) if text.trim().is_empty() => Vec::new(),
            Raw::Text(text) => text.split(',').map(str::trim).collect(),
            other => return Err(format!("must be an array of texts, found {}", other.kind())),
        };
        let parse = |item: &str| {
            item.parse().map_err(|_| format!("every item must be {what}, found {item:?}"))
        };
        items.into_iter().map(parse).collect()
    }
}

/// `+08:00`.
pub(super) fn utc_offset(raw: &Raw) -> Parsed<FixedOffset> {
    let text = raw.text()?;
    let error = || format!("must be a fixed offset such as +08:00, found {text:?}");
    if !text.is_ascii() || text.len() != 6 {
        return Err(error());
    }
    let offset = FixedOffset::from_str(text).map_err(|_| error())?;
    if offset.local_minus_utc().abs() > 14 * 3600 {
        return Err("must be from -14:00 to +14:00".to_owned());
    }
    Ok(offset)
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` out of logs and messages from here on.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A master key: 64 hexadecimal digits.
pub(super) fn master_key(raw: &Raw) -> Parsed<Secret> {
    let secret = secret(raw)?;
    let text = secret.expose();
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(secret),
        false => Err("must be 64 hexadecimal digits".to_owned()),
    }
}

/// A secret; empty is the caller's business.
pub(super) fn secret(raw: &Raw) -> Parsed<Secret> {
    text(raw).map(Secret)
}

/// Longest URL of a hook, in bytes.
const MAX_HOOK_BYTES: usize = 2048;

/// A URL that is called; it may hold a secret in its query.
pub(super) fn hook_url(raw: &Raw) -> Parsed<Secret> {
    let given = text(raw)?;
    let is_url = Url::parse(&given).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none()
    });
    if !is_url || given.len() > MAX_HOOK_BYTES {
        return Err(format!(
            "must be an http:// or https:// URL of at most {MAX_HOOK_BYTES} bytes"
        ));
    }
    Ok(Secret(given))
}

/// An `http://` or `https://` address without query, fragment, user or trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The text, without a trailing slash: append `/path`.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Host name or address, IPv6 in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl FromStr for BaseUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let url = Url::parse(text).map_err(|_| ())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if plain { Ok(Self(url)) } else { Err(()) }
    }
}

/// Where the database is. Its text may hold a password, so it is only shown by [`Self::as_str`].
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

/// What would be misread in the path of a `sqlite://` URL.
const SQLITE_PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');

impl DatabaseUrl {
    /// The URL of a SQLite file.
    pub fn of_file(path: &Path) -> Parsed<Self> {
        let text = path.to_str().ok_or("the path must be valid UTF-8")?;
        Ok(Self(format!("sqlite://{}", utf8_percent_encode(text, SQLITE_PATH))))
    }

    /// The URL for the driver; not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file of a SQLite database, `None` for PostgreSQL.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        let path = self.0.strip_prefix("sqlite://").or_else(|| self.0.strip_prefix("sqlite:"))?;
        let path = path.split('?').next().unwrap_or(path);
        Some(PathBuf::from(percent_decode_str(path).decode_utf8_lossy().into_owned()))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({}..)", self.0.split(':').next().unwrap_or_default())
    }
}

/// `sqlite://file` or `postgres://...`.
pub(super) fn database_url(raw: &Raw) -> Parsed<DatabaseUrl> {
    let url = DatabaseUrl(text(raw)?);
    match url.sqlite_file() {
        Some(file) if file.as_os_str().is_empty() || file.as_os_str() == ":memory:" => {
            Err("must name a file: a database in memory would be lost".to_owned())
        }
        Some(_) => Ok(url),
        None if url.0.starts_with("postgres://") || url.0.starts_with("postgresql://") => Ok(url),
        None => Err("must begin with sqlite:// or postgres://".to_owned()),
    }
}
