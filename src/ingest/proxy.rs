//! The PROXY protocol, versions 1 and 2: what a balancer says before the first byte of the client
//! (`rtmp.proxy_protocol`). Parsed by the library; how much is read is decided here, so that not a
//! byte of what follows is taken.

use std::{io, net::SocketAddr};

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// First bytes of version 2; version 1 has no shorter header.
const FIRST: usize = v2::PROTOCOL_PREFIX.len();
/// Length of what is before the addresses in version 2.
const FIXED: usize = 16;
/// Longest header of version 1.
const MAX_TEXT: usize = 107;
/// Longest header of version 2: the addresses, and what balancers add about certificates.
const MAX_BINARY: usize = 4096;

/// Reads the header. The addresses of client and server as the balancer has them; `None` when it
/// speaks for itself, as health checks do, or does not know.
///
/// # Errors
/// The connection broke, or what came is no header: [`io::ErrorKind::InvalidData`].
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let mut header = vec![0; FIRST];
    stream.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        header.resize(FIXED, 0);
        stream.read_exact(&mut header[FIRST..]).await?;
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if FIXED + length > MAX_BINARY {
            return Err(odd(format!("a PROXY header of {length} bytes")));
        }
        header.resize(FIXED + length, 0);
        stream.read_exact(&mut header[FIXED..]).await?;
        return binary(&header);
    }
    if !header.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        return Err(odd("no PROXY header".to_owned()));
    }
    while !header.ends_with(b"\r\n") {
        if header.len() == MAX_TEXT {
            return Err(odd("a PROXY header without an end".to_owned()));
        }
        header.push(stream.read_u8().await?);
    }
    text(&header)
}

fn text(header: &[u8]) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let header = v1::Header::try_from(header).map_err(|error| odd(error.to_string()))?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v1::Addresses::Tcp6(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v1::Addresses::Unknown => None,
    })
}

fn binary(header: &[u8]) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let header = v2::Header::try_from(header).map_err(|error| odd(error.to_string()))?;
    if header.command == v2::Command::Local {
        return Ok(None);
    }
    Ok(match header.addresses {
        v2::Addresses::IPv4(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v2::Addresses::IPv6(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    })
}

fn odd(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(bytes: &[u8]) -> (io::Result<Option<(SocketAddr, SocketAddr)>>, Vec<u8>) {
        let mut rest = bytes;
        let read = read(&mut rest).await;
        (read, rest.to_vec())
    }

    fn binary_header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend([0x20 | command, family]);
        header.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        header.extend(body);
        header
    }

    #[tokio::test]
    async fn both_versions_are_read_and_nothing_behind_them() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x1f, 0x90, 0x07, 0x8f];
        let told = Some(("192.0.2.1:8080".parse().unwrap(), "10.0.0.1:1935".parse().unwrap()));
        let mut with_tlv = v4.to_vec();
        with_tlv.extend([4, 0, 3, 1, 2, 3]);
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 7, 9);
        for (header, wanted) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 8080 1935\r\n".to_vec(), told),
            (
                b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(),
                Some(("[2001:db8::1]:1".parse().unwrap(), "[::1]:2".parse().unwrap())),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ff::ff ff::ff 1 2\r\n".to_vec(), None),
            (binary_header(1, 0x11, &v4), told),
            (binary_header(1, 0x11, &with_tlv), told),
            (
                binary_header(1, 0x21, &v6),
                Some(("[::1]:7".parse().unwrap(), "[::2]:9".parse().unwrap())),
            ),
            (binary_header(0, 0x11, &v4), None),
            (binary_header(0, 0, &[]), None),
        ] {
            let (read, rest) = read_all(&[header.as_slice(), &[3, 1, 2]].concat()).await;
            assert_eq!((read.unwrap(), rest), (wanted, vec![3, 1, 2]), "{header:?}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let long = [b"PROXY TCP4 ".to_vec(), vec![b' '; 200]].concat();
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 80 99999\r\n".to_vec(),
            long,
            binary_header(1, 0x11, &[1; 4]),
            binary_header(7, 0x11, &[1; 12]),
            binary_header(1, 0x11, &vec![0; 5000]),
        ] {
            let (read, _) = read_all(&bytes).await;
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
        let (short, _) = read_all(b"PROXY").await;
        assert_eq!(short.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
