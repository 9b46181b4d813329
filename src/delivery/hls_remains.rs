//! An HLS file whose journal is lost: the playlist of what the store has of it.
//!
//! Segments are stored as they are complete, so all of a long recording but its last seconds may be
//! there. What a playlist says of them is in the rows. Every object is read back and compared before it
//! is named; at the first one that is not as it was sent the playlist ends.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tracing::info;

use crate::{
    db::media_file::Fence,
    domain::{
        media_file::{DeliveryProgress, MediaFile, NotedSegment},
        verification::{Gap, JOURNAL_LOST, ObjectEvidence, SessionEvidence, VERSION, Verification},
    },
    journal::{Journal, JournalError},
    media::hls::{
        Segment, SegmentType,
        playlist::{self, init_name, segment_name},
    },
    storage::StorageError,
};

use super::{
    DeliverError, Delivery,
    check::Proof,
    hls_step::segment_type_of,
    product::key_of,
    project::{Object, ProjectError},
    source::Source,
    step::main_key,
};

/// What is found in place of a growing playlist is no longer than this.
const PLAYLIST_MAX_BYTES: usize = 16 << 20;

/// The beginning of an HLS file, as the store has it.
struct Remains {
    segment_type: SegmentType,
    segments: Vec<NotedSegment>,
    objects: Vec<ObjectEvidence>,
    /// Initialisation segments.
    inits: u32,
}

impl Delivery {
    /// Makes the playlist of an HLS file of whose journals nothing is left, and commits the file.
    /// False if there is a journal, or nothing that could be played.
    pub(super) async fn deliver_remains(
        &self,
        file: &MediaFile,
        fence: Fence,
    ) -> Result<bool, DeliverError> {
        // Asked first: a journal that is gone is told where it is looked for.
        let is_noted = !self.db.noted_media_segments(file.id).await?.is_empty();
        Ok(is_noted
            && self.is_journal_lost(file).await?
            && self.deliver_stored(file, fence).await?)
    }

    /// The same of one whose journals have no frame any more.
    pub(super) async fn deliver_stored(
        &self,
        file: &MediaFile,
        fence: Fence,
    ) -> Result<bool, DeliverError> {
        let noted = self.db.noted_media_segments(file.id).await?;
        if noted.is_empty() {
            return Ok(false);
        }
        let known = noted.len();
        let Some(remains) = self.remains(file, noted).await? else { return Ok(false) };
        let text = Bytes::from(remains.playlist());
        // One that was finished and is not known to be, as after a restored backup; but for this one,
        // stored before a kill.
        if self.finished_playlist(file).await?.is_some_and(|finished| finished != text) {
            return Ok(false);
        }
        self.abort_earlier(file, &main_key(file)).await?;
        let mut file = file.clone();
        let mut objects = remains.objects.clone();
        let part = ObjectEvidence {
            object: Object::Main.name(),
            part: 1,
            size_bytes: text.len() as u64,
            sha256: hex::encode(Sha256::digest(&text)),
        };
        self.store.put(&main_key(&file), text).await?;
        if !self.is_same(&main_key(&file), std::slice::from_ref(&part)).await? {
            return Err(ProjectError::Broken("the playlist is not as it was stored").into());
        }
        objects.push(part);
        let duration_ms = remains.duration_ms();
        let segments = remains.segments.len();
        file.facts.duration_ms = duration_ms;
        file.facts.segment_type = remains.segment_type;
        file.facts.init_segments = remains.inits;
        file.facts.size_bytes = objects.iter().map(|object| object.size_bytes).sum();
        let names = objects.chunk_by(|a, b| a.object == b.object).count();
        file.facts.objects = u32::try_from(names).unwrap_or(u32::MAX);
        file.facts.irregularities.push(format!(
            "the journal is lost: the file ends with the {segments} segments that were stored before; its packets are not counted"
        ));
        file.storage_key = main_key(&file).as_str().to_owned();
        info!(
            segments,
            known,
            duration_ms,
            "the journal of an HLS file is lost: its playlist ends with what was stored before"
        );
        let mut summary = Verification {
            version: VERSION,
            sessions: sessions_of(&file),
            gaps: vec![Gap {
                cause: JOURNAL_LOST.to_owned(),
                at_ms: duration_ms,
                ..Gap::default()
            }],
            objects,
            ..Verification::default()
        };
        summary.seal();
        self.note(&file, fence, DeliveryProgress::Stored).await?;
        self.note(&file, fence, DeliveryProgress::Verified).await?;
        self.commit(file, &summary, Proof::Verified, fence).await?;
        Ok(true)
    }

    async fn is_journal_lost(&self, file: &MediaFile) -> Result<bool, DeliverError> {
        let (journal, spans) = (self.journal.clone(), file.spans.clone());
        let is_there = move |journal: &Journal| match Source::open_remaining(journal, &spans) {
            Ok(_) => Ok(true),
            Err(JournalError::Missing(_)) => Ok(false),
            Err(error) => Err(ProjectError::from(error)),
        };
        Ok(!self.read(move || is_there(&journal)).await?)
    }

    /// The playlist that the store has of an HLS file, if it is one that does not grow any more. One
    /// that is too long to be a growing one is given only in part.
    pub(super) async fn finished_playlist(
        &self,
        file: &MediaFile,
    ) -> Result<Option<Bytes>, DeliverError> {
        let mut body = match self.store.get(&main_key(file), None).await {
            Ok(body) => body,
            Err(StorageError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut text = BytesMut::new();
        while let Some(block) = body.stream.next().await {
            text.extend_from_slice(&block?);
            if text.len() > PLAYLIST_MAX_BYTES {
                return Ok(Some(text.freeze()));
            }
        }
        let is_finished =
            text[..].split(|byte: &u8| *byte == b'\n').any(|line| line == b"#EXT-X-ENDLIST");
        Ok(is_finished.then(|| text.freeze()))
    }

    /// Reads back what the store has, up to the first segment that it has not. `None` without any.
    async fn remains(
        &self,
        file: &MediaFile,
        noted: Vec<NotedSegment>,
    ) -> Result<Option<Remains>, DeliverError> {
        let row = self.db.media_upload(file.id).await?.unwrap_or_default();
        let segment_type = segment_type_of(row.projector);
        let mut remains =
            Remains { segment_type, segments: Vec::new(), objects: Vec::new(), inits: 0 };
        for (number, segment) in (0..).zip(noted) {
            let init = segment.init.map(Object::Init);
            let mut found = Vec::new();
            for object in init.into_iter().chain([Object::Segment(number)]) {
                let evidence = self.evidence_in_rows(file, object).await?;
                let key = key_of(&main_key(file), object, segment_type);
                if evidence.is_empty() || !self.is_same(&key, &evidence).await? {
                    found.clear();
                    break;
                }
                found.extend(evidence);
            }
            let is_lost = found.is_empty();
            let has_no_init = segment_type == SegmentType::Fmp4 && init.is_none() && number == 0;
            if is_lost || has_no_init {
                break;
            }
            remains.inits += u32::from(init.is_some());
            remains.objects.extend(found);
            remains.segments.push(segment);
        }
        Ok((!remains.segments.is_empty()).then_some(remains))
    }

    async fn evidence_in_rows(
        &self,
        file: &MediaFile,
        object: Object,
    ) -> Result<Vec<ObjectEvidence>, DeliverError> {
        let name = object.name();
        let parts = self.db.media_parts(file.id, &name).await?;
        Ok(parts.into_iter().map(|part| part.evidence(&name)).collect())
    }
}

impl Remains {
    fn duration_ms(&self) -> i64 {
        let total = self.segments.iter().map(|segment| segment.duration_ms).sum::<u64>();
        i64::try_from(total).unwrap_or(i64::MAX)
    }

    fn playlist(&self) -> String {
        let header = playlist::Header { segment_type: self.segment_type, is_independent: false };
        let names: Vec<(String, Option<String>)> = (0..)
            .zip(&self.segments)
            .map(|(number, noted)| {
                (segment_name(number, self.segment_type), noted.init.map(init_name))
            })
            .collect();
        let entries = names.iter().zip(&self.segments).map(|((path, init), noted)| {
            let NotedSegment { duration_ms, is_discontinuous, .. } = *noted;
            let segment = Segment { duration_ms, is_discontinuous };
            playlist::Entry { path, segment, init: init.as_deref() }
        });
        playlist::vod(header, entries)
    }
}

fn sessions_of(file: &MediaFile) -> Vec<SessionEvidence> {
    let session = |span: &crate::domain::recording::Span| SessionEvidence {
        session: span.session.to_string(),
        shift_ms: 0,
    };
    file.spans.iter().map(session).collect()
}
