//! Certificates of the TLS sockets (`rtmp.tls`, `http.tls`): read at start, and again whenever their
//! files change.
//!
//! New connections get the newest pair that fits together; connections under way keep theirs. A pair
//! that cannot be used leaves the last good one in force.

use std::{fs::File, io::Read, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{ConfigError, Tls};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Largest file of certificates or of a key, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The certificates of one socket.
#[derive(Debug)]
pub struct Certificates {
    section: &'static str,
    files: Tls,
    current: ArcSwap<CertifiedKey>,
    digest: [u8; 32],
}

impl Certificates {
    /// Reads the files of a section of the configuration.
    ///
    /// # Errors
    /// They cannot be read or do not belong together; the error names the key.
    pub fn open(section: &'static str, files: &Tls) -> Result<Self, ConfigError> {
        let (pair, digest) = read(files).map_err(|error| ConfigError::Together {
            key: section,
            message: format!("{error:#}"),
        })?;
        Ok(Self { section, files: files.clone(), current: ArcSwap::from_pointee(pair), digest })
    }

    /// How connections are answered; `protocols` are those to agree on by ALPN.
    ///
    /// # Errors
    /// The library has no provider of cryptography.
    pub fn server_config(self: &Arc<Self>, protocols: &[&str]) -> Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .context("set up TLS")?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Current(self.clone())));
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Takes up changed files until stopped.
    pub async fn watch(self: Arc<Self>, token: CancellationToken) {
        let (mut known, mut refused) = (self.digest, None);
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
            let files = self.files.clone();
            let looked = spawn_blocking(move || read(&files)).await;
            let looked = looked.context("read certificates").and_then(|looked| looked);
            match looked {
                Ok((_, digest)) if digest == known => refused = None,
                Ok((pair, digest)) => {
                    (known, refused) = (digest, None);
                    self.current.store(Arc::new(pair));
                    info!("the certificate of {} was changed and is in force", self.section);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    // The first look may fall between the writing of the one file and of the other.
                    match &refused {
                        Some((text, true)) if *text == error => {}
                        Some((text, false)) if *text == error => {
                            warn!(%error, "the changed certificate of {} cannot be used; the last one stays in force", self.section);
                            refused = Some((error, true));
                        }
                        _ => refused = Some((error, false)),
                    }
                }
            }
        }
    }
}

/// Gives every connection what is current.
#[derive(Debug)]
struct Current(Arc<Certificates>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load_full())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(files: &Tls) -> Result<(CertifiedKey, [u8; 32])> {
    let chain_pem = read_file("cert", &files.cert)?;
    let key_pem = read_file("key", &files.key)?;
    let chain = CertificateDer::pem_slice_iter(&chain_pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.with_context(|| format!("cert: {}", files.cert.display()))?;
    ensure!(!chain.is_empty(), "cert: {} holds no certificate", files.cert.display());
    let private = PrivateKeyDer::from_pem_slice(&key_pem)
        .with_context(|| format!("key: {}", files.key.display()))?;
    let pair = CertifiedKey::from_der(chain, private, &provider())
        .context("certificate and key do not go together")?;
    let mut digest = Sha256::new();
    digest.update(&chain_pem);
    digest.update(&key_pem);
    Ok((pair, digest.finalize().into()))
}

fn read_file(name: &str, path: &Path) -> Result<Vec<u8>> {
    let shown = || format!("{name}: read {}", path.display());
    let file = File::open(path).with_context(shown)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).with_context(shown)?;
    ensure!(
        bytes.len() as u64 <= MAX_FILE_BYTES,
        "{name}: {} is larger than {MAX_FILE_BYTES} bytes",
        path.display()
    );
    Ok(bytes)
}
