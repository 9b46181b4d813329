//! Publishes the built-in sample: six seconds of test picture (H.264 with B-frames) and tone (AAC).

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::{
    media::{
        flv::header::{FILE_HEADER_LEN, TAG_HEADER_LEN, TAG_TRAILER_LEN, TagHeader},
        tag::Tag,
    },
    rtmp::publisher::{Phase, Publisher, Target},
};

/// Made with ffmpeg's test sources.
static SAMPLE: &[u8] = include_bytes!("sample.flv");
const CHUNK_BYTES: usize = 4096;
/// Tags sent in one go.
const BURST: usize = 40;
/// Pause between two bursts, so that arrival times are spread a little.
const PAUSE: Duration = Duration::from_millis(50);

/// The sample's tags. Encoders announce metadata with `@setDataFrame`; a file does not keep that.
pub fn sample() -> Result<Vec<Tag>> {
    let mut rest = SAMPLE.get(FILE_HEADER_LEN..).context("the sample has no header")?;
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let header = rest.first_chunk::<TAG_HEADER_LEN>().context("the sample ends in a header")?;
        let header = TagHeader::decode(header);
        let end = TAG_HEADER_LEN + header.data_size as usize;
        let payload = rest.get(TAG_HEADER_LEN..end).context("the sample ends in a tag")?;
        let kind = header.kind().context("the sample has a strange tag")?;
        let payload = Bytes::from_static(payload);
        tags.push(Tag { kind, time_ms: i64::from(header.time_ms), payload });
        rest = rest.get(end + TAG_TRAILER_LEN..).context("the sample ends in a trailer")?;
    }
    ensure!(!tags.is_empty(), "the sample is empty");
    Ok(tags)
}

/// Publishes tags and waits until the server has closed the connection.
pub async fn publish(rtmp: SocketAddr, app: &str, stream: &str, tags: &[Tag]) -> Result<()> {
    let mut socket = TcpStream::connect(rtmp).await.context("connect to the RTMP port")?;
    let target =
        Target { app: app.to_owned(), tc_url: super::tc_url(rtmp, app), key: stream.to_owned() };
    let mut publisher = Publisher::new(target, CHUNK_BYTES)?;
    loop {
        socket.write_all(&publisher.take_output()).await.context("send RTMP")?;
        match publisher.phase() {
            Phase::Publishing => break,
            Phase::Over { code, description } => {
                bail!("the publish was refused: {code}: {description}");
            }
            Phase::Greeting | Phase::Connecting | Phase::Creating | Phase::Asking => {}
        }
        let mut answer = BytesMut::with_capacity(4096);
        let read = socket.read_buf(&mut answer).await.context("read RTMP")?;
        ensure!(read > 0, "the server closed the connection before the publish began");
        publisher.receive(answer.freeze())?;
    }
    for burst in tags.chunks(BURST) {
        for tag in burst {
            publisher.tag(tag);
        }
        socket.write_all(&publisher.take_output()).await.context("send RTMP")?;
        sleep(PAUSE).await;
    }
    publisher.finish()?;
    socket.write_all(&publisher.take_output()).await.context("send RTMP")?;
    socket.shutdown().await.context("end the connection")?;
    let mut rest = Vec::new();
    // The server's last words; that it hangs up is what we wait for.
    let _ = socket.read_to_end(&mut rest).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tag::TagKind;

    #[test]
    fn the_sample_has_pictures_and_sound() {
        let tags = sample().unwrap();
        let count = |kind| tags.iter().filter(|t| t.kind == kind).count();
        assert!(count(TagKind::Video) > 80 && count(TagKind::Audio) > 200);
    }
}
