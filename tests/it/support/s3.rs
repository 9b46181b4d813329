//! An S3 server in the test process (`s3s` over `s3s-fs`) that fails when told to.
//!
//! It runs on threads of its own, so that tests with or without a runtime can use it, and knows
//! nothing of liverec. Signatures are verified; all parts but the last must have 5 MiB.
//!
//! Where `s3s-fs` 0.14.1 is not like S3: ListParts is unsorted, without tags, and empty for an
//! unknown upload; every other call for an unknown upload is `AccessDenied`; gaps in part numbers
//! are refused; GET from a bucket that does not exist is `NoSuchKey`; a key of more than about 150
//! bytes is an internal error (its metadata file name grows too long).

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
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
    /// HeadBucket and the rest.
    Other,
}

/// How a request fails.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// This status instead of an answer; nothing is done. The code in the body is `SlowDown`.
    Status(u16),
    /// The connection is closed before anything is done.
    Drop,
    /// Everything is done, then the connection is closed without an answer.
    LoseResponse,
    /// The answer is as it should be, but the connection is closed after so many bytes of its body.
    CutBody(usize),
    /// The request waits this long and is then carried out.
    Delay(Duration),
}

/// A fault that waits for its request.
struct Trap {
    op: Op,
    /// Requests of this kind to let through first.
    skip: usize,
    /// Requests to fail after that.
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    traps: Vec<Trap>,
    seen: Vec<Op>,
}

/// A running server; dropping it stops it.
pub struct S3Server {
    root: PathBuf,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    runtime: Option<Runtime>,
}

impl S3Server {
    /// Starts a server on a free port that keeps its objects under `root`, in [`BUCKET`].
    pub fn start(root: &Path) -> Self {
        std::fs::create_dir_all(root.join(BUCKET)).expect("make the bucket");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server =
            Self { root: root.to_owned(), address, state: Arc::default(), runtime: None };
        server.restart();
        server
    }

    /// `http://127.0.0.1:<port>`; stays the same over [`S3Server::restart`]. Use path style.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
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
        runtime.spawn(accept(listener, builder.build(), self.state.clone()));
        self.runtime = Some(runtime);
    }

    /// Fails the `nth` request of this kind from now on (1 is the next) and those after it, `times`
    /// requests in all.
    pub fn inject(&self, op: Op, nth: usize, times: usize, fault: Fault) {
        let trap = Trap { op, skip: nth.saturating_sub(1), times, fault };
        self.state.lock().expect("S3 state").traps.push(trap);
    }

    /// Forgets faults that have not happened.
    pub fn heal(&self) {
        self.state.lock().expect("S3 state").traps.clear();
    }

    /// Requests of this kind so far, failed ones included.
    pub fn count(&self, op: Op) -> usize {
        let state = self.state.lock().expect("S3 state");
        state.seen.iter().filter(|&&seen| op == Op::Any || seen == op).count()
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

async fn accept(listener: std::net::TcpListener, service: S3Service, state: Arc<Mutex<State>>) {
    let listener = TcpListener::from_std(listener).expect("listen");
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (service, state) = (service.clone(), state.clone());
        connections.spawn(async move {
            let handler =
                service_fn(move |request| answer(service.clone(), state.clone(), request));
            // Its errors are the dropped connections that were asked for.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), handler)
                .await;
        });
    }
}

async fn answer(
    service: S3Service,
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, BoxError> {
    let fault = state.lock().expect("S3 state").fault(op_of(&request));
    let dropped = || BoxError::from("dropped as asked");
    match fault {
        Some(Fault::Drop) => return Err(dropped()),
        Some(Fault::Status(status)) => {
            // Read to its end first, so that the client sees the answer and not a reset.
            BodyExt::collect(request.into_body()).await?;
            let text = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>as asked</Message></Error>";
            let mut response = Response::new(Body::from(Bytes::from_static(text.as_bytes())));
            *response.status_mut() = StatusCode::from_u16(status)?;
            return Ok(response);
        }
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        Some(Fault::LoseResponse | Fault::CutBody(_)) | None => {}
    }
    let response = Service::call(&service, request).await?;
    match fault {
        Some(Fault::LoseResponse) => {
            BodyExt::collect(response.into_body()).await?;
            Err(dropped())
        }
        Some(Fault::CutBody(len)) => {
            let (parts, body) = response.into_parts();
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
        _ => Ok(response),
    }
}

impl State {
    /// Notes a request and answers what is to happen to it.
    fn fault(&mut self, op: Op) -> Option<Fault> {
        self.seen.push(op);
        let mut fault = None;
        for trap in self.traps.iter_mut().filter(|trap| trap.op == Op::Any || trap.op == op) {
            if trap.skip > 0 {
                trap.skip -= 1;
            } else if trap.times > 0 && fault.is_none() {
                trap.times -= 1;
                fault = Some(trap.fault);
            }
        }
        fault
    }
}

fn op_of(request: &Request<Incoming>) -> Op {
    let has_key = request.uri().path().trim_matches('/').contains('/');
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match (request.method(), has("uploadId")) {
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
