//! `liverec doctor` and LiverecDoctor: what is well is said to be, every mistake that people make is
//! named with what to do, and only what nobody owns is removed.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use liverec::{
    domain::{container::Container, ids::DecimalId},
    storage::StorageKey,
};
use serde_json::{Value, json};

use crate::support::{
    faulty_s3::{SKEWED, WRONG_REGION},
    ffmpeg::Codecs,
    postgres::Database,
    pushing::Source,
    run,
    s3::{Fault, Op},
    server::{BACKENDS, Backend, Server, eventually},
};
use crate::verbatim::recorder;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Exit code and findings of `liverec doctor` with further settings.
pub fn examine(
    server: &Server,
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> (i32, Vec<Value>) {
    let mut command = server.cli();
    command.args(["doctor", "--json"]).args(arguments);
    for (key, value) in settings {
        command.env(format!("LIVEREC__{}", key.replace('.', "__").to_uppercase()), value);
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{:?}: no report: {told}", output.status));
    (output.status.code().unwrap(), report["findings"].as_array().unwrap().clone())
}

fn finding<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no check {check} in {findings:#?}"))
}

fn assert_found(findings: &[Value], check: &str, status: &str, part: &str) {
    let finding = finding(findings, check);
    assert_eq!(finding["status"], status, "{finding:#}");
    assert!(finding.to_string().contains(part), "{part}: {finding:#}");
}

pub fn bad(findings: &[Value]) -> Vec<&Value> {
    findings.iter().filter(|f| f["status"] != "ok" && f["check"] != "data_dir.room").collect()
}

#[test]
fn all_is_well_beside_a_running_server_and_nothing_is_left() {
    for backend in BACKENDS {
        let mut server = Server::start(backend, &[]);
        server.logs.wait_for("doctor: data directory, database, clock and store are fine");
        let before = objects(&server);
        let (code, findings) = examine(&server, &[], &[]);
        assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
        for check in [
            "configuration",
            "data_dir.write",
            "database",
            "database.write",
            "clock",
            "clock.files",
            "clock.store",
            "store.put",
            "store.get",
            "store.range",
            "store.overwrite",
            "store.missing",
            "store.list",
            "store.uploads",
            "store.multipart",
            "store.order",
            "store.abort",
            "store.delete",
            "orphans.objects",
            "orphans.uploads",
            "orphans.journals",
        ] {
            assert_found(&findings, check, "ok", "");
        }
        let holder = format!("process {}", server.pid());
        assert_found(&findings, "data_dir.lock", "ok", &holder);
        let answer = server.live("LiverecDoctor", json!({}));
        assert_eq!(answer["Status"], "OK", "{answer:#}");
        assert!(answer["FindingSet"].as_array().unwrap().len() > 15, "{answer:#}");
        assert_eq!(server.live_error("LiverecDoctor", json!({"No": 1})), "UnknownParameter");
        assert_eq!(objects(&server), before, "probes are removed");
        if let Some(s3) = &server.s3 {
            assert!(s3.open_uploads().is_empty());
        }
        let text = String::from_utf8(run(server.cli().arg("doctor"))).unwrap();
        assert!(
            text.ends_with("0 warnings, 0 failures\n") || text.contains("data_dir.room"),
            "{text}"
        );
        server.stop();
        let (code, findings) = examine(&server, &[], &[]);
        assert_eq!(code, 0);
        assert_found(&findings, "data_dir.lock", "ok", "no running server");
    }
}

#[test]
fn before_the_first_start_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_liverec"));
    command.env("LIVEREC__DATA_DIR", folder.path().join("data"));
    let output = command.args(["doctor"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("start the server once"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let output = command.args(["--set", "no.such=key"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no.such"));
}

/// What people get wrong with an S3 store, each named with what to change.
#[test]
fn mistakes_with_the_store_are_named() {
    let server = Server::start(Backend::Services, &[]);
    let wrong: [(&[(&str, &str)], &str); 5] = [
        (&[("storage.s3.access_key_id", "SOMEONE")], "storage.s3.access_key_id"),
        (&[("storage.s3.secret_access_key", "else")], "storage.s3.secret_access_key"),
        (&[("storage.s3.bucket", "another-bucket")], "make the bucket"),
        (&[("storage.s3.endpoint", "http://127.0.0.1:1")], "nothing listens"),
        (&[("storage.s3.endpoint", "http://no-such-host.invalid")], "has no address"),
    ];
    for (settings, advice) in wrong {
        let (code, findings) = examine(&server, &[], settings);
        assert_eq!(code, 1, "{settings:?}: {findings:#?}");
        assert_found(&findings, "store.reach", "fail", advice);
        assert_found(&findings, "database", "ok", "");
    }
    let s3 = server.s3.as_ref().unwrap();
    for (op, fault, check, status, advice) in [
        (Op::Put, SKEWED, "store.put", "fail", "set the clock"),
        (Op::Put, WRONG_REGION, "store.put", "fail", "storage.s3.region"),
        (Op::Put, Fault::Error(403, "AccessDenied"), "store.put", "fail", "s3:PutObject"),
        (Op::Head, Fault::Error(403, "AccessDenied"), "store.missing", "warn", "s3:ListBucket"),
        (Op::Get, Fault::CutBody(100), "store.get", "fail", ""),
        (Op::Complete, Fault::ErrorBody, "store.multipart", "fail", "InternalError"),
        (Op::Delete, Fault::Error(403, "AccessDenied"), "store.delete", "fail", "s3:"),
        (Op::List, Fault::Error(403, "AccessDenied"), "store.list", "warn", "s3:"),
        (
            Op::ListUploads,
            Fault::Error(501, "NotImplemented"),
            "store.uploads",
            "warn",
            "lifecycle",
        ),
    ] {
        s3.inject(op, 1, 1000, fault);
        let (code, findings) = examine(&server, &[], &[]);
        s3.heal();
        assert_eq!(code, i32::from(status == "fail"), "{fault:?}: {findings:#?}");
        assert_found(&findings, check, status, advice);
    }
    eventually("no probe is left", || s3.open_uploads().is_empty().then_some(()));
    s3.inject(Op::Abort, 1, 1000, Fault::Error(403, "AccessDenied"));
    let (code, findings) = examine(&server, &[], &[]);
    assert_eq!(code, 1, "{findings:#?}");
    assert_found(&findings, "store.abort", "fail", "s3:");
}

#[test]
fn mistakes_with_database_and_disk_are_named() {
    let mut server = Server::start(Backend::Services, &[]);
    let url = server.database_url();
    let other = |edit: &dyn Fn(&mut url::Url)| {
        let mut url = url::Url::parse(&url).unwrap();
        edit(&mut url);
        url.to_string()
    };
    let nobody = other(&|url| url.set_username("nobody_at_all").unwrap());
    let nowhere = other(&|url| url.set_port(Some(1)).unwrap());
    let no_database = other(&|url| url.set_path("no_such_database"));
    for (url, advice) in
        [(nobody, "does not exist"), (nowhere, "is it running"), (no_database, "does not exist")]
    {
        let (code, findings) = examine(&server, &[], &[("database.url", &url)]);
        assert_eq!(code, 1);
        assert_found(&findings, "database", "fail", advice);
        assert_found(&findings, "store.put", "ok", "");
    }
    let empty = Database::create();
    let (code, findings) = examine(&server, &[], &[("database.url", &empty.url())]);
    assert_eq!(code, 0, "{findings:#?}");
    assert_found(&findings, "database", "warn", "start the server once");
    server.sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', TRUE, '', 0)",
    );
    let (code, findings) = examine(&server, &[], &[]);
    assert_eq!(code, 1);
    assert_found(&findings, "database", "fail", "newer liverec");
    server.sql("DELETE FROM _sqlx_migrations WHERE version = 9999");

    // A data directory that is none: of a file no directory can be made.
    let file = server.folder().join("a-file");
    fs::write(&file, "").unwrap();
    let (code, findings) = examine(&server, &[], &[("data_dir", file.to_str().unwrap())]);
    assert_eq!(code, 1);
    assert_found(&findings, "data_dir.write", "fail", "");
    // A file system that takes nothing, whoever asks.
    let (code, findings) = examine(&server, &[], &[("data_dir", "/proc")]);
    assert_eq!(code, 1);
    assert!(bad(&findings).iter().any(|f| f["check"].as_str().unwrap().starts_with("data_dir")));
    server.stop();
}

/// A clock in doubt is named, and `--fix` confirms it.
#[test]
fn a_doubtful_clock_is_confirmed() {
    for backend in BACKENDS {
        let mut server = Server::start(backend, &[]);
        // Its own look at the start may come after the row is changed.
        server.expect("from the newest time believed");
        eventually("the clock is noted", || {
            (server.sql("SELECT COUNT(*) AS n FROM expiry_clock") == 1).then_some(())
        });
        server.sql("UPDATE expiry_clock SET trusted_ms = 1000000, paused_since_ms = 5");
        let (code, findings) = examine(&server, &[], &[]);
        assert_eq!(code, 0);
        assert_found(&findings, "clock", "warn", "--fix");
        let (_, findings) = examine(&server, &["--fix"], &[]);
        assert_found(&findings, "clock", "ok", "confirmed");
        let (_, findings) = examine(&server, &[], &[]);
        assert_found(&findings, "clock", "ok", "goes on");
    }
}

/// Orphans of every kind are listed with their size and removed only by `--fix`; young ones, foreign
/// ones and what has a row stay.
#[test]
fn only_what_nobody_owns_is_removed() {
    for backend in BACKENDS {
        let formats = ["Mp4", "Hls"];
        let (server, receiver) =
            recorder(backend, &formats, 7200, &[("hls.segment_duration", "2s")]);
        let source = Source::make(&server, Codecs::H264Aac, 6);
        source.push(&server.push_url("show"));
        let files = receiver.wait_for(100, formats.len());
        let owned = objects(&server);
        // The database is as old as the orphans.
        server.sql("UPDATE setting SET value = '1' WHERE name = 'first_start_ms'");

        let long_ago = chrono::Utc::now().timestamp_millis() - 3 * 86_400_000;
        let key = |container| {
            StorageKey::product("live.local", "live", "gone", DecimalId::next(long_ago), container)
        };
        let mp4 = key(Container::Mp4);
        let playlist = key(Container::Hls);
        let segment = playlist.segment(3, liverec::media::hls::SegmentType::Ts);
        for (name, bytes) in
            [(mp4.as_str(), 1000), (playlist.as_str(), 20), (segment.as_str(), 300)]
        {
            put(&server, name, bytes, true);
        }
        // These stay: young, foreign, or of a young file.
        let young = key(Container::Flv);
        let foreign = ["notes.txt", "live.local/live/gone/readme/f0.mp4", "backup/a.mp4"];
        put(&server, young.as_str(), 10, false);
        for name in foreign {
            put(&server, name, 10, true);
        }
        let journal = server.data_dir().join("journal");
        let lost = journal.join("01900000-0000-7000-8000-000000000001");
        fs::create_dir(&lost).unwrap();
        fs::write(lost.join("00000001.flv"), b"not a journal").unwrap();
        age(&lost.join("00000001.flv"));
        age(&lost);
        let other = journal.join("my-notes");
        fs::create_dir(&other).unwrap();
        age(&other);
        begin_abandoned_uploads(&server);

        for _ in 0..2 {
            let (code, findings) = examine(&server, &[], &[]);
            assert_eq!(code, 0, "{findings:#?}");
            assert_found(
                &findings,
                "orphans.objects",
                "warn",
                "3 objects of 2 files have no row, 1320 bytes",
            );
            assert_found(&findings, "orphans.objects", "warn", mp4.as_str());
            let young = "1 without a row are younger than a day";
            assert_found(&findings, "orphans.objects", "warn", young);
            assert_found(&findings, "orphans.uploads", "warn", "1 abandoned uploads, 700 bytes");
            assert_found(&findings, "orphans.journals", "warn", "1 journals have no session");
        }
        let (code, findings) = examine(&server, &["--fix"], &[]);
        assert_eq!(code, 0, "{findings:#?}");
        assert_found(
            &findings,
            "orphans.objects",
            "ok",
            "removed 3 objects without a row, 1320 bytes",
        );
        assert_found(&findings, "orphans.uploads", "ok", "removed 1 abandoned uploads, 700 bytes");
        assert_found(&findings, "orphans.journals", "ok", "removed 1 journals");
        let (code, findings) = examine(&server, &["--fix"], &[]);
        assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");

        let mut expected = owned;
        expected.push(young.as_str().to_owned());
        expected.extend(foreign.map(str::to_owned));
        expected.sort_unstable();
        assert_eq!(objects(&server), expected);
        assert!(!lost.exists() && other.exists());
        for file in &files {
            let id = file["file_id"].as_str().unwrap();
            run(server.cli().args(["verify", id]));
        }
    }
}

/// What the server would refuse is no room, whatever a disk usually has.
#[test]
fn room_is_what_the_configuration_says() {
    let server = Server::start(Backend::Plain, &[]);
    let set = ["--set", "disk.warn_free=1024TiB", "--set", "disk.refuse_free=1024TiB"];
    let (code, findings) = examine(&server, &set[..2], &[]);
    assert_eq!(code, 0, "{findings:#?}");
    assert_found(&findings, "data_dir.room", "warn", "less than disk.warn_free");
    let (code, findings) = examine(&server, &set, &[]);
    assert_eq!(code, 1, "{findings:#?}");
    assert_found(&findings, "data_dir.room", "fail", "new publishes are refused");
}

/// Objects that another database may own are never removed.
#[test]
fn objects_of_another_database_are_left_alone() {
    let server = Server::start(Backend::Plain, &[]);
    let long_ago = chrono::Utc::now().timestamp_millis() - 3 * 86_400_000;
    let mut names = Vec::new();
    for _ in 0..30 {
        let id = DecimalId::next(long_ago);
        let key = StorageKey::product("live.local", "live", "gone", id, Container::Mp4);
        put(&server, key.as_str(), 10, true);
        names.push(key.as_str().to_owned());
    }
    names.sort_unstable();
    let (_, findings) = examine(&server, &["--fix"], &[]);
    assert_found(
        &findings,
        "orphans.objects",
        "warn",
        "30 objects are of files older than this database",
    );
    server.sql("UPDATE setting SET value = '1' WHERE name = 'first_start_ms'");
    let (_, findings) = examine(&server, &["--fix"], &[]);
    assert_found(&findings, "orphans.objects", "warn", "so nothing is removed");
    assert_eq!(objects(&server), names);
}

/// A file goes when its StorageTime is over, once, and a restart does not bring it back.
#[test]
fn a_file_expires_when_its_time_is_over() {
    for backend in BACKENDS {
        let (mut server, receiver) =
            recorder(backend, &["Mp4", "Hls"], 7200, &[("hls.segment_duration", "2s")]);
        let source = Source::make(&server, Codecs::H264Aac, 6);
        source.push(&server.push_url("show"));
        let files = receiver.wait_for(100, 2);
        let hls = files.iter().find(|file| file["file_format"] == "hls").unwrap();
        let id = hls["file_id"].as_str().unwrap();
        let kept: Vec<String> =
            objects(&server).into_iter().filter(|name| !name.contains(id)).collect();
        assert_eq!(kept.len(), 1);
        let now = chrono::Utc::now().timestamp_millis();
        server.sql(&format!("UPDATE media_file SET expire_ms = {now} WHERE id = '{id}'"));
        server.logs.wait_for("media file expired and was removed");
        assert_eq!(objects(&server), kept);
        server.stop();
        server.launch();
        let found = server.vod("SearchMedia", json!({"StreamIds": ["show"]}));
        assert_eq!(found["TotalCount"], 1, "{found}");
        assert_eq!(objects(&server), kept);
    }
}

/// Where objects are, as files.
fn root(server: &Server) -> std::path::PathBuf {
    match &server.s3 {
        Some(s3) => s3.object("rec"),
        None => server.data_dir().join("vod"),
    }
}

/// The names of all objects, sorted.
pub fn objects(server: &Server) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, names: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                continue;
            }
            match path.is_dir() {
                true => walk(root, &path, names),
                false => names.push(path.strip_prefix(root).unwrap().display().to_string()),
            }
        }
    }
    let (root, mut names) = (root(server), Vec::new());
    walk(&root, &root, &mut names);
    names.sort_unstable();
    names
}

/// Puts an object where the store keeps its files.
fn put(server: &Server, name: &str, bytes: usize, is_old: bool) {
    let path = root(server).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, vec![7; bytes]).unwrap();
    if is_old {
        age(&path);
    }
}

fn age(path: &Path) {
    let file = fs::File::open(path).unwrap();
    file.set_modified(SystemTime::now() - 3 * DAY).unwrap();
}

/// One upload of three days ago and one of now, both of nobody.
fn begin_abandoned_uploads(server: &Server) {
    let Some(s3) = &server.s3 else {
        let tmp = server.data_dir().join("vod/.tmp");
        for (name, is_old) in [
            ("01900000-0000-7000-8000-000000000002.body", true),
            ("01900000-0000-7000-8000-000000000002.parts", true),
            ("01900000-0000-7000-8000-000000000003.body", false),
            ("foreign.body", true),
        ] {
            fs::write(tmp.join(name), vec![7; 700]).unwrap();
            if is_old {
                age(&tmp.join(name));
            }
        }
        return;
    };
    let store = liverec::storage::S3Store::new(liverec::storage::S3Settings {
        endpoint: Some(s3.endpoint()),
        region: "us-east-1".to_owned(),
        bucket: crate::support::s3::BUCKET.to_owned(),
        prefix: "rec/".to_owned(),
        access_key_id: crate::support::s3::ACCESS_KEY_ID.to_owned(),
        secret_access_key: crate::support::s3::SECRET_ACCESS_KEY.to_owned(),
        path_style: true,
        timeout: Duration::from_secs(30),
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use liverec::storage::ObjectStore;
        let now = chrono::Utc::now().timestamp_millis();
        for (is_ours, is_old) in [(true, true), (true, false), (false, true)] {
            let key = match is_ours {
                true => StorageKey::product("d", "live", "s", DecimalId::next(now), Container::Mp4),
                false => StorageKey::parse("somebody/elses.mp4").unwrap(),
            };
            let upload = store.start(&key, 5 << 20).await.unwrap();
            store.put_part(&upload, 1, vec![7; 700].into()).await.unwrap();
            if is_old {
                s3.age_upload(&upload.id, 3 * DAY);
            }
        }
    });
}
