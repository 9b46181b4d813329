//! Objects that the S3 server of the tests composes by keeping the list of their parts, as large
//! stores do, where `s3s-fs` copies and hashes everything in Complete: for measurements. Only
//! HeadObject knows such objects.

use std::collections::{BTreeMap, HashMap};

use hyper::{HeaderMap, Request, Response, body::Incoming, header};
use md5::{Digest, Md5};
use s3s::Body;

/// A part on its way: number and bytes.
pub type PartInfo = (u32, u64);

/// See the module.
#[derive(Debug, Default)]
pub struct Composing {
    /// Size and tag of parts by upload.
    parts: HashMap<String, BTreeMap<u32, (u64, String)>>,
    /// Size and tag of objects.
    objects: HashMap<String, (u64, String)>,
}

/// Number and size of the part that a request brings.
pub fn part_of(request: &Request<Incoming>) -> Option<PartInfo> {
    let query = request.uri().query()?;
    let number = query.split('&').find_map(|pair| pair.strip_prefix("partNumber="))?;
    let size = |name: &str| request.headers().get(name)?.to_str().ok()?.parse().ok();
    let bytes = size("x-amz-decoded-content-length").or_else(|| size("content-length"))?;
    Some((number.parse().ok()?, bytes))
}

impl Composing {
    /// A part was stored.
    pub fn note(&mut self, upload: String, (number, bytes): PartInfo, answer: &HeaderMap) {
        let tag = answer.get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        let part = (bytes, tag.trim_matches('"').to_owned());
        self.parts.entry(upload).or_default().insert(number, part);
    }

    /// Makes an object of all parts of an upload; its tag.
    pub fn complete(&mut self, upload: &str, key: &str) -> Option<String> {
        let parts = self.parts.remove(upload)?;
        let mut all = Md5::new();
        for (_, tag) in parts.values() {
            all.update(hex::decode(tag).ok()?);
        }
        let tag = format!("\"{}-{}\"", hex::encode(all.finalize()), parts.len());
        let bytes = parts.values().map(|(bytes, _)| bytes).sum();
        self.objects.insert(key.to_owned(), (bytes, tag.clone()));
        Some(tag)
    }

    /// The answer to HeadObject.
    pub fn object(&self, key: &str) -> Option<Response<Body>> {
        let (bytes, tag) = self.objects.get(key)?;
        let response = Response::builder()
            .header(header::CONTENT_LENGTH, *bytes)
            .header(header::ETAG, tag)
            .header(header::LAST_MODIFIED, "Mon, 01 Jan 2024 00:00:00 GMT");
        response.body(Body::empty()).ok()
    }
}
