//! What can go wrong between liverec and its S3 server: the kinds of faults, when they strike, and
//! how often each did.
//!
//! [`super::s3::S3Server`] asks [`Front`] about every request before the real server sees it.
//! Nothing on the way is rewritten, so signatures hold. Faults strike at requests named by the test
//! (a trap) or at random (a [`Storm`] with a seed, which the test prints).

use std::{collections::BTreeMap, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    composing_s3::{Composing, PartInfo},
    s3::Op,
};

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status instead of an answer; nothing is done. The code in the body is `SlowDown`, for
    /// 500 `InternalError`.
    Status(u16),
    /// This status with this code in the body; nothing is done.
    Error(u16, &'static str),
    /// The connection is closed before anything is done.
    Drop,
    /// The connection is reset after so many bytes of the request's body; nothing is done.
    CutRequest(usize),
    /// Everything is done, then the connection is closed without an answer.
    LoseResponse,
    /// The answer is as it should be, but the connection is closed after so many bytes of its body.
    CutBody(usize),
    /// `200 OK` and then an error in the body, as S3 does when Complete takes long; nothing is done.
    ErrorBody,
    /// The upload is gone for good: `NoSuchUpload` now and ever after.
    Expire,
    /// The request waits this long and is then carried out, unless the client has gone.
    Delay(Duration),
}

/// The clock of the client is wrong, says the server.
pub const SKEWED: Fault = Fault::Error(403, "RequestTimeTooSkewed");
/// The access key is not known.
pub const UNKNOWN_KEY: Fault = Fault::Error(403, "InvalidAccessKeyId");
/// The secret is wrong.
pub const WRONG_SECRET: Fault = Fault::Error(403, "SignatureDoesNotMatch");
/// The bucket is gone.
pub const NO_BUCKET: Fault = Fault::Error(404, "NoSuchBucket");
/// The region in the signature is not the bucket's.
pub const WRONG_REGION: Fault = Fault::Error(400, "AuthorizationHeaderMalformed");

impl Fault {
    /// What it is counted as.
    pub fn kind(self) -> String {
        match self {
            Fault::Status(status) => format!("status {status}"),
            Fault::Error(status, code) => format!("status {status} {code}"),
            Fault::Drop => "connection closed at once".to_owned(),
            Fault::CutRequest(_) => "connection reset within the body".to_owned(),
            Fault::LoseResponse => "answer lost".to_owned(),
            Fault::CutBody(_) => "answer broken off".to_owned(),
            Fault::ErrorBody => "status 200 with an error in the body".to_owned(),
            Fault::Expire => "upload expired".to_owned(),
            Fault::Delay(_) => "stall".to_owned(),
        }
    }

    /// Code and status of the error that is answered instead.
    pub fn error(self) -> Option<(u16, &'static str)> {
        match self {
            Fault::Status(500) => Some((500, "InternalError")),
            Fault::Status(status) => Some((status, "SlowDown")),
            Fault::Error(status, code) => Some((status, code)),
            Fault::ErrorBody => Some((200, "InternalError")),
            Fault::Expire => Some((404, "NoSuchUpload")),
            _ => None,
        }
    }

    /// Whether a storm may do this to such a request.
    fn suits(self, op: Op) -> bool {
        match self {
            Fault::CutRequest(_) => matches!(op, Op::Put | Op::UploadPart),
            Fault::ErrorBody => op == Op::Complete,
            Fault::Expire => matches!(op, Op::UploadPart | Op::Complete),
            Fault::CutBody(_) => op == Op::Get,
            _ => true,
        }
    }
}

/// Faults at random.
pub struct Storm {
    rng: StdRng,
    faults: Vec<Fault>,
    /// Of a thousand requests.
    per_mille: u32,
    /// Faults that it has left.
    left: usize,
}

impl Storm {
    /// Does one of `faults` to about `per_mille` of a thousand requests, until it has done so
    /// `most` times.
    pub fn new(seed: u64, per_mille: u32, most: usize, faults: &[Fault]) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), faults: faults.to_vec(), per_mille, left: most }
    }

    fn fault(&mut self, op: Op) -> Option<Fault> {
        if self.left == 0 || self.rng.random_range(0..1000) >= self.per_mille {
            return None;
        }
        let suitable: Vec<Fault> =
            self.faults.iter().copied().filter(|fault| fault.suits(op)).collect();
        let fault = *suitable.get(self.rng.random_range(0..suitable.len().max(1)))?;
        self.left -= 1;
        Some(fault)
    }
}

/// A fault that waits for its request.
struct Trap {
    op: Op,
    /// Requests of this kind to let through first.
    skip: usize,
    /// Requests to fail after that.
    times: usize,
    fault: Fault,
    has_struck: bool,
}

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// The object to be, with its prefix.
    pub key: String,
    /// Unix milliseconds.
    pub started_ms: i64,
}

/// Decides what happens to requests, and remembers what did.
#[derive(Default)]
pub struct Front {
    /// Whether tags of objects are something of the store's own.
    pub has_opaque_tags: bool,
    /// Set if objects are composed by the list of their parts.
    pub composing: Option<Composing>,
    traps: Vec<Trap>,
    storm: Option<Storm>,
    seen: Vec<Op>,
    /// The parts of each upload, number and bytes, in the order in which their requests came.
    pub parts: BTreeMap<String, Vec<PartInfo>>,
    injected: BTreeMap<String, usize>,
    /// By upload id.
    pub uploads: BTreeMap<String, OpenUpload>,
    expired: Vec<String>,
}

impl Front {
    /// Fails the `nth` request of this kind from now on (1 is the next) and those after it, `times`
    /// requests in all.
    pub fn inject(&mut self, op: Op, nth: usize, times: usize, fault: Fault) {
        let skip = nth.saturating_sub(1);
        self.traps.push(Trap { op, skip, times, fault, has_struck: false });
    }

    /// Begins a storm, in place of an earlier one.
    pub fn storm(&mut self, storm: Storm) {
        self.storm = Some(storm);
    }

    /// Every open upload is gone for good, as with [`Fault::Expire`].
    pub fn expire_uploads(&mut self) {
        self.expired.extend(std::mem::take(&mut self.uploads).into_keys());
    }

    /// Forgets faults that have not happened.
    pub fn heal(&mut self) {
        self.traps.clear();
        self.storm = None;
    }

    /// What was injected since the last [`Front::heal`] and has not struck once.
    pub fn unmet(&self) -> Vec<String> {
        let unmet = self.traps.iter().filter(|trap| !trap.has_struck);
        unmet.map(|trap| format!("{:?}: {}", trap.op, trap.fault.kind())).collect()
    }

    /// Requests of this kind so far, failed ones included.
    pub fn count(&self, op: Op) -> usize {
        self.seen.iter().filter(|&&seen| op == Op::Any || seen == op).count()
    }

    /// How often each kind of fault struck.
    pub fn injected(&self) -> BTreeMap<String, usize> {
        self.injected.clone()
    }

    /// Notes a request and answers what is to happen to it.
    pub fn fault(&mut self, op: Op, upload_id: Option<&str>) -> Option<Fault> {
        self.seen.push(op);
        if upload_id.is_some_and(|id| self.expired.iter().any(|expired| expired == id)) {
            return Some(Fault::Expire);
        }
        let mut fault = None;
        for trap in self.traps.iter_mut().filter(|trap| trap.op == Op::Any || trap.op == op) {
            if trap.skip > 0 {
                trap.skip -= 1;
            } else if trap.times > 0 && fault.is_none() {
                trap.times -= 1;
                trap.has_struck = true;
                fault = Some(trap.fault);
            }
        }
        let fault = fault.or_else(|| self.storm.as_mut()?.fault(op))?;
        *self.injected.entry(fault.kind()).or_default() += 1;
        if let (Fault::Expire, Some(id)) = (fault, upload_id) {
            self.expired.push(id.to_owned());
            self.uploads.remove(id);
        }
        Some(fault)
    }
}
