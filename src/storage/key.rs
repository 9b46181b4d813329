//! Names of objects: relative, escaped, and safe for a directory and for S3 alike.
//!
//! Two ways lead to a key. [`StorageKey::product`] makes one from names that anybody may have
//! chosen: every byte outside a small set is escaped, so that no name can leave its directory, hide
//! a file or meet another name. [`StorageKey::parse`] takes back what came out of the database or a
//! URL and refuses what could be neither. A key knows nothing of prefixes, buckets or directories.

use std::fmt::{self, Write as _};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::{
    domain::{container::Container, ids::FileId},
    media::hls::{SegmentType, playlist},
};

/// Longest key in bytes; the limit of S3.
pub const MAX_KEY_BYTES: usize = 1024;

/// Longest component of a parsed key in bytes; the limit of common file systems.
const MAX_COMPONENT_BYTES: usize = 255;

/// Longest escaped name in bytes; what is longer is cut and marked with a hash.
const MAX_NAME_BYTES: usize = 200;

/// Folders that follow so many bytes are one folder.
const MAX_FOLDERS_BYTES: usize = 450;

/// Hexadecimal digits of the SHA-256 that tell two cut names apart.
const HASH_DIGITS: usize = 32;

/// What stands in a key for a name of no bytes. Escaping never makes it: `-` is no hex digit.
const EMPTY_NAME: &str = "%-";

/// What a URL path segment keeps as it is: the unreserved characters of RFC 3986.
const NOT_UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name of an object, relative to the store's root.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorageKey(String);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a storage key: {0}")]
pub struct InvalidKey(&'static str);

impl StorageKey {
    /// The main object of a product: `<domain>/<app>/<stream>/<file id>/f0.<ext>`, for HLS
    /// `…/playlist.m3u8`. Names may be any text; different names give different keys.
    pub fn product(
        domain: &str,
        app: &str,
        stream: &str,
        file: FileId,
        container: Container,
    ) -> Self {
        Self::product_in(&[domain, app, stream], file, container)
    }

    /// The main object of a product in other folders: `<folder>/…/<file id>/f0.<ext>`. They may have
    /// any names; what is too long together is cut.
    pub fn product_in(folders: &[impl AsRef<str>], file: FileId, container: Container) -> Self {
        let mut key = String::new();
        for (n, folder) in folders.iter().enumerate() {
            if key.len() > MAX_FOLDERS_BYTES {
                let rest: Vec<&str> = folders.iter().skip(n).map(AsRef::as_ref).collect();
                push_escaped(&mut key, &rest.join("/"));
                key.push('/');
                break;
            }
            push_escaped(&mut key, folder.as_ref());
            key.push('/');
        }
        let _ = match container {
            Container::Hls => write!(key, "{file}/playlist.m3u8"),
            Container::Flv | Container::Mp4 | Container::Aac => {
                write!(key, "{file}/f0.{}", container.extension())
            }
        };
        Self(key)
    }

    /// The HLS media segment with this number, beside the playlist `self`: `<number>.ts` or
    /// `<number>.m4s`.
    pub fn segment(&self, number: u64, segment_type: SegmentType) -> Self {
        self.beside(&playlist::segment_name(number, segment_type))
    }

    /// The HLS initialisation segment with this number, beside the playlist `self`:
    /// `init-<number>.mp4`.
    pub fn init(&self, number: u64) -> Self {
        self.beside(&playlist::init_name(number))
    }

    fn beside(&self, name: &str) -> Self {
        let directory = self.0.rfind('/').map_or("", |slash| &self.0[..=slash]);
        Self(format!("{directory}{name}"))
    }

    /// Parses a key from the database.
    ///
    /// Refused: empty, longer than [`MAX_KEY_BYTES`], absolute, empty components, components that
    /// begin with a dot (`.`, `..`, hidden and temporary files) or are longer than 255 bytes,
    /// backslashes, control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if text.len() > MAX_KEY_BYTES {
            return Err(InvalidKey("longer than 1024 bytes"));
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return Err(InvalidKey("has a control character or a backslash"));
        }
        for component in text.split('/') {
            if component.is_empty() {
                return Err(InvalidKey("has an empty component or begins or ends with a slash"));
            }
            if component.starts_with('.') {
                return Err(InvalidKey("has a component that begins with a dot"));
            }
            if component.len() > MAX_COMPONENT_BYTES {
                return Err(InvalidKey("has a component longer than 255 bytes"));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses the path of a URL, as it was sent, relative to where keys begin: percent-decoded
    /// once, then [`StorageKey::parse`].
    pub fn parse_url_path(path: &str) -> Result<Self, InvalidKey> {
        // Each escape takes three bytes; a longer path cannot be a key.
        if path.len() > 3 * MAX_KEY_BYTES {
            return Err(InvalidKey("longer than 1024 bytes"));
        }
        match percent_decode_str(path).decode_utf8() {
            Ok(text) => Self::parse(&text),
            Err(_) => Err(InvalidKey("is not UTF-8")),
        }
    }

    /// The media file whose object has this name; none for names that this program does not give,
    /// which are somebody else's.
    pub fn file_id(&self) -> Option<FileId> {
        let parts: Vec<&str> = self.components().collect();
        let [folders @ .., id, name] = parts.as_slice() else { return None };
        let are_names = !folders.is_empty() && folders.iter().all(|name| is_escaped(name));
        let file = FileId::parse(id).filter(|file| id.len() == 19 && file.to_string() == **id)?;
        (are_names && is_object_name(name)).then_some(file)
    }

    /// The key as text, as in the database.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as a URL path without a leading slash. The key's own `%` is escaped again, so that
    /// one decoding gives the key back.
    pub fn url_path(&self) -> String {
        let mut path = String::with_capacity(self.0.len() + 16);
        for (n, component) in self.0.split('/').enumerate() {
            if n > 0 {
                path.push('/');
            }
            path.extend(utf8_percent_encode(component, NOT_UNRESERVED));
        }
        path
    }

    /// The components, at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The media type by the extension (IANA names; `application/octet-stream` if unknown).
    pub fn content_type(&self) -> &'static str {
        let name = self.0.rsplit('/').next().unwrap_or_default();
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("flv") => "video/x-flv",
            Some("mp4") => "video/mp4",
            Some("m3u8") => "application/vnd.apple.mpegurl",
            Some("ts") => "video/mp2t",
            Some("m4s") => "video/iso.segment",
            Some("aac") => "audio/aac",
            _ => "application/octet-stream",
        }
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends one name as one component.
///
/// Letters, digits, `-`, `_` and inner dots stay; everything else is `%XX`, so a component is never
/// `.` or `..`, never hidden, never ends with a dot or a space. `~` is escaped too and therefore
/// free to mark names that were cut.
fn push_escaped(key: &mut String, name: &str) {
    if name.is_empty() {
        key.push_str(EMPTY_NAME);
        return;
    }
    let start = key.len();
    for (n, byte) in name.bytes().enumerate() {
        let is_inner = n > 0 && n + 1 < name.len();
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => key.push(char::from(byte)),
            b'.' if is_inner => key.push('.'),
            _ => {
                let _ = write!(key, "%{byte:02X}");
            }
        }
    }
    if key.len() - start > MAX_NAME_BYTES {
        cut(key, start + MAX_NAME_BYTES - HASH_DIGITS - 1);
        key.push('~');
        key.push_str(&hex::encode(Sha256::digest(name))[..HASH_DIGITS]);
    }
}

/// Whether [`push_escaped`] may have made this.
fn is_escaped(name: &str) -> bool {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.%~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_kept)
}

/// Whether an object of a media file has this name.
fn is_object_name(name: &str) -> bool {
    let is_number = |text: &str| text.parse::<u64>().is_ok_and(|number| number.to_string() == text);
    match name.rsplit_once('.') {
        _ if name == "playlist.m3u8" => true,
        Some(("f0", "flv" | "mp4" | "aac")) => true,
        Some((number, "ts" | "m4s")) => is_number(number),
        Some((init, "mp4")) => init.strip_prefix("init-").is_some_and(is_number),
        _ => false,
    }
}

/// Cuts escaped text at `end` or up to two bytes before it, never inside an escape.
fn cut(text: &mut String, end: usize) {
    let tail = &text.as_bytes()[..end];
    let inside = match tail {
        [.., b'%'] => 1,
        [.., b'%', _] => 2,
        _ => 0,
    };
    text.truncate(end - inside);
}

#[cfg(test)]
mod tests;
