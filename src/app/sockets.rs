//! The sockets of the server: RTMP and HTTP, and beside each the one that speaks TLS, if it is asked
//! for. Certificates are read before anything is bound.

use std::{fmt, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::tls::Certificates;
use crate::{
    config::{self, Config},
    ingest::Door,
    reach,
};

/// Bound addresses.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// RTMP.
    pub rtmp: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
    /// RTMPS, if it is served.
    pub rtmps: Option<SocketAddr>,
    /// HTTPS, if it is served.
    pub https: Option<SocketAddr>,
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listening rtmp={} http={}", self.rtmp, self.http)?;
        for (name, address) in [("rtmps", self.rtmps), ("https", self.https)] {
            if let Some(address) = address {
                write!(f, " {name}={address}")?;
            }
        }
        Ok(())
    }
}

impl Addresses {
    /// How clients reach the server, without a trailing slash: as configured, or scheme, reachable
    /// address and port of the socket, HTTPS before HTTP.
    pub fn public_url(&self, config: &config::Http) -> String {
        if let Some(url) = &config.public_url {
            return url.as_str().trim_end_matches('/').to_owned();
        }
        let (scheme, bound) = self.https.map_or(("http", self.http), |https| ("https", https));
        let host = reach::url_host(reach::reachable_ip(bound.ip()));
        format!("{scheme}://{host}:{}", bound.port())
    }
}

/// What is read before anything is bound.
pub struct Plan<'a> {
    config: &'a Config,
    rtmps: Option<Arc<Certificates>>,
    https: Option<Arc<Certificates>>,
}

/// Sockets that are bound.
pub struct Sockets {
    /// Where.
    pub addresses: Addresses,
    /// For publishers.
    pub doors: Vec<Door>,
    /// For HTTP clients; with a configuration over TLS.
    pub http: Vec<(TcpListener, Option<Arc<ServerConfig>>)>,
    /// To be watched.
    pub certificates: Vec<Arc<Certificates>>,
}

impl<'a> Plan<'a> {
    /// Reads the certificates that the configuration names.
    ///
    /// # Errors
    /// They cannot be used; see [`Certificates::open`].
    pub fn read(config: &'a Config) -> Result<Self> {
        let open = |section, tls: &Option<config::Tls>| -> Result<_> {
            let opened =
                tls.as_ref().map(|files| Certificates::open(section, files)).transpose()?;
            Ok(opened.map(Arc::new))
        };
        let rtmps = open("rtmp.tls", &config.rtmp.tls)?;
        let https = open("http.tls", &config.http.tls)?;
        Ok(Self { config, rtmps, https })
    }

    /// Binds every socket.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub async fn bind(self) -> Result<Sockets> {
        let Self { config, rtmps, https } = self;
        let (listener, rtmp) = bind("RTMP", config.rtmp.listen).await?;
        let mut doors = vec![Door { listener, tls: None }];
        let (listener, http) = bind("HTTP", config.http.listen).await?;
        let mut listeners = vec![(listener, None)];
        let mut addresses = Addresses { rtmp, http, rtmps: None, https: None };
        if let (Some(certificates), Some(tls)) = (&rtmps, &config.rtmp.tls) {
            let (listener, bound) = bind("RTMPS", tls.listen).await?;
            addresses.rtmps = Some(bound);
            doors.push(Door { listener, tls: Some(certificates.server_config(&[])?) });
        }
        if let (Some(certificates), Some(tls)) = (&https, &config.http.tls) {
            let (listener, bound) = bind("HTTPS", tls.listen).await?;
            addresses.https = Some(bound);
            listeners.push((listener, Some(certificates.server_config(&["http/1.1"])?)));
        }
        let certificates = [rtmps, https].into_iter().flatten().collect();
        Ok(Sockets { addresses, doors, http: listeners, certificates })
    }
}

async fn bind(name: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listen for {name} on {address}"))?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}
