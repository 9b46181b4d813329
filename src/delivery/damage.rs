//! What of a file's journal is not as it was written: tags that rotted, spans that are gone.
//!
//! Noted while the product is made of all the rest; told in the file's summary and in the log.

use std::{fmt::Write, fs, io};

use tracing::error;

use crate::{
    domain::{recording::Span, verification::DamagedPacket},
    journal::{self, Journal, JournalError, Reader},
    media::sample::Sample,
};

/// Damaged packets that are listed.
const LISTED_MAX: usize = 16;

/// Tags that are not what came.
#[derive(Debug, Clone, Default)]
pub struct Damage {
    /// How many.
    pub count: u64,
    /// The first ones.
    pub first: Vec<DamagedPacket>,
}

impl Damage {
    /// What was seen before, and this.
    pub(super) fn and(mut self, later: &Damage) -> Self {
        self.count += later.count;
        let room = LISTED_MAX.saturating_sub(self.first.len());
        self.first.extend(later.first.iter().take(room).cloned());
        self
    }

    /// Takes in what `bytes` hold of a sample's tag: see [`journal::is_intact`]. Gives the tag as it came
    /// if that is known from elsewhere: it is not damaged then.
    pub(super) fn look(
        &mut self,
        reader: &mut Reader,
        sample: &Sample,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, JournalError> {
        if journal::is_intact(sample, bytes) {
            return Ok(None);
        }
        if let Some(tag) = reader.copy_of_tag(sample)? {
            return Ok(Some(tag));
        }
        if self.count == 0 {
            let path = reader.file_of(sample.position);
            error!(
                session.id = %reader.session(),
                position = sample.position,
                path = %path.map_or_else(String::new, |path| path.display().to_string()),
                "a journal file is damaged: its bytes are not those that were received; the product is made of what is there"
            );
        }
        self.count += 1;
        if self.first.len() < LISTED_MAX {
            self.first.push(DamagedPacket {
                session: reader.session().to_string(),
                position: sample.position,
                track: sample.track.as_str().to_owned(),
            });
        }
        Ok(None)
    }
}

/// Opens the journal of a session that has ended, repairing it where that helps. `None` if it is
/// gone for good.
///
/// # Errors
/// It is there and cannot be read.
pub(super) fn open_remaining(
    journal: &Journal,
    span: &Span,
) -> Result<Option<Reader>, JournalError> {
    let read = || {
        // A repair beside a product that is being made would change what that is made of.
        journal.prove(span.session)?;
        let mut reader = journal.reader(span.session)?;
        reader.end()?;
        Ok(reader)
    };
    match read() {
        Ok(reader) => return Ok(Some(reader)),
        Err(error @ JournalError::Io { .. }) if error.is_transient() => return Err(error),
        Err(_) => {}
    }
    let opened = match journal.recover(span.session) {
        Ok(_) => read(),
        Err(error) => Err(error),
    };
    match opened {
        Ok(reader) => Ok(Some(reader)),
        Err(JournalError::Missing(session)) => {
            if journal.is_news_that_it_is_gone(session) {
                error!(
                    session.id = %session,
                    found = %found(journal, span),
                    "the journal of a session is gone; what was recorded of it is lost"
                );
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether a repair may help where a journal that could be opened could not be read to its end.
pub(super) fn may_be_repaired(error: &JournalError) -> bool {
    match error {
        JournalError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        JournalError::Damaged { .. } | JournalError::Position { .. } => true,
        _ => false,
    }
}

/// Repairs the journals of a file. Blocking.
///
/// # Errors
/// One of them is being written, or cannot be repaired.
pub(super) fn repair(journal: &Journal, spans: &[Span]) -> Result<(), JournalError> {
    for span in spans {
        match journal.recover(span.session) {
            Ok(_) | Err(JournalError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What is in the place of a journal, for the log.
fn found(journal: &Journal, span: &Span) -> String {
    let path = journal.path(span.session);
    let Ok(entries) = fs::read_dir(&path) else {
        return format!("no folder {}", path.display());
    };
    let mut text = format!("folder {} without a readable data file:", path.display());
    for entry in entries.flatten().take(LISTED_MAX) {
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        // Writing to a string cannot fail.
        let _ = write!(text, " {} ({bytes} bytes)", entry.file_name().to_string_lossy());
    }
    text
}
