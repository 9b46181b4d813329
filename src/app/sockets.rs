//! The sockets of the server: RTMP and HTTP, and beside each the one that speaks TLS, if it is asked
//! for. Certificates are read before anything is bound.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket};

use super::tls::Certificates;
use crate::{
    config::{self, Config},
    ingest::Door,
    reach,
};

/// Connections that the kernel takes before they are accepted.
const BACKLOG: u32 = 1024;

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

    /// Takes every address, so that one that is taken already ends the start before anything is
    /// written. Nothing listens yet: whoever connects is refused.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub fn reserve(self) -> Result<Reserved> {
        let Self { config, rtmps, https } = self;
        let secure = |name, key, certificates, tls: &Option<config::Tls>| -> Result<_> {
            let (Some(certificates), Some(tls)) = (certificates, tls) else { return Ok(None) };
            Ok(Some((certificates, reserve(name, key, tls.listen)?)))
        };
        Ok(Reserved {
            rtmp: reserve("RTMP", "rtmp.listen", config.rtmp.listen)?,
            http: reserve("HTTP", "http.listen", config.http.listen)?,
            rtmps: secure("RTMPS", "rtmp.tls.listen", rtmps, &config.rtmp.tls)?,
            https: secure("HTTPS", "http.tls.listen", https, &config.http.tls)?,
        })
    }
}

/// Sockets that have their addresses and do not listen.
pub struct Reserved {
    rtmp: TcpSocket,
    http: TcpSocket,
    rtmps: Option<(Arc<Certificates>, TcpSocket)>,
    https: Option<(Arc<Certificates>, TcpSocket)>,
}

impl Reserved {
    /// Lets every socket listen.
    ///
    /// # Errors
    /// One cannot, or a certificate is not fit for its socket.
    pub fn listen(self) -> Result<Sockets> {
        let (listener, rtmp) = listen(self.rtmp)?;
        let mut doors = vec![Door { listener, tls: None }];
        let (listener, http) = listen(self.http)?;
        let mut listeners = vec![(listener, None)];
        let mut addresses = Addresses { rtmp, http, rtmps: None, https: None };
        let mut certificates = Vec::new();
        if let Some((of_rtmps, socket)) = self.rtmps {
            let (listener, bound) = listen(socket)?;
            addresses.rtmps = Some(bound);
            doors.push(Door { listener, tls: Some(of_rtmps.server_config(&[])?) });
            certificates.push(of_rtmps);
        }
        if let Some((of_https, socket)) = self.https {
            let (listener, bound) = listen(socket)?;
            addresses.https = Some(bound);
            listeners.push((listener, Some(of_https.server_config(&["http/1.1"])?)));
            certificates.push(of_https);
        }
        Ok(Sockets { addresses, doors, http: listeners, certificates })
    }
}

fn reserve(name: &str, key: &str, address: SocketAddr) -> Result<TcpSocket> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok::<_, io::Error>(socket)
    };
    bound().with_context(|| format!("listen for {name} on {address} ({key})"))
}

fn listen(socket: TcpSocket) -> Result<(TcpListener, SocketAddr)> {
    let bound = socket.local_addr()?;
    let listener = socket.listen(BACKLOG).with_context(|| format!("listen on {bound}"))?;
    Ok((listener, bound))
}
