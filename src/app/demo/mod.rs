//! `liverec demo`: the main job, shown on this machine without any other tool.
//!
//! Starts the server on free ports in a temporary directory, publishes a small built-in sample over
//! a real RTMP connection, waits for the four products and their callbacks, fetches each product
//! over HTTP, and says what was made and where. Reads no configuration and no environment.

mod push;
mod receiver;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Server, now_ms};
use crate::{
    config::{Config, Sources},
    db::{Db, rule::RuleCreation, seed, template::Creation},
    domain::{
        callback_rule::CallbackRule,
        callback_template::CallbackTemplate,
        container::Container,
        record_rule::RecordRule,
        record_template::{RecordParam, RecordTemplate},
        stream::DomainName,
    },
};

/// Everything must have happened by then.
const LIMIT: Duration = Duration::from_secs(28);
const APP: &str = "live";
const STREAM: &str = "demo";
/// Key of the callback signatures.
const SIGN_KEY: &str = "demokey";

/// Runs the demo; prints as it goes, the summary last.
///
/// # Errors
/// Something of it did not happen; the message says what.
pub async fn demo(shutdown: CancellationToken) -> Result<()> {
    let began = Instant::now();
    let deadline = began + LIMIT;
    let dir = std::env::temp_dir().join(format!("liverec-demo-{}", uuid::Uuid::now_v7()));
    let stored_bytes = tokio::select! {
        () = shutdown.cancelled() => bail!("stopped"),
        result = timeout_at(deadline, run(&dir)) => {
            result.context("the demo was not done within 28 s")??
        }
    };
    println!(
        "demo succeeded in {:.1} s: 4 products, {stored_bytes} bytes, under {}",
        began.elapsed().as_secs_f64(),
        dir.join("vod").display()
    );
    Ok(())
}

async fn run(dir: &std::path::Path) -> Result<u64> {
    let config = config(dir)?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for callbacks")?;
    let receiver_url = format!("http://{}/callback", listener.local_addr()?);
    prepare(&config, &receiver_url).await?;

    let server = Server::start(config).await?;
    let (rtmp, public_url) = (server.addresses.rtmp, server.public_url.clone());
    println!("server: rtmp://{rtmp} and {public_url}, in {}", dir.display());
    let stop = CancellationToken::new();
    let (inbox, mut events) = receiver::channel();
    let mut tasks = JoinSet::new();
    let (serving, receiving) = (stop.clone(), stop.clone());
    tasks.spawn(async move { server.run(serving).await });
    tasks.spawn(async move { receiver::run(listener, inbox, SIGN_KEY, receiving).await });

    let tags = push::sample()?;
    println!("publishing {} tags to rtmp://{rtmp}/{APP}/{STREAM}", tags.len());
    push::publish(rtmp, APP, STREAM, &tags).await?;

    let mut stored_bytes = 0;
    let mut missing: Vec<&str> = Container::ALL.iter().map(|c| c.as_str()).collect();
    while !missing.is_empty() {
        let event = tokio::select! {
            event = events.recv() => event.context("the callback receiver stopped")??,
            Some(ended) = tasks.join_next() => {
                ended.context("a part of the demo stopped")??;
                bail!("a part of the demo stopped");
            }
        };
        let text =
            |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match event.get("event_type").and_then(Value::as_i64) {
            Some(1) => println!("callback 1: push started"),
            Some(0) => println!("callback 0: push ended, {} ms", text("push_duration")),
            Some(332) => println!("callback 332: {}", text("record_event")),
            Some(100) => {
                let (format, url) = (text("file_format"), text("video_url"));
                let size = event.get("file_size").and_then(Value::as_u64).unwrap_or_default();
                fetch(&url).await?;
                println!("callback 100: {format}, {size} bytes, {url}");
                stored_bytes += size;
                missing.retain(|wanted| *wanted != format);
            }
            other => bail!("an unexpected callback arrived: event_type {other:?}"),
        }
    }
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.context("stop the demo")??;
    }
    Ok(stored_bytes)
}

fn config(dir: &std::path::Path) -> Result<Config> {
    let dir = dir.to_str().context("the temporary directory has no readable name")?;
    let flags = [("data_dir", dir), ("rtmp.listen", "127.0.0.1:0"), ("http.listen", "127.0.0.1:0")];
    let sources = Sources {
        flags: flags.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        ..Sources::default()
    };
    Ok(Config::load(&sources)?)
}

/// Asks for all four products of the demo stream, and for every event.
async fn prepare(config: &Config, receiver_url: &str) -> Result<()> {
    std::fs::create_dir_all(&config.data_dir).context("make the temporary directory")?;
    let db = Db::connect(config.database.as_str()).await?;
    let domain: DomainName = config.rtmp.default_domain.clone();
    seed::run(&db, &domain, now_ms()).await?;
    let on = RecordParam { enable: true, ..RecordParam::default() };
    let template = RecordTemplate {
        name: "demo".to_owned(),
        flv: on.clone(),
        hls: on.clone(),
        mp4: on.clone(),
        aac: on,
        ..RecordTemplate::default()
    };
    let Creation::Created(template_id) = db.create_record_template(&template, now_ms()).await?
    else {
        bail!("no room for a record template");
    };
    let rule = RecordRule {
        domain: domain.clone(),
        app: APP.to_owned(),
        stream: STREAM.to_owned(),
        template_id,
        created_ms: now_ms(),
        updated_ms: now_ms(),
    };
    ensure!(
        db.create_record_rule(&rule).await? == RuleCreation::Created,
        "no room for a record rule"
    );
    let url = receiver_url.to_owned();
    let callbacks = CallbackTemplate {
        name: "demo".to_owned(),
        stream_begin_url: url.clone(),
        stream_end_url: url.clone(),
        record_url: url.clone(),
        record_status_url: url,
        key: SIGN_KEY.to_owned(),
        ..CallbackTemplate::default()
    };
    let Creation::Created(template_id) = db.create_callback_template(&callbacks, now_ms()).await?
    else {
        bail!("no room for a callback template");
    };
    let rule = CallbackRule {
        domain,
        app: String::new(),
        template_id,
        created_ms: now_ms(),
        updated_ms: now_ms(),
    };
    ensure!(
        db.create_callback_rule(&rule).await? == RuleCreation::Created,
        "no room for a callback rule"
    );
    db.close().await;
    Ok(())
}

/// Reads a product as a player would.
async fn fetch(url: &str) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build().context("set up an HTTP client")?;
    let answer = client.get(url).send().await.with_context(|| format!("fetch {url}"))?;
    ensure!(answer.status().as_u16() == 200, "{url} answers {}", answer.status());
    let body = answer.bytes().await.with_context(|| format!("fetch {url}"))?;
    ensure!(!body.is_empty(), "{url} is empty");
    Ok(())
}

/// Where the demo publishes to.
fn tc_url(rtmp: SocketAddr, app: &str) -> String {
    format!("rtmp://{rtmp}/{app}")
}
