//! Tags whose header or back pointer is spoilt, in a file that was still being written.
//!
//! A walk would end there, and all behind be cut off as if it were torn. The index says where every
//! tag stands, and of which kind, length and time it is, each with a checksum: what stands around a
//! payload is written anew from it. Where it says nothing, only a tag is mended of which header or
//! back pointer still leads to where another tag or the end of the file proves it right. A run of
//! spoilt tags at the end, with no intact one behind, is what a crash leaves: that stays cut.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use super::{
    checksum,
    error::{JournalError, Result},
    file::Disk,
    folder::Folder,
    prefix::Prefix,
    recover::known_index,
    resync,
};
use crate::media::{
    flv::header::{
        TAG_HEADER_LEN, TAG_TRAILER_LEN, TagHeader, encode_tag_header, encode_tag_trailer,
        set_frame, tag_len,
    },
    sample::{Sample, SampleKind},
    tag::TagKind,
};

/// Index records read at a time.
const CHUNK: u64 = 4096;
/// Bytes around a payload.
const AROUND: u64 = (TAG_HEADER_LEN + TAG_TRAILER_LEN) as u64;
/// So many bytes behind a tag that cannot be read are searched for the end of it: the longest tag.
const SEARCHED: u64 = (16 << 20) + AROUND;

/// What was done to the tags of a file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mending {
    /// Tags that were given a header and a back pointer anew.
    pub tags: u32,
    /// Where the last tag that can be read ends, if whole tags stand behind it all the same.
    pub lost_from: Option<u64>,
}

/// Writes anew what is spoilt around the payloads of file `number`. `limit` is where its body ends at
/// most.
pub(super) fn mend(
    folder: &Folder,
    number: u32,
    prefix: &Prefix,
    limit: Option<u64>,
    disk: &dyn Disk,
) -> Result<Mending> {
    let path = folder.data(number);
    let io = || JournalError::io("read", &path);
    let file = File::open(&path).map_err(JournalError::io("open", &path))?;
    let len = file.metadata().map_err(JournalError::io("look at", &path))?.len();
    let end = limit.map_or(len, |limit| len.min(prefix.len.saturating_add(limit)));
    let mut mend = Mend { file, path: &path, at: prefix.len, end, proved: 0, patches: Vec::new() };
    if let Some(index) = known_index(folder, number)? {
        let (count, mut chunk) = (index.count()?, Vec::new());
        'records: for nth in (0..count).step_by(CHUNK as usize) {
            index.load(nth, CHUNK.min(count - nth), &mut chunk)?;
            for record in chunk.chunks(index.record_bytes()) {
                let Ok(sample) = index.decode(record) else { continue };
                let place = sample.position.checked_sub(prefix.head.base);
                let place = place.and_then(|place| place.checked_add(prefix.len));
                if sample.tag_len > 0
                    && !place.map_or(Ok(false), |at| mend.known(&sample, at)).map_err(io())?
                {
                    break 'records;
                }
            }
        }
        mend.forget_the_torn();
    }
    let lost_from = mend.unknown().map_err(io())?;
    let tags = mend.patches.len() as u32;
    if tags > 0 {
        mend.write(&Folder::fresh(&path)).map_err(JournalError::io("mend", &path))?;
        disk.sync_dir(&folder.path).map_err(JournalError::io("sync", &folder.path))?;
    }
    Ok(Mending { tags, lost_from })
}

struct Mend<'a> {
    file: File,
    path: &'a Path,
    /// Up to here every tag can be read, with the patches.
    at: u64,
    /// Where the data end.
    end: u64,
    /// The end of the last tag that is intact.
    proved: u64,
    patches: Vec<Patch>,
}

/// A tag and what should stand around its payload.
struct Patch {
    at: u64,
    header: [u8; TAG_HEADER_LEN],
    data_size: u32,
}

impl Mend<'_> {
    /// A tag that the index knows at `at`. False where what it says ends.
    fn known(&mut self, sample: &Sample, at: u64) -> io::Result<bool> {
        let len = u64::from(sample.tag_len);
        // The record may be ahead of the data, or made up.
        if at.saturating_add(len) > self.end {
            return Ok(false);
        }
        if at > self.at {
            // Records between are spoilt: the tags themselves must lead here.
            while self.at < at {
                let Some(next) = self.step(at)? else { return Ok(false) };
                self.at = next;
            }
        }
        let Some(data_size) = len.checked_sub(AROUND).map(|size| size as u32) else {
            return Ok(false);
        };
        if at != self.at {
            return Ok(false);
        }
        let mut tag = vec![0; len as usize];
        self.file.read_exact_at(&mut tag, at)?;
        let (Some(&header), Some(&trailer)) = (tag.first_chunk(), tag.last_chunk()) else {
            return Ok(false);
        };
        let kind = sample.track.tag_kind();
        // The time of a clock mark is that of the wall.
        let is_clock = sample.kind == SampleKind::Clock;
        let time = TagHeader::decode(&header).time_ms;
        let time = if is_clock { i64::from(time) } else { sample.dts_ms };
        let wanted = encode_tag_header(kind, data_size, time);
        let is_header = header == wanted;
        let is_trailer = trailer == encode_tag_trailer(data_size);
        let (is_whole, found) = match checksum::is_intact(sample, &tag) {
            true => (true, header),
            false => {
                let times = (0..33).map(|bit| time ^ (1i64 << bit & 0xffff_ffff));
                let mut times = times.rev().take(if is_clock { 33 } else { 1 });
                let is_right = |time: &i64| {
                    set_frame(&mut tag, kind, *time);
                    checksum::is_intact(sample, &tag)
                };
                match times.find(is_right) {
                    // Without a checksum of the tag any is right that is as the record says.
                    Some(time) => (
                        sample.crc.is_some() || is_header || is_trailer,
                        encode_tag_header(kind, data_size, time),
                    ),
                    None => (false, wanted),
                }
            }
        };
        if found != header || !is_trailer {
            self.patches.push(Patch { at, header: found, data_size });
        }
        self.at = at + len;
        if is_whole {
            self.proved = self.at;
        }
        Ok(true)
    }

    /// Goes back to the last tag that is intact, so that what a crash has torn is not made to look
    /// like tags; those that can be read stay as they are.
    fn forget_the_torn(&mut self) {
        let proved = self.proved;
        if let Some(first) = self.patches.iter().position(|patch| patch.at >= proved) {
            if let Some(patch) = self.patches.get(first) {
                self.at = patch.at;
            }
            self.patches.truncate(first);
        }
    }

    /// The tags that no index knows. Gives where what is lost begins, if tags stand in it.
    fn unknown(&mut self) -> io::Result<Option<u64>> {
        while let Some(next) = self.step(self.end)? {
            self.at = next;
        }
        let lost = self.end.saturating_sub(self.at);
        if lost <= AROUND {
            return Ok(None);
        }
        let mut bytes = vec![0; lost.min(SEARCHED) as usize];
        self.file.read_exact_at(&mut bytes, self.at)?;
        Ok(resync::has_tags(&bytes).then_some(self.at))
    }

    /// Where the tag here ends, by its header and its back pointer, or by one of them if that is
    /// proved; at `limit` at most.
    fn step(&mut self, limit: u64) -> io::Result<Option<u64>> {
        let at = self.at;
        if at.saturating_add(AROUND) > limit {
            return Ok(None);
        }
        if let Some(end) = self.whole(at, limit)? {
            return Ok(Some(end));
        }
        let mut header = [0; TAG_HEADER_LEN];
        self.file.read_exact_at(&mut header, at)?;
        let said = TagHeader::decode(&header);
        let Some(kind) = nearest_kind(said.kind_byte) else { return Ok(None) };
        let end = at + tag_len(said.data_size as usize);
        let is_header = said.kind().is_some() && said.stream_id == 0;
        let mut bytes = vec![0; (limit - at).min(SEARCHED) as usize];
        self.file.read_exact_at(&mut bytes, at)?;
        let points_back = |(from, trailer): (usize, &[u8])| {
            let size = from.checked_sub(TAG_HEADER_LEN)? as u32;
            (trailer == encode_tag_trailer(size)).then_some(size)
        };
        // A back pointer that leads here says more than a length that leads to some tag.
        let mut proved = None;
        for size in bytes.windows(TAG_TRAILER_LEN).enumerate().filter_map(points_back) {
            let end = at + tag_len(size as usize);
            if end == limit || self.whole(end, self.end)?.is_some() {
                proved = Some(size);
                break;
            }
        }
        let data_size = match proved {
            Some(size) => size,
            None if is_header && end <= limit && self.whole(end, self.end)?.is_some() => {
                said.data_size
            }
            None => return Ok(None),
        };
        let header = encode_tag_header(kind, data_size, i64::from(said.time_ms));
        self.patches.push(Patch { at, header, data_size });
        Ok(Some(at + tag_len(data_size as usize)))
    }

    /// Where the tag here ends if it is whole.
    fn whole(&self, at: u64, limit: u64) -> io::Result<Option<u64>> {
        if at.saturating_add(AROUND) > limit {
            return Ok(None);
        }
        let (mut header, mut trailer) = ([0; TAG_HEADER_LEN], [0; TAG_TRAILER_LEN]);
        self.file.read_exact_at(&mut header, at)?;
        let header = TagHeader::decode(&header);
        let end = at + header.tag_len();
        if header.kind().is_none() || header.stream_id != 0 || end > limit {
            return Ok(None);
        }
        self.file.read_exact_at(&mut trailer, end - TAG_TRAILER_LEN as u64)?;
        Ok((trailer == encode_tag_trailer(header.data_size)).then_some(end))
    }

    /// Makes the file anew beside itself, so that there is a whole one at any time.
    fn write(&self, fresh: &Path) -> io::Result<()> {
        fs::copy(self.path, fresh)?;
        let to = File::options().write(true).open(fresh)?;
        for Patch { at, header, data_size } in &self.patches {
            to.write_all_at(header, *at)?;
            let trailer = at + TAG_HEADER_LEN as u64 + u64::from(*data_size);
            to.write_all_at(&encode_tag_trailer(*data_size), trailer)?;
        }
        to.sync_data()?;
        fs::rename(fresh, self.path)
    }
}

/// The kind that a first byte is, or was before a bit of it changed.
fn nearest_kind(byte: u8) -> Option<TagKind> {
    let kinds = [TagKind::Audio, TagKind::Video, TagKind::Script];
    TagKind::from_byte(byte)
        .or_else(|| kinds.into_iter().find(|kind| (*kind as u8 ^ byte).count_ones() == 1))
}
