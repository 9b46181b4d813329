//! Which objects an HLS product has, in order, as its playlist (RFC 8216) says.

use percent_encoding::percent_decode_str;

use crate::storage::StorageKey;

/// Largest playlist that is read, in bytes: that of a recording of years.
pub const PLAYLIST_MAX_BYTES: u64 = 16 << 20;

/// One media segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub key: StorageKey,
    /// Its initialisation segment, for fragmented MP4; none for MPEG-TS.
    pub init: Option<StorageKey>,
    /// It does not continue the time of the one before.
    pub is_discontinuous: bool,
}

/// The segments that a playlist names; `main` is the playlist's own key.
///
/// # Errors
/// It is not the playlist of a finished recording, or names what is not beside it; in words.
pub fn parse(main: &StorageKey, text: &[u8]) -> Result<Vec<Entry>, String> {
    // The parser takes names for UTF-8 without asking.
    if std::str::from_utf8(text).is_err() {
        return Err("it is not UTF-8".to_owned());
    }
    if !text.starts_with(b"#EXTM3U") {
        return Err("it does not begin with #EXTM3U".to_owned());
    }
    let playlist = m3u8_rs::parse_media_playlist_res(text)
        .map_err(|_| "it is no media playlist".to_owned())?;
    if !playlist.end_list {
        return Err("it has no #EXT-X-ENDLIST".to_owned());
    }
    if playlist.segments.is_empty() {
        return Err("it names no segment".to_owned());
    }
    let mut init = None;
    playlist
        .segments
        .iter()
        .map(|segment| {
            if let Some(map) = &segment.map {
                init = Some(beside(main, &map.uri)?);
            }
            if segment.byte_range.is_some() || segment.key.is_some() {
                return Err(format!("segment {:?} is a part or encrypted", segment.uri));
            }
            Ok(Entry {
                key: beside(main, &segment.uri)?,
                init: init.clone(),
                is_discontinuous: segment.discontinuity,
            })
        })
        .collect()
}

/// The object that a reference names. It must be in the folder of the playlist: a damaged one
/// should not lead to anything that is not of this file.
fn beside(main: &StorageKey, reference: &str) -> Result<StorageKey, String> {
    let strange = || format!("{reference:?} is no name of an object beside it");
    let name = percent_decode_str(reference).decode_utf8().map_err(|_| strange())?;
    if name.contains('/') || name.contains(':') {
        return Err(strange());
    }
    let folder = main.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
    StorageKey::parse(&format!("{folder}/{name}")).map_err(|_| strange())
}
