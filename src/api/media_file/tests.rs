//! The two actions over a real database; wire forms are the vendor SDK's.

use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusBuilder;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::{
    api::{
        ApiSettings,
        params::Reading,
        shape::{self, Shape},
    },
    db::{
        Db,
        callback::testing::{self, insert_parents},
        media_file::{Claim, Fenced},
    },
    domain::{
        api_key::Role,
        container::Container,
        ids::SessionId,
        media_file::{MediaFacts, MediaFile},
        recording::Origin,
        snapshot::Snapshot,
    },
    storage::LocalStore,
};

mod refusals;

const APP_ID: u64 = 1_250_000_000;
const OTHER_APP_ID: u64 = 1_500_000_001;
const START_MS: i64 = 1_795_344_236_224; // 2026-11-22T10:43:56Z
const NOW_MS: i64 = START_MS + 3_600_000;

struct Server {
    state: State,
    _dir: TempDir,
    _db: testing::TestDb,
}

/// A state per database; two files of the main application, one of another.
async fn servers() -> Vec<(Server, [MediaFile; 3])> {
    let mut all = Vec::new();
    for test in testing::databases().await {
        let dir = TempDir::new().unwrap();
        let settings = ApiSettings {
            secret_id: "id".to_owned(),
            secret_key: "key".to_owned(),
            default_domain: DomainName::parse("live.local").unwrap(),
            trust_loopback: true,
            default_task_format: Container::Hls,
            forbid_scope: Default::default(),
            publish_auth: None,
            app_id: APP_ID,
            clock_skew_s: 300,
            rejects_unknown: true,
            utc_offset: chrono::FixedOffset::east_opt(8 * 3600).unwrap(),
            deny_networks: Vec::new(),
            trusted_proxies: Vec::new(),
            public_url: "http://10.0.0.1:8080".to_owned(),
        };
        let mut state = State::new(
            test.db.clone(),
            Arc::new(LocalStore::open(dir.path()).unwrap()),
            settings,
            Arc::new(ArcSwap::from_pointee(Snapshot::default())),
            Arc::new(Notify::new()),
            PrometheusBuilder::new().build_recorder().handle(),
        );
        state.clock = || NOW_MS;
        let files = [
            store(&test.db, "livetest", APP_ID, START_MS, Container::Mp4).await,
            store(&test.db, "b", APP_ID, START_MS + 60_000, Container::Aac).await,
            store(&test.db, "b", OTHER_APP_ID, START_MS + 90_000, Container::Mp4).await,
        ];
        all.push((Server { state, _dir: dir, _db: test }, files));
    }
    all
}

async fn store(db: &Db, stream: &str, app: u64, start_ms: i64, container: Container) -> MediaFile {
    let mut file = testing::media_file(stream, SessionId::new(0), start_ms);
    (file.sub_app_id, file.container) = (app, container);
    file.origin = Origin::Task { task_id: "t".to_owned() };
    insert_parents(db, &file).await;
    let mut tx = db.begin().await.unwrap();
    Db::insert_media_file(&mut tx, &file).await.unwrap();
    Db::end_media_file(&mut tx, file.id, Some(9), start_ms + 1, start_ms + 1).await.unwrap();
    tx.commit().await.unwrap();
    let claimed = db.claim_media_file(Claim::Oldest, "node", "w", start_ms + 1, 1).await.unwrap();
    let fence = claimed.unwrap().1;
    file.name = format!("{stream}_录制");
    let extension = container.extension();
    file.storage_key = format!("push.example.com/live/{stream}/{}/f0%20.{extension}", file.id);
    let has_pictures = container != Container::Aac;
    file.facts = MediaFacts {
        size_bytes: 31_869_806,
        duration_ms: 60_500,
        start_ms,
        end_ms: start_ms + 60_700,
        video_codec: if has_pictures { "hevc".to_owned() } else { String::new() },
        audio_codec: "aac".to_owned(),
        width: if has_pictures { 1920 } else { 0 },
        height: if has_pictures { 1080 } else { 0 },
        high_range: "hlg".to_owned(),
        fps: if has_pictures { 30 } else { 0 },
        sampling_rate: 48_000,
        video_bytes: if has_pictures { 30_250_000 } else { 0 },
        audio_bytes: 1_210_000,
        ..MediaFacts::default()
    };
    let mut tx = db.begin().await.unwrap();
    let done =
        Db::commit_stored_media_file(&mut tx, &file, fence, start_ms + 61_000).await.unwrap();
    assert_eq!(done, Fenced::Done);
    tx.commit().await.unwrap();
    file
}

fn params(shape: &'static Shape, request: Value) -> Params {
    let Value::Object(fields) = request else { panic!("not an object") };
    let reading = Reading { rejects_unknown: true, has_json_text: false };
    Params::new(fields, reading, shape.parameters)
}

async fn search(server: &Server, request: Value) -> Result<Value> {
    search_media(
        &server.state,
        &Caller::admin("id"),
        params(&shape::media_file::SEARCH_MEDIA, request),
    )
    .await
}

async fn describe(server: &Server, request: Value) -> Result<Value> {
    describe_media_infos(
        &server.state,
        &Caller::admin("id"),
        params(&shape::media_file::DESCRIBE_MEDIA_INFOS, request),
    )
    .await
}

fn ids(answer: &Value) -> Vec<&str> {
    let files = answer["MediaInfoSet"].as_array().unwrap();
    files.iter().map(|file| file["FileId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_file_is_shown_with_exact_types() {
    let (server, [mp4, ..]) = servers().await.remove(0);
    let id = mp4.id.to_string();
    let answer = describe(&server, json!({ "FileIds": [id, "nope", id] })).await.unwrap();
    let expected = json!({
        "FileId": id,
        "BasicInfo": {
            "Name": "livetest_录制", "Description": "",
            "CreateTime": "2026-11-22T10:44:57Z", "UpdateTime": "2026-11-22T10:44:57Z",
            "ExpireTime": "9999-12-31T23:59:59Z",
            "ClassId": 0, "ClassName": "", "ClassPath": "", "CoverUrl": "", "Type": "mp4",
            "MediaUrl": format!("http://10.0.0.1:8080/vod/push.example.com/live/livetest/{id}/f0%2520.mp4"),
            "SourceInfo": {
                "SourceType": "Record", "SourceContext": "",
                "LiveRecordInfo": {
                    "StreamId": "livetest", "Domain": "push.example.com", "Path": "live",
                    "RecordStartTime": "2026-11-22T10:43:56Z", "RecordEndTime": "2026-11-22T10:44:56Z",
                },
                "TrtcRecordInfo": null, "WebPageRecordInfo": null,
            },
            "StorageRegion": "", "StoragePath": "", "TagSet": [], "Vid": id,
            "Category": "Video", "Status": "Normal", "StorageClass": "STANDARD",
        },
        "MetaData": {
            "Size": 31_869_806, "Container": "mp4", "Bitrate": 4_160_000, "Height": 1080, "Width": 1920,
            "Duration": 60.5, "Rotate": 0, "VideoDuration": 60.5, "AudioDuration": 60.5, "Md5": "",
            "VideoStreamSet": [{
                "Bitrate": 4_000_000, "Height": 1080, "Width": 1920, "Codec": "hevc", "Fps": 30,
                "CodecTag": "hvc1", "DynamicRangeInfo": { "Type": "HDR", "HDRType": "hlg" },
            }],
            "AudioStreamSet": [{ "Bitrate": 160_000, "SamplingRate": 48_000, "Codec": "aac" }],
        },
        "TranscodeInfo": null, "AnimatedGraphicsInfo": null, "SampleSnapshotInfo": null,
        "ImageSpriteInfo": null, "SnapshotByTimeOffsetInfo": null, "KeyFrameDescInfo": null,
        "AdaptiveDynamicStreamingInfo": null, "MiniProgramReviewInfo": null, "SubtitleInfo": null,
        "ReviewInfo": null, "MPSAiMediaInfo": null, "ImageUnderstandingInfo": null,
        "KnowledgeBasesInfo": null, "FaceRecognitionInfo": null,
    });
    assert_eq!(answer, json!({ "MediaInfoSet": [expected], "NotExistFileIdSet": ["nope"] }));
}

#[tokio::test]
async fn filters_select_sections_files_and_pages() {
    for (server, [mp4, aac, other]) in servers().await {
        let (mp4, aac, other) = (mp4.id.to_string(), aac.id.to_string(), other.id.to_string());
        let all = search(&server, json!({ "Filters": ["metaData"] })).await.unwrap();
        assert_eq!((ids(&all), &all["TotalCount"]), (vec![aac.as_str(), &mp4], &json!(2)));
        let first = &all["MediaInfoSet"][0];
        assert_eq!(
            (&first["BasicInfo"], &first["MetaData"]["VideoStreamSet"]),
            (&Value::Null, &json!([]))
        );
        let one =
            search(&server, json!({ "FileIds": [aac], "Filters": ["basicInfo", "transcodeInfo"] }))
                .await;
        assert_eq!(one.unwrap()["MediaInfoSet"][0]["BasicInfo"]["Category"], "Audio");

        for (request, found) in [
            (json!({ "StreamIds": ["livetest", "zz"] }), vec![&mp4]),
            (json!({ "StreamId": "b" }), vec![&aac]),
            (json!({ "StreamId": "b", "StreamIds": ["livetest"] }), vec![]),
            (json!({ "NamePrefixes": ["live", "b_录"] }), vec![&aac, &mp4]),
            (json!({ "NamePrefixes": ["LIVE", "%"] }), vec![]),
            (
                json!({ "SourceTypes": ["Upload", "Record"], "SourceType": "Record" }),
                vec![&aac, &mp4],
            ),
            (json!({ "SourceTypes": ["Upload"] }), vec![]),
            (
                json!({ "StreamDomains": ["PUSH.example.com"], "StreamPaths": ["live"] }),
                vec![&aac, &mp4],
            ),
            (json!({ "StreamPaths": ["vod"] }), vec![]),
            (json!({ "CreateTime": { "After": "2026-11-22T10:44:58Z" } }), vec![&aac]),
            (json!({ "CreateTime": { "Before": "2026-11-22T18:44:58+08:00" } }), vec![&mp4]),
            (json!({ "StartTime": "2026-11-22T10:44:58Z" }), vec![&aac]),
            (
                json!({ "EndTime": "2026-11-22T10:44:58Z", "CreateTime": { "Before": "2027-01-01T00:00:00Z" } }),
                vec![&aac, &mp4],
            ),
            (
                json!({ "Sort": { "Field": "CreateTime", "Order": "asc" }, "Limit": "1", "Offset": "1" }),
                vec![&aac],
            ),
            (json!({ "SubAppId": OTHER_APP_ID }), vec![&other]),
            (
                json!({ "SubAppId": 0, "Names": [], "ExpireTime": {}, "Vid": "x", "Text": "", "Limit": 0 }),
                vec![],
            ),
        ] {
            let answer = search(&server, request.clone()).await.unwrap();
            assert_eq!(ids(&answer), found, "{request}");
        }
    }
}

#[tokio::test]
async fn a_file_is_verified_for_its_application_only() {
    for (server, [mp4, aac, other]) in servers().await {
        let verify = async |caller: &Caller, request: Value| {
            crate::api::verify::verify_file(
                &server.state,
                caller,
                params(&shape::verify::VERIFY_FILE, request),
            )
            .await
        };
        let admin = Caller::admin("id");
        let confined = Caller { role: Role::SubApp(OTHER_APP_ID), ..admin.clone() };
        let id = |file: &MediaFile| file.id.to_string();
        for (caller, request) in [
            (&admin, json!({ "FileId": id(&other) })),
            (&admin, json!({ "FileId": id(&mp4), "SubAppId": OTHER_APP_ID })),
            (&confined, json!({ "FileId": id(&aac) })),
            (&admin, json!({ "FileId": "7" })),
            (&admin, json!({ "FileId": "../7" })),
        ] {
            let error = verify(caller, request.clone()).await.unwrap_err();
            assert_eq!(error.code(), "ResourceNotFound.FileNotExist", "{request}");
        }
        let request = json!({ "FileId": id(&mp4), "SubAppId": APP_ID });
        let error = verify(&confined, request).await.unwrap_err();
        assert_eq!(error.code(), "UnauthorizedOperation");
        let error = verify(&admin, json!({})).await.unwrap_err();
        assert_eq!(error.code(), "MissingParameter");
        // These rows have no object.
        for (caller, file) in [(&confined, &other), (&admin, &mp4)] {
            let answer = verify(caller, json!({ "FileId": id(file) })).await.unwrap();
            assert_eq!(
                (&answer["Verified"], &answer["Against"]),
                (&json!(false), &json!("nothing"))
            );
            assert_eq!(answer["DifferenceSet"][0]["What"], "it is not in the store");
        }
    }
}

#[tokio::test]
async fn a_key_of_one_application_sees_only_its_files() {
    let (server, [mp4, _, other]) = servers().await.remove(0);
    let caller = Caller { role: Role::SubApp(OTHER_APP_ID), ..Caller::admin("id") };
    let answer =
        search_media(&server.state, &caller, params(&shape::media_file::SEARCH_MEDIA, json!({})))
            .await
            .unwrap();
    assert_eq!(ids(&answer), [other.id.to_string()]);
    let request = params(
        &shape::media_file::DESCRIBE_MEDIA_INFOS,
        json!({ "FileIds": [mp4.id.to_string()] }),
    );
    let answer = describe_media_infos(&server.state, &caller, request).await.unwrap();
    assert_eq!(answer["NotExistFileIdSet"], json!([mp4.id.to_string()]));
    let request = params(&shape::media_file::SEARCH_MEDIA, json!({ "SubAppId": APP_ID }));
    let error = search_media(&server.state, &caller, request).await.unwrap_err();
    assert_eq!(error.code(), "UnauthorizedOperation");
}
