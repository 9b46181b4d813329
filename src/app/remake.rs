//! `liverec remake`: makes products again from journals that are still there.
//!
//! What is to be made is written into the rows, as if a recording had just ended, and delivery does
//! the rest. Beside a running server that is the server's; without one this process holds the data
//! directory and delivers by itself. A file that could not be made is made good under its own id;
//! anything else becomes a new file, with a row and an event 100 of its own.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use arc_swap::ArcSwap;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    db::{self, Db},
    delivery::Delivery,
    domain::{
        container::Container,
        ids::{DecimalId, FileId},
        media_file::{MediaFacts, MediaFile, MediaFileState},
    },
    journal::{self, Journal, JournalError},
    reach,
};

use super::{ROLL_BYTES, data_dir::DataDir, delivery_settings, now_ms, store};

/// Pause between two looks at what delivery has done.
const LOOK: Duration = Duration::from_millis(200);

/// Makes a file, or those of a session, again in `container`, and waits until they are stored.
/// `of` is a file id, the id of a session's journal, or its `session_id`.
///
/// # Errors
/// There is nothing of that name, its journal is gone or another node's, or it cannot be made.
pub async fn remake(
    config: &Config,
    of: &str,
    container: Container,
    stop: CancellationToken,
) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(file) = config.database.sqlite_file() {
        let shown = file.display();
        ensure!(file.exists(), "there is no database {shown} yet: start the server once");
    }
    let root = config.data_dir.join("journal");
    ensure!(root.is_dir(), "there are no journals in {}", root.display());
    // Nobody else holds it: there is no server, and delivery is ours for as long as this lives.
    let held = DataDir::try_lock(&config.data_dir)?;
    let db = Db::connect_beside(config.database.as_str()).await.context("open the database")?;
    let journal = Journal::open(journal::Settings {
        root,
        sync_interval: config.journal.sync_interval,
        roll_bytes: ROLL_BYTES,
    })
    .context("open the journals")?;
    let files = request(config, &db, &journal, of, container).await?;
    let outcome = match held {
        None => wait_for(&db, &files, &stop).await,
        Some(data_dir) => {
            let delivery = delivery(config, &data_dir, &db, journal).await?;
            let done = CancellationToken::new();
            let (outcome, ()) = tokio::join!(
                async {
                    let outcome = wait_for(&db, &files, &stop).await;
                    done.cancel();
                    outcome
                },
                delivery.run(done.clone())
            );
            outcome
        }
    };
    db.close().await;
    outcome
}

/// Writes into the rows what is to be made; gives the files to wait for.
async fn request(
    config: &Config,
    db: &Db,
    journal: &Journal,
    of: &str,
    container: Container,
) -> Result<Vec<FileId>> {
    let node_id = DataDir::known_node_id(&config.data_dir)?;
    let mut sources = sources(db, of, container).await?;
    let mut parts = Vec::new();
    for source in &mut sources {
        let mut is_here = check_journals(config, db, journal, source).await;
        if is_here.is_err()
            && let Some(part) = part_of_session(db, source, of).await?
            && check_journals(config, db, journal, &part).await.is_ok()
        {
            parts.push(part.id);
            (*source, is_here) = (part, Ok(()));
        }
        ensure!(
            source.node_id == node_id || is_here.is_ok(),
            "file {} was recorded by node {}: its journal is there",
            source.id,
            source.node_id
        );
        is_here?;
        for span in &source.spans {
            db.note_journal_back(span.session, now_ms()).await?;
        }
    }
    let mut tx = db.begin().await?;
    let mut files = Vec::with_capacity(sources.len());
    for source in sources {
        let now_ms = now_ms();
        for span in &source.spans {
            ensure!(Db::holds_journal(&mut tx, span.session).await?, gone(config, &source));
        }
        let is_made_good = source.container == container
            && source.state == MediaFileState::Failed
            && !parts.contains(&source.id);
        files.push(match is_made_good {
            true => {
                let is_failed =
                    Db::retry_failed_media_file(&mut tx, source.id, &node_id, now_ms).await?;
                ensure!(is_failed, "file {} has just changed: try again", source.id);
                source.id
            }
            false => {
                let file =
                    MediaFile { node_id: node_id.clone(), ..remade(source, container, now_ms) };
                Db::insert_remade_media_file(&mut tx, file, now_ms).await?
            }
        });
    }
    db.commit(tx, "write the rows").await?;
    Ok(files)
}

/// The files whose stretches are to be taken.
async fn sources(db: &Db, of: &str, container: Container) -> Result<Vec<MediaFile>> {
    if let Some(id) = DecimalId::parse(of)
        && let Some(file) = db.media_file(id).await?
    {
        check_state(&file)?;
        return Ok(vec![file]);
    }
    let mut files = Vec::new();
    for id in db.media_files_of_session(of).await? {
        files.extend(db.media_file(id).await?);
    }
    // A recording cut its files by the rules of its container: those of the wanted one if there is
    // one, else those that cut least.
    let rank = |file: &MediaFile| match file.container {
        own if own == container => 0,
        Container::Flv => 1,
        Container::Hls => 2,
        Container::Mp4 => 3,
        Container::Aac => 4,
    };
    files.retain(|file| file.ordinal >= 0);
    let Some(best) = files.iter().min_by_key(|file| (rank(file), file.id)) else {
        bail!("there is no file {of}, and no session {of} of which something was recorded");
    };
    let recording = best.recording;
    files.retain(|file| file.recording == recording);
    for file in &files {
        check_state(file)?;
    }
    Ok(files)
}

/// What a session has of a file that lies in others, too: those may have been released, or be lost.
async fn part_of_session(db: &Db, file: &MediaFile, of: &str) -> Result<Option<MediaFile>> {
    let (own, others): (Vec<_>, Vec<_>) =
        file.spans.iter().copied().partition(|span| span.session.to_string() == of);
    let Some(id) = own.first().filter(|_| !others.is_empty()).map(|span| span.session) else {
        return Ok(None);
    };
    let mut part = MediaFile { spans: own, ..file.clone() };
    if let Some(session) = db.session(id).await? {
        part.facts.start_ms = session.started_ms;
    }
    Ok(Some(part))
}

fn check_state(file: &MediaFile) -> Result<()> {
    match file.state {
        MediaFileState::Recording => bail!("file {} is still being recorded", file.id),
        MediaFileState::Ended => {
            bail!("file {} is about to be made: see what becomes of it first", file.id)
        }
        MediaFileState::Stored
        | MediaFileState::Failed
        | MediaFileState::Empty
        | MediaFileState::Deleted => Ok(()),
    }
}

async fn check_journals(
    config: &Config,
    db: &Db,
    journal: &Journal,
    file: &MediaFile,
) -> Result<()> {
    ensure!(!file.spans.is_empty(), gone(config, file));
    for span in file.spans.clone() {
        let reading = journal.clone();
        // One that came back while the server ran is as the crash left it, and nobody writes it.
        let may_repair = db.session_is_given_up(span.session).await?;
        let reach = journal.run_read(move || {
            let reach = || {
                let mut reader = reading.reader(span.session)?;
                Ok::<_, JournalError>((reader.start(), reader.end()?))
            };
            if may_repair {
                reading.recover(span.session)?;
            }
            reach()
        });
        match reach.await {
            Ok((start, end)) if start <= span.from && span.to.is_some_and(|to| to <= end) => {}
            Ok(_) | Err(JournalError::Missing(_)) => bail!(gone(config, file)),
            Err(error) => return Err(error).context("read the journal"),
        }
    }
    Ok(())
}

fn gone(config: &Config, file: &MediaFile) -> String {
    let retention_s = config.journal.retention.as_secs();
    format!(
        "the journal of file {} is gone, so there is nothing to make it from: journals are kept \
         for journal.retention ({retention_s} s) after their last product was stored",
        file.id
    )
}

fn remade(source: MediaFile, container: Container, now_ms: i64) -> MediaFile {
    let facts = MediaFacts {
        start_ms: source.facts.start_ms,
        end_ms: source.facts.end_ms,
        irregularities: vec![format!("made again from the journal of file {}", source.id)],
        ..MediaFacts::default()
    };
    MediaFile {
        id: DecimalId::next(now_ms),
        container,
        state: MediaFileState::Recording,
        error: String::new(),
        name: String::new(),
        storage_key: String::new(),
        facts,
        expire_ms: 0,
        created_ms: now_ms,
        updated_ms: now_ms,
        ..source
    }
}

/// Waits until each file is stored or was given up, and says which.
async fn wait_for(db: &Db, files: &[FileId], stop: &CancellationToken) -> Result<()> {
    let mut failed = 0usize;
    for id in files {
        let file = loop {
            let file = db.media_file(*id).await?.with_context(|| format!("file {id} is gone"))?;
            if file.state != MediaFileState::Ended {
                break file;
            }
            tokio::select! {
                () = stop.cancelled() => bail!("stopped; file {id} is made by the server"),
                () = sleep(LOOK) => {}
            }
        };
        let line = match file.state {
            MediaFileState::Stored => format!("file {id} stored as {}", file.storage_key),
            state => {
                failed += 1;
                format!("file {id} is {}: {}", state.as_str(), file.error)
            }
        };
        writeln!(io::stdout(), "{line}").context("write to stdout")?;
    }
    ensure!(failed == 0, "{failed} of {} files could not be made", files.len());
    Ok(())
}

/// Delivery of this process.
async fn delivery(
    config: &Config,
    data_dir: &DataDir,
    db: &Db,
    journal: Journal,
) -> Result<Delivery> {
    let snapshot = db::snapshot::load(db, now_ms()).await?;
    let public_url = match &config.http.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => {
            let listen = config.http.listen;
            format!(
                "http://{}:{}",
                reach::url_host(reach::reachable_ip(listen.ip())),
                listen.port()
            )
        }
    };
    Ok(Delivery::new(
        delivery_settings(config, data_dir.node_id()?, public_url)?,
        db.clone(),
        journal,
        store::open(&config.storage, store::Access::Write(&data_dir.node_id()?))?,
        Arc::new(ArcSwap::from_pointee(snapshot)),
        now_ms,
    ))
}
