//! Playback over real connections, from a directory store and from stores that fail.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use super::*;
use crate::storage::{BoxFuture, LocalStore, OpenUpload, Page, Part, Upload};

const KEY: &str = "push.example.com/live/%E6%88%BF 1/1882573000000000001/f0.mp4";
const PATH: &str = "/vod/push.example.com/live/%25E6%2588%25BF%201/1882573000000000001/f0.mp4";

struct Server {
    address: SocketAddr,
    _dir: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

async fn serve_from(store: Arc<dyn ObjectStore>, dir: tempfile::TempDir) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(
        async move { axum::serve(listener, router::<()>(Playback::new(store))).await.unwrap() },
    );
    Server { address, _dir: dir, _tasks: tasks }
}

/// A server with one object of 1000 bytes, a playlist, and an empty object.
async fn server() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    let object: Vec<u8> = (0..1000).map(|n| n as u8).collect();
    store.put(&StorageKey::parse(KEY).unwrap(), object.into()).await.unwrap();
    store
        .put(&StorageKey::parse("a/playlist.m3u8").unwrap(), Bytes::from_static(b"#EXTM3U\n"))
        .await
        .unwrap();
    store.put(&StorageKey::parse("a/empty.ts").unwrap(), Bytes::new()).await.unwrap();
    serve_from(Arc::new(store), dir).await
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

impl Server {
    async fn send(&self, request: &str) -> Answer {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let (line, headers) = request.split_once('\n').unwrap_or((request, ""));
        let headers: String = headers.lines().map(|h| format!("{}\r\n", h.trim())).collect();
        let text = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        socket.write_all(text.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.unwrap();
        let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: all[end + 4..].to_vec() }
    }
}

#[tokio::test]
async fn whole_objects_are_served_with_their_type() {
    let server = server().await;
    let answer = server.send(&format!("GET {PATH}")).await;
    assert_eq!((answer.status, answer.body.len()), (200, 1000));
    assert_eq!(answer.header("content-type"), Some("video/mp4"));
    assert_eq!(answer.header("content-length"), Some("1000"));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("content-range"));
    let head = server.send(&format!("HEAD {PATH}\nrange: bytes=0-1")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some("1000"));
    assert_eq!(head.header("etag"), answer.header("etag"));
    let playlist = server.send("GET /vod/a/playlist.m3u8").await;
    assert_eq!(playlist.header("content-type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(playlist.header("cache-control"), Some("no-cache"));
    let empty = server.send("GET /vod/a/empty.ts").await;
    assert_eq!((empty.status, empty.header("content-length")), (200, Some("0")));
}

#[tokio::test]
async fn single_ranges_are_cut_out() {
    let server = server().await;
    let cases: [(&str, Range<usize>); 6] = [
        ("0-0", 0..1),
        ("100-299", 100..300),
        ("990-", 990..1000),
        ("900-5000", 900..1000),
        ("-10", 990..1000),
        ("-5000", 0..1000),
    ];
    for (range, want) in cases {
        let answer = server.send(&format!("GET {PATH}\nrange: bytes={range}")).await;
        assert_eq!(answer.status, 206, "{range}");
        let content_range = format!("bytes {}-{}/1000", want.start, want.end - 1);
        assert_eq!(answer.header("content-range"), Some(content_range.as_str()));
        assert_eq!(answer.header("content-length"), Some(want.len().to_string().as_str()));
        assert_eq!(answer.body, want.map(|n| n as u8).collect::<Vec<_>>(), "{range}");
    }
    for range in ["0-1,5-6", "9-1", "x"] {
        let answer = server.send(&format!("GET {PATH}\nrange: bytes={range}")).await;
        assert_eq!(
            (answer.status, answer.body.len(), answer.header("content-range")),
            (200, 1000, None),
            "{range}"
        );
    }
    for range in ["1000-", "5000-6000", "-0", "99999999999999999999-"] {
        let answer = server.send(&format!("GET {PATH}\nrange: bytes={range}")).await;
        assert_eq!(
            (answer.status, answer.header("content-range")),
            (416, Some("bytes */1000")),
            "{range}"
        );
    }
    let empty = server.send("GET /vod/a/empty.ts\nrange: bytes=0-").await;
    assert_eq!((empty.status, empty.header("content-range")), (416, Some("bytes */0")));
}

#[tokio::test]
async fn tags_make_requests_conditional() {
    let server = server().await;
    let tag = server.send(&format!("HEAD {PATH}")).await.header("etag").unwrap().to_owned();
    for value in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        for method in ["GET", "HEAD"] {
            let answer = server.send(&format!("{method} {PATH}\nif-none-match: {value}")).await;
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{value}");
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
        }
    }
    assert_eq!(server.send(&format!("GET {PATH}\nif-none-match: \"x\"")).await.status, 200);
    let same = server.send(&format!("GET {PATH}\nrange: bytes=0-9\nif-range: {tag}")).await;
    assert_eq!((same.status, same.body.len()), (206, 10));
    for other in ["\"x\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        let answer = server.send(&format!("GET {PATH}\nrange: bytes=0-9\nif-range: {other}")).await;
        assert_eq!((answer.status, answer.body.len()), (200, 1000), "{other}");
    }
}

#[tokio::test]
async fn what_is_no_object_is_not_found() {
    let server = server().await;
    for path in [
        "/vod/",
        "/vod/a",
        "/vod/a/",
        "/vod/a//x",
        "/vod/none.mp4",
        "/vod/../etc/passwd",
        "/vod/%2e%2e/%2e%2e/etc/passwd",
        "/vod/.tmp/x",
        "/vod/%00",
        "/vod/%ff",
    ] {
        let answer = server.send(&format!("GET {path}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let answer = server.send(&format!("POST {PATH}")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    let preflight = server.send(&format!("OPTIONS {PATH}\norigin: http://player\naccess-control-request-method: GET\naccess-control-request-headers: range")).await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("range"));
}

/// A store of one endless object, or one that cannot be reached. Counts the blocks it gave.
struct Endless {
    is_down: bool,
    given: Arc<AtomicUsize>,
    /// Goes into the first stream, and away with it.
    alive: Mutex<Option<mpsc::Sender<()>>>,
}

const BLOCK: usize = 64 << 10;

impl Endless {
    fn state<T>(&self, value: T) -> Result<T, StorageError> {
        let down = || StorageError::Transient { action: "read", message: "down".to_owned() };
        if self.is_down { Err(down()) } else { Ok(value) }
    }
}

impl ObjectStore for Endless {
    fn head<'a>(
        &'a self,
        _: &'a StorageKey,
    ) -> BoxFuture<'a, Result<Option<ObjectInfo>, StorageError>> {
        async { self.state(Some(ObjectInfo { size: u64::MAX, etag: "x".to_owned() })) }.boxed()
    }
    fn get<'a>(
        &'a self,
        _: &'a StorageKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<ObjectBody, StorageError>> {
        let range = range.unwrap_or(0..1 << 50);
        let info = ObjectInfo { size: 1 << 50, etag: "x".to_owned() };
        let (given, alive) = (self.given.clone(), self.alive.lock().unwrap().take());
        let stream = stream::repeat_with(move || {
            let _goes_with_the_stream = &alive;
            given.fetch_add(1, Ordering::SeqCst);
            Ok(Bytes::from(vec![0; BLOCK]))
        });
        async { self.state(ObjectBody { info, range, stream: Box::pin(stream) }) }.boxed()
    }
    fn put<'a>(&'a self, _: &'a StorageKey, _: Bytes) -> BoxFuture<'a, Result<(), StorageError>> {
        unreachable!()
    }
    fn start<'a>(
        &'a self,
        _: &'a StorageKey,
        _: u64,
    ) -> BoxFuture<'a, Result<Upload, StorageError>> {
        unreachable!()
    }
    fn put_part<'a>(
        &'a self,
        _: &'a Upload,
        _: u32,
        _: Bytes,
    ) -> BoxFuture<'a, Result<Part, StorageError>> {
        unreachable!()
    }
    fn complete<'a>(
        &'a self,
        _: &'a Upload,
        _: &'a [Part],
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        unreachable!()
    }
    fn abort<'a>(&'a self, _: &'a Upload) -> BoxFuture<'a, Result<(), StorageError>> {
        unreachable!()
    }
    fn list_parts<'a>(&'a self, _: &'a Upload) -> BoxFuture<'a, Result<Vec<Part>, StorageError>> {
        unreachable!()
    }
    fn delete<'a>(&'a self, _: &'a StorageKey) -> BoxFuture<'a, Result<(), StorageError>> {
        unreachable!()
    }
    fn list<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, StorageError>> {
        unreachable!()
    }
    fn list_uploads(&self) -> BoxFuture<'_, Result<Vec<OpenUpload>, StorageError>> {
        unreachable!()
    }
    fn uploads_of<'a>(
        &'a self,
        _: &'a StorageKey,
    ) -> BoxFuture<'a, Result<Vec<OpenUpload>, StorageError>> {
        unreachable!()
    }
    fn discard<'a>(&'a self, _: &'a OpenUpload) -> BoxFuture<'a, Result<(), StorageError>> {
        unreachable!()
    }
    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        unreachable!()
    }
}

#[tokio::test]
async fn a_store_out_of_reach_is_503() {
    let store = Endless { is_down: true, given: Arc::default(), alive: Mutex::default() };
    let server = serve_from(Arc::new(store), tempfile::tempdir().unwrap()).await;
    for request in ["GET /vod/a.mp4", "HEAD /vod/a.mp4", "GET /vod/a.mp4\nrange: bytes=-5"] {
        let answer = server.send(request).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{request}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
}

#[tokio::test]
async fn only_what_a_client_reads_is_read_and_nothing_when_it_is_gone() {
    let given = Arc::new(AtomicUsize::new(0));
    let (alive, mut gone) = mpsc::channel(1);
    let store = Endless { is_down: false, given: given.clone(), alive: Mutex::new(Some(alive)) };
    let server = serve_from(Arc::new(store), tempfile::tempdir().unwrap()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /vod/a.mp4 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut read = vec![0; BLOCK];
    for _ in 0..32 {
        socket.read_exact(&mut read).await.unwrap();
    }
    // The kernel's socket buffers are the only slack, some MiB; without back-pressure this loop
    // would let the endless object fill the memory.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(
        given.load(Ordering::SeqCst) * BLOCK < 64 << 20,
        "{} blocks taken",
        given.load(Ordering::SeqCst)
    );
    drop(socket);
    let dropped = tokio::time::timeout(Duration::from_secs(60), gone.recv()).await;
    assert_eq!(dropped.expect("the stream goes on without a client"), None);
}
