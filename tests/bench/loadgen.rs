//! The two programs of the benchmark: `push` publishes one FLV file on many connections at once,
//! `sink` copies sockets to files and knows no protocol (the floor that a server is compared to).
//!
//! Cheap on purpose: the file is turned into RTMP chunks once, with relative timestamps, and every
//! connection sends from the same two buffers. Not an encoder and not a test of a server's
//! manners: replies are searched for the one word that matters.

mod chunks;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use chunks::{Media, message, prepare};
use clap::{Args, Parser, Subcommand};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    task::JoinSet,
    time::{interval, sleep, sleep_until, timeout},
};

/// Longest wait for a reply, and for the server to take everything after the last byte.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes in one write when not paced.
const BURST: usize = 128 << 10;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish and print what was sent as JSON
    Push(Push),
    /// Copy every connection to a file of its own until killed
    Sink {
        #[arg(long)]
        listen: String,
        #[arg(long)]
        dir: PathBuf,
        /// Look at each socket only this often instead of whenever there is something
        #[arg(long)]
        tick_ms: Option<u64>,
    },
}

#[derive(Args)]
struct Push {
    #[arg(long)]
    to: String,
    #[arg(long)]
    file: PathBuf,
    #[arg(short = 'n', long)]
    streams: usize,
    /// Seconds of media to send in real time
    #[arg(long, conflicts_with = "total_bytes")]
    duration: Option<u64>,
    /// Send this much over all connections, as fast as the server reads
    #[arg(long)]
    total_bytes: Option<u64>,
    /// Send the same bytes without handshake and commands
    #[arg(long)]
    raw: bool,
    /// RTMP chunk size; OBS uses 4096
    #[arg(long, default_value_t = 4096)]
    chunk: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Push(push) => push_all(push).await,
        Command::Sink { listen, dir, tick_ms } => sink(&listen, &dir, tick_ms).await,
    }
}

// --- sink ----------------------------------------------------------------------------------------

async fn sink(listen: &str, dir: &Path, tick_ms: Option<u64>) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let mut copies = JoinSet::new();
    for number in 0.. {
        let (socket, _) = listener.accept().await?;
        let file = fs::File::create(dir.join(format!("s_{number}.flv")))?;
        copies.spawn(copy(socket, file, tick_ms.map(Duration::from_millis)));
        while copies.try_join_next().is_some() {}
    }
    Ok(())
}

async fn copy(mut socket: TcpStream, mut file: fs::File, tick: Option<Duration>) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let Some(tick) = tick else {
        loop {
            match socket.read(&mut buffer).await? {
                0 => return Ok(()),
                count => file.write_all(&buffer[..count])?,
            }
        }
    };
    // taken out of the runtime, which would wake up for every packet
    let mut socket = socket.into_std()?;
    let mut ticks = interval(tick);
    loop {
        ticks.tick().await;
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => file.write_all(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

// --- publishing ----------------------------------------------------------------------------------

#[derive(Default, Clone, Copy)]
struct Sent {
    bytes: u64,
    frames: u64,
    late_ms: u64,
}

async fn push_all(push: Push) -> Result<()> {
    let media = Arc::new(prepare(&push.file, push.chunk)?);
    let push = Arc::new(push);
    let begin = Instant::now();
    let mut streams = JoinSet::new();
    for number in 0..push.streams {
        streams.spawn(publish(number, push.clone(), media.clone()));
    }
    let (mut sum, mut ok, mut errors) = (Sent::default(), 0, Vec::new());
    while let Some(result) = streams.join_next().await {
        match result? {
            Ok(sent) => {
                ok += 1;
                sum.bytes += sent.bytes;
                sum.frames += sent.frames;
                sum.late_ms = sum.late_ms.max(sent.late_ms);
            }
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    errors.truncate(3);
    let report = serde_json::json!({
        "ok": ok, "bytes": sum.bytes, "frames": sum.frames, "late_ms": sum.late_ms,
        "seconds": begin.elapsed().as_secs_f64(), "errors": errors,
    });
    println!("{report}");
    Ok(())
}

async fn publish(number: usize, push: Arc<Push>, media: Arc<Media>) -> Result<Sent> {
    // spread over a second, as real publishers are
    sleep(Duration::from_millis(1000 * number as u64 / push.streams as u64)).await;
    let mut socket = TcpStream::connect(&push.to).await.context("connect")?;
    socket.set_nodelay(true)?;
    if !push.raw {
        timeout(PATIENCE, begin_publish(&mut socket, number, push.chunk))
            .await
            .context("no answer to the commands")??;
    }
    let (reader, mut writer) = socket.into_split();
    let mut drain = JoinSet::new();
    drain.spawn(read_to_end(reader));
    let sent = send(&mut writer, &push, &media).await?;
    if !push.raw {
        let mut bytes = Vec::new();
        let stream_number = [&[0][..], &1f64.to_be_bytes()].concat();
        command(&mut bytes, 0, push.chunk, "FCUnpublish", 5.0, &[&text(&format!("s_{number}"))]);
        command(&mut bytes, 0, push.chunk, "deleteStream", 6.0, &[&stream_number]);
        writer.write_all(&bytes).await?;
    }
    writer.shutdown().await?;
    timeout(PATIENCE, drain.join_next()).await.context("the server does not close")?;
    Ok(sent)
}

async fn read_to_end(mut reader: OwnedReadHalf) {
    let mut buffer = [0; 4096];
    while reader.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

async fn send(to: &mut (impl AsyncWriteExt + Unpin), push: &Push, media: &Media) -> Result<Sent> {
    let begin = tokio::time::Instant::now();
    let mut sent = Sent::default();
    let share = push.total_bytes.map(|total| total / push.streams as u64);
    let stop_ms = push.duration.map(|seconds| seconds * 1000);
    for round in 0u64.. {
        let pass = if round == 0 { &media.first } else { &media.again };
        let (mut from, mut next) = (0, 0);
        while next < pass.messages.len() {
            let due = |number: usize| {
                u64::from(pass.messages[number].0) + round * u64::from(media.round_ms)
            };
            let mut until = next + 1;
            if let Some(stop_ms) = stop_ms {
                if due(next) >= stop_ms {
                    return Ok(sent);
                }
                sleep_until(begin + Duration::from_millis(due(next))).await;
                let now_ms = begin.elapsed().as_millis() as u64;
                sent.late_ms = sent.late_ms.max(now_ms - due(next));
                while until < pass.messages.len() && due(until) <= now_ms.min(stop_ms - 1) {
                    until += 1;
                }
            } else {
                if sent.bytes >= share.unwrap_or(0) {
                    return Ok(sent);
                }
                while until < pass.messages.len() && pass.messages[until].1 - from < BURST {
                    until += 1;
                }
            }
            let end = pass.messages[until - 1].1;
            to.write_all(&pass.bytes[from..end]).await.context("send")?;
            sent.bytes += (end - from) as u64;
            sent.frames += (until - next) as u64;
            (from, next) = (end, until);
        }
    }
    Ok(sent)
}

/// Handshake and commands up to NetStream.Publish.Start.
async fn begin_publish(socket: &mut TcpStream, number: usize, chunk: usize) -> Result<()> {
    let mut hello = vec![0; 1537];
    hello[0] = 3;
    socket.write_all(&hello).await?;
    let mut answer = vec![0; 3073];
    socket.read_exact(&mut answer).await.context("handshake")?;
    socket.write_all(&answer[1..1537]).await?;

    let name = format!("s_{number}");
    let mut bytes = Vec::new();
    let chunk_size = u32::try_from(chunk)?.to_be_bytes();
    message(&mut bytes, 2, Some(0), 0, 1, &chunk_size, 128);
    let mut object = vec![3];
    for (key, value) in
        [("app", "live"), ("type", "nonprivate"), ("tcUrl", "rtmp://127.0.0.1/live")]
    {
        object.extend_from_slice(&text(key)[1..]);
        object.extend_from_slice(&text(value));
    }
    object.extend_from_slice(&[0, 0, 9]);
    call(&mut bytes, 0, chunk, "connect", 1.0, &object);
    socket.write_all(&bytes).await?;
    expect(socket, "NetConnection.Connect.Success").await?;

    bytes.clear();
    command(&mut bytes, 0, chunk, "releaseStream", 2.0, &[&text(&name)]);
    command(&mut bytes, 0, chunk, "FCPublish", 3.0, &[&text(&name)]);
    command(&mut bytes, 0, chunk, "createStream", 4.0, &[]);
    socket.write_all(&bytes).await?;
    expect(socket, "_result").await?;

    bytes.clear();
    command(&mut bytes, 1, chunk, "publish", 5.0, &[&text(&name), &text("live")]);
    socket.write_all(&bytes).await?;
    expect(socket, "NetStream.Publish.Start").await
}

/// AMF0 string.
fn text(value: &str) -> Vec<u8> {
    let mut bytes = vec![2];
    bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

fn command(to: &mut Vec<u8>, stream: u32, chunk: usize, name: &str, number: f64, values: &[&[u8]]) {
    let mut arguments = vec![5]; // null
    arguments.extend(values.concat());
    call(to, stream, chunk, name, number, &arguments);
}

fn call(to: &mut Vec<u8>, stream: u32, chunk: usize, name: &str, number: f64, arguments: &[u8]) {
    let body = [&text(name), &[0][..], &number.to_be_bytes(), arguments].concat();
    message(to, 3, Some(stream), 0, 20, &body, chunk);
}

/// Reads until the reply holds `word`.
async fn expect(socket: &mut TcpStream, word: &str) -> Result<()> {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = socket.read(&mut buffer).await?;
        seen.extend_from_slice(&buffer[..count]);
        let reply = String::from_utf8_lossy(&seen);
        if reply.contains(word) {
            return Ok(());
        }
        if count == 0 || reply.contains("NetStream.Publish.Bad") || reply.contains("Rejected") {
            let shown: String = reply.chars().filter(|c| c.is_ascii_graphic()).collect();
            bail!("no {word} but {shown}");
        }
    }
}
