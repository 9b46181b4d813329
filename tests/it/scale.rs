//! Many rows: what is listed and matched takes no more than its share longer, and two hundred tasks that
//! begin in the same second all begin.

use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

use chrono::Utc;
use serde_json::{Value, json};

use crate::support::{
    ffmpeg::{Codecs, make_source},
    publisher::{LivePush, Pusher, is_header, is_keyframe, read_tags},
    pushing::Source,
    receiver::{Receiver, SIGN_KEY},
    server::{BACKENDS, Backend, Server},
};

/// Templates, rules and tasks each, and five times as many files.
const FEW: i64 = 200;
const MANY: i64 = 2000;
/// Times each thing is asked for; the median counts.
const ASKED: usize = 9;
/// Shorter than this nothing is compared: it is the network and the clock.
const FLOOR: Duration = Duration::from_millis(3);

/// Every column of a table, each as it is or as another expression.
fn columns(all: &[&str], changed: &[(&str, &str)]) -> (String, String) {
    let changed: BTreeMap<&str, &str> = changed.iter().copied().collect();
    let values = all.iter().map(|column| *changed.get(column).unwrap_or(column));
    (all.join(", "), values.collect::<Vec<_>>().join(", "))
}

/// Copies the one row of a table that `of` finds, for the numbers `from..=to` (`i`), with changes.
fn multiply(
    server: &Server,
    table: &str,
    all: &[&str],
    of: &str,
    changed: &[(&str, &str)],
    (from, to): (i64, i64),
) {
    let (names, values) = columns(all, changed);
    server.sql(&format!(
        "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to}) \
         INSERT INTO {table} ({names}) SELECT {values} FROM {table}, n WHERE {of}"
    ));
}

const TEMPLATE: &[&str] = &["id", "is_delay_live", "body", "created_ms", "updated_ms"];
const RULE: &[&str] = &["domain", "app", "stream", "template_id", "created_ms", "updated_ms"];
const TASK: &[&str] = &[
    "id",
    "domain",
    "app",
    "stream",
    "start_s",
    "end_s",
    "template_id",
    "stream_type",
    "stopped_ms",
    "deleted_ms",
    "created_ms",
    "profile",
];

/// Adds rows until there are `to` of each, from `from` on; files five times as many.
fn fill(server: &Server, files: &[&str], (from, to): (i64, i64)) {
    multiply(server, "record_template", TEMPLATE, "id = 1", &[("id", "i + 100")], (from, to));
    multiply(
        server,
        "record_rule",
        RULE,
        "stream = 'seed'",
        &[("stream", "'r' || i"), ("template_id", "i + 100")],
        (from, to),
    );
    let task = [("id", "'t' || (1000000 + i)"), ("stream", "'t' || i")];
    multiply(server, "record_task", TASK, "stream = 'seed'", &task, (from, to));
    multiply(
        server,
        "media_file",
        files,
        "stream = 'seed'",
        &[
            ("id", "CAST(CAST(1000000000000000000 AS BIGINT) + i AS TEXT)"),
            ("ordinal", "i + 10"),
            ("stream", "'f' || (i % 50)"),
            ("created_ms", "created_ms + i"),
        ],
        (5 * from - 4, 5 * to),
    );
}

/// Something that is asked for, and its name.
type Thing<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// The median time of each thing, by name.
fn measure(server: &Server) -> BTreeMap<&'static str, Duration> {
    let now = Utc::now().timestamp();
    let mut rule = 0;
    let mut things: Vec<Thing<'_>> = vec![
        (
            "list templates",
            Box::new(|| {
                server.live("DescribeLiveRecordTemplates", json!({}));
            }),
        ),
        (
            "list rules",
            Box::new(|| {
                server.live("DescribeLiveRecordRules", json!({}));
            }),
        ),
        (
            "list tasks, a page",
            Box::new(|| {
                let window = json!({ "StartTime": now - 3600, "EndTime": now + 7200 });
                let page = server.live("DescribeRecordTask", window);
                assert_eq!(page["TaskList"].as_array().unwrap().len(), 100);
            }),
        ),
        (
            "explain",
            Box::new(|| {
                let stream =
                    json!({ "DomainName": "live.local", "AppName": "live", "StreamName": "r7" });
                let told = server.live("LiverecExplainRecord", stream);
                assert_eq!(told["RuleList"].as_array().unwrap().len(), 2, "{told}");
            }),
        ),
        (
            "search files, first page",
            Box::new(|| {
                server.vod("SearchMedia", json!({ "Limit": 10 }));
            }),
        ),
        (
            "search files, last page",
            Box::new(|| {
                server.vod("SearchMedia", json!({ "Offset": 900, "Limit": 10 }));
            }),
        ),
        (
            "search files of a stream",
            Box::new(|| {
                let found = server.vod("SearchMedia", json!({ "StreamIds": ["f7"], "Limit": 10 }));
                assert_eq!(found["MediaInfoSet"].as_array().unwrap().len(), 10);
            }),
        ),
        (
            "make and remove a rule",
            Box::new(|| {
                rule += 1;
                let scope = json!({
                    "DomainName": "live.local", "AppName": "", "StreamName": format!("new{rule}"),
                });
                let mut made = scope.clone();
                made["TemplateId"] = json!(1);
                server.live("CreateLiveRecordRule", made);
                server.live("DeleteLiveRecordRule", scope);
            }),
        ),
        (
            "begin a push",
            Box::new(|| {
                Pusher::connect(server.rtmp, "r7", 4096).accepted().finish();
            }),
        ),
    ];
    let mut medians = BTreeMap::new();
    for (name, thing) in &mut things {
        let mut times: Vec<Duration> = (0..ASKED)
            .map(|_| {
                let begun = Instant::now();
                thing();
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        medians.insert(*name, times[ASKED / 2]);
    }
    medians
}

#[test]
fn thousands_of_rows_cost_their_share_and_no_more() {
    let settings = [
        ("limits.templates", "5000"),
        ("limits.rules", "5000"),
        ("limits.tasks", "5000"),
        ("api.rate_limits", "*=0"),
    ];
    for backend in BACKENDS {
        let mut server = Server::start(backend, &settings);
        let receiver = Receiver::start();
        server.call_back(&receiver.url(), SIGN_KEY);
        let id = server.record("live", "seed", &["Flv"], 3600);
        assert_ne!(id, 1);
        let now = Utc::now().timestamp();
        server.live(
            "CreateRecordTask",
            json!({
                "DomainName": "live.local", "AppName": "live", "StreamName": "seed",
                "StartTime": now + 3000, "EndTime": now + 6000,
            }),
        );
        let source = Source::make(&server, Codecs::H264Aac, 1);
        source.push(&server.push_url("seed"));
        receiver.wait_for(100, 1);
        server.stop();
        let columns = file_columns(&server);
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        fill(&server, &columns, (1, FEW));
        server.launch();
        let few = measure(&server);
        server.stop();
        fill(&server, &columns, (FEW + 1, MANY));
        server.launch();
        let many = measure(&server);
        println!(
            "{backend:?}: median ms with {FEW} and {MANY} templates, rules and tasks, and five times as many files"
        );
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        for (name, few) in &few {
            println!("  {name}: {:.1}, {:.1}", ms(*few), ms(many[name]));
        }
        for (name, few) in few {
            // Ten times as many rows: in proportion ten times as long, in their square a hundred.
            let most = few.max(FLOOR) * 25;
            assert!(many[name] < most, "{name}: {few:?} became {:?}", many[name]);
        }
    }
}

/// The columns of the table of files, so that a copy of a row is complete whatever is added to it.
fn file_columns(server: &Server) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&server.database_url()).await.unwrap();
        let row = sqlx::query("SELECT * FROM media_file LIMIT 1").fetch_one(&pool).await.unwrap();
        let names = sqlx::Row::columns(&row).iter().map(|c| sqlx::Column::name(c).to_owned());
        let names = names.collect();
        pool.close().await;
        names
    })
}

const STREAMS: usize = 100;

#[test]
fn two_hundred_tasks_of_one_second_all_begin() {
    let server = Server::start(Backend::Plain, &[("api.rate_limits", "*=0")]);
    let receiver = Receiver::start();
    server.call_back(&receiver.url(), SIGN_KEY);
    server.live("DeleteLiveRecordRule", json!({"DomainName": "live.local"}));
    let template = json!({ "TemplateName": "t", "FlvParam": { "Enable": 1 } });
    let template = server.live("CreateLiveRecordTemplate", template)["TemplateId"].clone();
    let path = server.folder().join("source.flv");
    make_source(Codecs::H264Aac, 2, &path);
    let mut tags = read_tags(&path);
    tags.retain(|tag| is_header(tag) || is_keyframe(tag));
    let pushes: Vec<LivePush> = (0..STREAMS)
        .map(|nth| {
            let pusher = Pusher::connect(server.rtmp, &format!("s{nth}"), 4096).accepted();
            LivePush::start(pusher, tags.clone())
        })
        .collect();
    // Long enough for a slow machine to have made them all.
    let start = Utc::now().timestamp() + 40;
    let mut tasks = Vec::new();
    for nth in 0..2 * STREAMS {
        let task = json!({
            "DomainName": "live.local", "AppName": "live", "StreamName": format!("s{}", nth / 2),
            "StartTime": start, "EndTime": start + 3600, "TemplateId": template,
        });
        tasks.push(server.live("CreateRecordTask", task)["TaskId"].as_str().unwrap().to_owned());
    }
    let made = Utc::now().timestamp();
    assert!(made < start, "the tasks were not made before they begin");
    assert_eq!(receiver.of_type(332).len(), 0, "none has begun before its time");
    sleep(Duration::from_secs(u64::try_from(start - made).unwrap()));
    let begun = receiver.wait_for(332, 2 * STREAMS);
    let mut told: Vec<&str> =
        begun.iter().map(|event| event["task_id"].as_str().unwrap()).collect();
    told.sort_unstable();
    tasks.sort_unstable();
    assert_eq!(told, tasks, "each began once");
    let late = begun.iter().map(|event| event["event_time"].as_i64().unwrap() - start).max();
    println!("200 tasks of one second: all begun, the last told of {} s later", late.unwrap());
    let is_begun = |event: &Value| event["record_event"] == "record_start_succeeded";
    assert!(begun.iter().all(is_begun), "{begun:?}");
    drop(pushes);
}
