//! The RTMP handshake, plain or with digests; `rml_rtmp` does it, this file feeds it no more than
//! the handshake's own bytes.

use bytes::Bytes;
use rml_rtmp::handshake::{self, HandshakeProcessResult, PeerType};

/// C0, C1 and C2, as well as S0, S1 and S2.
const HANDSHAKE_BYTES: usize = 1 + 1536 + 1536;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[error("handshake: {0}")]
pub struct HandshakeError(#[from] handshake::HandshakeError);

/// One side of a handshake in progress.
pub(super) struct Handshake {
    inner: handshake::Handshake,
    left: usize,
}

impl Handshake {
    /// The side that waits for the other to begin.
    pub(super) fn server() -> Self {
        Self { inner: handshake::Handshake::new(PeerType::Server), left: HANDSHAKE_BYTES }
    }

    /// The side that begins, and its first bytes.
    pub(super) fn client() -> Result<(Self, Vec<u8>), HandshakeError> {
        let mut inner = handshake::Handshake::new(PeerType::Client);
        let bytes = inner.generate_outbound_p0_and_p1()?;
        Ok((Self { inner, left: HANDSHAKE_BYTES }, bytes))
    }

    /// Takes the handshake's part of `input` and appends the answer to `output`. True when the
    /// handshake is complete; what is left of `input` are chunks.
    pub(super) fn read(
        &mut self,
        input: &mut Bytes,
        output: &mut Vec<u8>,
    ) -> Result<bool, HandshakeError> {
        let bytes = input.split_to(self.left.min(input.len()));
        if bytes.is_empty() {
            return Ok(false);
        }
        self.left -= bytes.len();
        match self.inner.process_bytes(&bytes)? {
            HandshakeProcessResult::InProgress { response_bytes } => {
                output.extend_from_slice(&response_bytes);
                Ok(false)
            }
            HandshakeProcessResult::Completed { response_bytes, .. } => {
                output.extend_from_slice(&response_bytes);
                Ok(true)
            }
        }
    }
}
