//! An S3 server in the test process (`s3s` over `s3s-fs`) that fails when told to; what can be
//! told is [`super::faulty_s3`].
//!
//! It runs on threads of its own, so that tests with or without a runtime can use it, and knows
//! nothing of liverec. Signatures are verified; all parts but the last must have 5 MiB.
//!
//! Where `s3s-fs` 0.14.1 is not like S3: ListParts is unsorted, without tags, and empty for an
//! unknown upload; every other call for an unknown upload is `AccessDenied`; gaps in part numbers
//! are refused; GET from a bucket that does not exist is `NoSuchKey`; a key of more than about 150
//! bytes is an internal error (its metadata file name grows too long). ListMultipartUploads, which
//! it has not at all, is answered here.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{self, HeaderValue},
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{
    Body,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};

pub use super::faulty_s3::{Fault, OpenUpload, Storm};
use super::{
    composing_s3::{self as composing, Composing, PartInfo},
    faulty_s3::Front,
};

/// The one bucket.
pub const BUCKET: &str = "liverec-test";
/// Its access key id.
pub const ACCESS_KEY_ID: &str = "AKIDLIVEREC";
/// Its secret access key.
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCY";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Any request.
    Any,
    /// PutObject.
    Put,
    /// GetObject.
    Get,
    /// HeadObject.
    Head,
    /// DeleteObject.
    Delete,
    /// CreateMultipartUpload.
    Create,
    /// UploadPart.
    UploadPart,
    /// CompleteMultipartUpload.
    Complete,
    /// AbortMultipartUpload.
    Abort,
    /// ListParts.
    ListParts,
    /// ListObjectsV2.
    List,
    /// ListMultipartUploads.
    ListUploads,
    /// HeadBucket and the rest.
    Other,
}

/// A running server; dropping it stops it.
pub struct S3Server {
    root: PathBuf,
    address: SocketAddr,
    front: Arc<Mutex<Front>>,
    runtime: Option<Runtime>,
}

impl S3Server {
    /// Starts a server on a free port that keeps its objects under `root`, in [`BUCKET`].
    pub fn start(root: &Path) -> Self {
        std::fs::create_dir_all(root.join(BUCKET)).expect("make the bucket");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server =
            Self { root: root.to_owned(), address, front: Arc::default(), runtime: None };
        server.restart();
        server
    }

    /// `http://127.0.0.1:<port>`; stays the same over [`S3Server::restart`]. Use path style.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on objects in parts are composed as large stores do it, by keeping the list of their
    /// parts: `s3s-fs` copies and hashes all of them in Complete. Such objects cannot be read, only
    /// asked for with HeadObject.
    pub fn compose_by_list(&self) {
        self.front().composing = Some(Composing::default());
    }

    /// Whether objects have tags that are no MD5 from now on, as with KMS encryption.
    pub fn set_tags_opaque(&self, are_opaque: bool) {
        self.front().has_opaque_tags = are_opaque;
    }

    /// Closes the port and every connection.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for the sockets to be closed, which must not happen on a runtime's thread.
            let stopper =
                std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)));
            stopper.join().expect("stop the S3 server");
        }
    }

    /// Starts again on the same port.
    pub fn restart(&mut self) {
        self.stop();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("s3-server")
            .enable_all()
            .build()
            .expect("make a runtime");
        let listener = std::net::TcpListener::bind(self.address).expect("bind the S3 server");
        listener.set_nonblocking(true).expect("set the listener up");
        self.address = listener.local_addr().expect("the S3 server's address");
        let mut builder =
            S3ServiceBuilder::new(s3s_fs::FileSystem::new(&self.root).expect("open the S3 root"));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        runtime.spawn(accept(listener, builder.build(), self.front.clone()));
        self.runtime = Some(runtime);
    }

    /// Fails the `nth` request of this kind from now on (1 is the next) and those after it, `times`
    /// requests in all.
    pub fn inject(&self, op: Op, nth: usize, times: usize, fault: Fault) {
        self.front().inject(op, nth, times, fault);
    }

    /// Faults at random from now on, in place of an earlier storm.
    pub fn storm(&self, storm: Storm) {
        self.front().storm(storm);
    }

    /// Forgets faults that have not happened.
    pub fn heal(&self) {
        self.front().heal();
    }

    /// Requests of this kind so far, failed ones included.
    pub fn count(&self, op: Op) -> usize {
        self.front().count(op)
    }

    /// The parts of each upload, number and bytes, in the order in which their requests came.
    pub fn parts(&self) -> BTreeMap<String, Vec<PartInfo>> {
        self.front().parts.clone()
    }

    /// What was injected since the last [`S3Server::heal`] and has not struck once.
    pub fn unmet(&self) -> Vec<String> {
        self.front().unmet()
    }

    /// How often each kind of fault struck.
    pub fn injected(&self) -> BTreeMap<String, usize> {
        self.front().injected()
    }

    /// Uploads that were begun and neither completed nor aborted, by id.
    pub fn open_uploads(&self) -> BTreeMap<String, OpenUpload> {
        self.front().uploads.clone()
    }

    /// Every open upload is gone for good.
    pub fn expire_uploads(&self) {
        self.front().expire_uploads();
    }

    /// Makes an open upload so much older.
    pub fn age_upload(&self, id: &str, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).expect("a time");
        if let Some(upload) = self.front().uploads.get_mut(id) {
            upload.started_ms -= by_ms;
        }
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().expect("the S3 front")
    }

    /// The file of an object.
    pub fn object(&self, key: &str) -> PathBuf {
        self.root.join(BUCKET).join(key)
    }

    /// The media type that an object was stored with.
    pub fn content_type(&self, key: &str) -> Option<String> {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let (bucket, key) = (URL_SAFE_NO_PAD.encode(BUCKET), URL_SAFE_NO_PAD.encode(key));
        let text =
            std::fs::read(self.root.join(format!(".bucket-{bucket}.object-{key}.metadata.json")))
                .ok()?;
        let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(json.get("content_type")?.as_str()?.to_owned())
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn accept(listener: std::net::TcpListener, service: S3Service, front: Arc<Mutex<Front>>) {
    let listener = TcpListener::from_std(listener).expect("listen");
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (service, front) = (service.clone(), front.clone());
        connections.spawn(async move {
            let handler = service_fn(move |request| {
                in_a_task(answer(service.clone(), front.clone(), request))
            });
            // Its errors are the dropped connections that were asked for.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), handler)
                .await;
        });
    }
}

type Answer = Result<Response<Body>, BoxError>;

/// A client that goes away must not leave half a Complete behind.
fn in_a_task(
    answer: impl Future<Output = Answer> + Send + 'static,
) -> Pin<Box<dyn Future<Output = std::io::Result<Response<Body>>> + Send>> {
    let task = tokio::spawn(answer);
    use std::io::Error;
    // The task is cancelled only with the server.
    Box::pin(async { task.await.map_err(Error::other)?.map_err(Error::other) })
}

async fn answer(
    service: S3Service,
    front: Arc<Mutex<Front>>,
    request: Request<Incoming>,
) -> Answer {
    let op = op_of(&request);
    let upload_id = query_value(&request, "uploadId");
    let key = request.uri().path().trim_start_matches('/').split_once('/');
    let key = key.map_or("", |(_, key)| key).to_owned();
    let lock = || front.lock().expect("the S3 front");
    let part = (op == Op::UploadPart).then(|| composing::part_of(&request)).flatten();
    if let (Some(id), Some(part)) = (&upload_id, part) {
        lock().parts.entry(id.clone()).or_default().push(part);
    }
    let fault = lock().fault(op, upload_id.as_deref());
    let dropped = || BoxError::from("dropped as asked");
    match fault {
        Some(Fault::Drop) => return Err(dropped()),
        Some(Fault::CutRequest(len)) => {
            let (mut body, mut read) = (request.into_body(), 0);
            while read < len {
                let Some(frame) = body.frame().await else { break };
                read += frame?.data_ref().map_or(0, Bytes::len);
            }
            return Err(dropped());
        }
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        Some(Fault::LoseResponse | Fault::CutBody(_)) | None => {}
        Some(fault) => {
            // Read to its end first, so that the client sees the answer and not a reset.
            BodyExt::collect(request.into_body()).await?;
            let (status, code) = fault.error().unwrap_or((500, "InternalError"));
            let text = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as asked</Message></Error>"
            );
            return respond(status, text);
        }
    }
    if op == Op::ListUploads {
        // s3s-fs cannot.
        let text =
            list_uploads(&lock().uploads, &query_value(&request, "prefix").unwrap_or_default());
        return respond(200, text);
    }
    if lock().composing.is_some() {
        match op {
            Op::Complete => {
                let id = upload_id.unwrap_or_default();
                BodyExt::collect(request.into_body()).await?;
                let mut front = lock();
                front.uploads.remove(&id);
                let etag = front.composing.as_mut().and_then(|c| c.complete(&id, &key));
                let etag = etag.unwrap_or_default();
                return respond(
                    200,
                    format!(
                        "<?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
                    ),
                );
            }
            Op::Head => {
                if let Some(object) = lock().composing.as_ref().and_then(|c| c.object(&key)) {
                    return Ok(object);
                }
            }
            _ => {}
        }
    }
    let response = Service::call(&service, request).await?;
    let (mut parts, body) = response.into_parts();
    if matches!(op, Op::Head | Op::Get) && lock().has_opaque_tags {
        let tag = HeaderValue::from_static("\"of-its-own\"");
        parts.headers.insert(header::ETAG, tag);
    }
    if let (Some(part), true) = (part, parts.status.is_success())
        && let Some(composing) = &mut lock().composing
    {
        composing.note(upload_id.clone().unwrap_or_default(), part, &parts.headers);
    }
    let is_done = parts.status.is_success();
    let body = match (op, is_done) {
        (Op::Create, true) => {
            let bytes = BodyExt::collect(body).await?.to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</"));
            if let Some((id, _)) = id {
                let key = percent_encoding::percent_decode_str(&key).decode_utf8_lossy();
                let started_ms = chrono::Utc::now().timestamp_millis();
                let upload = OpenUpload { key: key.into_owned(), started_ms };
                lock().uploads.insert(id.to_owned(), upload);
            }
            Body::from(bytes)
        }
        (Op::Complete | Op::Abort, true) => {
            // An error of Complete may come with status 200.
            let bytes = BodyExt::collect(body).await?.to_bytes();
            if let Some(id) = upload_id.filter(|_| !bytes.windows(7).any(|w| w == b"<Error>")) {
                lock().uploads.remove(&id);
            }
            Body::from(bytes)
        }
        _ => body,
    };
    match fault {
        Some(Fault::LoseResponse) => {
            BodyExt::collect(body).await?;
            Err(dropped())
        }
        Some(Fault::CutBody(len)) => {
            let body = BodyExt::collect(body).await?.to_bytes();
            let first = Ok(Frame::data(body.slice(..len.min(body.len()))));
            let rest = async {
                // Or the server would close the connection before it sends anything at all.
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(std::io::Error::other("cut as asked"))
            };
            let frames = stream::iter([first]).chain(stream::once(rest));
            Ok(Response::from_parts(parts, Body::http_body_unsync(StreamBody::new(frames))))
        }
        _ => Ok(Response::from_parts(parts, body)),
    }
}

fn respond(status: u16, text: String) -> Answer {
    let mut response = Response::new(Body::from(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status)?;
    Ok(response)
}

/// The answer to ListMultipartUploads, all on one page.
fn list_uploads(uploads: &BTreeMap<String, OpenUpload>, prefix: &str) -> String {
    let mut text = "<?xml version=\"1.0\"?><ListMultipartUploadsResult>\
                    <IsTruncated>false</IsTruncated>"
        .to_owned();
    for (id, upload) in uploads.iter().filter(|(_, upload)| upload.key.starts_with(prefix)) {
        let started = chrono::DateTime::from_timestamp_millis(upload.started_ms)
            .expect("a time")
            .to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let key = upload.key.replace('&', "&amp;").replace('<', "&lt;");
        text.push_str(&format!(
            "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{started}</Initiated></Upload>"
        ));
    }
    text.push_str("</ListMultipartUploadsResult>");
    text
}

fn query_value(request: &Request<Incoming>, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    url::form_urlencoded::parse(query.as_bytes())
        .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

fn op_of(request: &Request<Incoming>) -> Op {
    let has_key = request.uri().path().trim_matches('/').contains('/');
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match (request.method(), has("uploadId")) {
        (&Method::GET, _) if !has_key && has("uploads") => Op::ListUploads,
        (&Method::GET, _) if !has_key && has("list-type") => Op::List,
        _ if !has_key => Op::Other,
        (&Method::POST, true) => Op::Complete,
        (&Method::POST, false) if has("uploads") => Op::Create,
        (&Method::PUT, true) => Op::UploadPart,
        (&Method::PUT, false) => Op::Put,
        (&Method::GET, true) => Op::ListParts,
        (&Method::GET, false) => Op::Get,
        (&Method::DELETE, true) => Op::Abort,
        (&Method::DELETE, false) => Op::Delete,
        (&Method::HEAD, _) => Op::Head,
        _ => Op::Other,
    }
}
