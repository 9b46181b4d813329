//! GStreamer's `rtmp2sink` as encoder: its RTMP is another than ffmpeg's.

use std::process::Command;

use super::{FORMATS, assert_products, make_heavy_source, recorder};
use crate::support::{
    ffmpeg::Codecs,
    packets::Packets,
    publisher::read_tags,
    pushing::{Source, assert_same_tags, frames, product_tags},
    run,
    server::{BACKENDS, Backend},
};

/// Pictures and sound into one muxer whose output goes to the server and to a file.
const PIPELINE: &str = "flvmux name=mux streamable=true ! tee name=both \
    videotestsrc num-buffers=250 ! video/x-raw,width=320,height=180,framerate=25/1 ! \
    x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max=25 ! video/x-h264,profile=main ! queue ! mux. \
    audiotestsrc num-buffers=430 samplesperbuffer=1024 ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! queue ! mux. \
    both. ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! filesink location=FILE \
    both. ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! rtmp2sink location=URL";

/// A file into one muxer, without waiting for its times.
const FAST_PIPELINE: &str = "flvmux name=mux streamable=true ! tee name=both \
    filesrc location=SOURCE ! flvdemux name=source \
    source.video ! queue ! h264parse ! mux. source.audio ! queue ! aacparse ! mux. \
    both. ! queue ! filesink location=FILE sync=false \
    both. ! queue ! rtmp2sink location=URL sync=false";

#[test]
fn a_push_by_rtmp2sink() {
    for backend in BACKENDS {
        let (server, receiver) =
            recorder(backend, &FORMATS, 7200, &[("hls.segment_duration", "1s")]);
        let file = server.folder().join("gstreamer.flv");
        let url = server.push_url("show");
        let mut gst = Command::new("gst-launch-1.0");
        gst.args(["-q", "-e"]);
        for word in PIPELINE.split_whitespace() {
            gst.arg(word.replace("FILE", file.to_str().unwrap()).replace("URL", &url));
        }
        run(&mut gst);
        let files = receiver.wait_for(100, FORMATS.len());

        let source = Source::muxed(Codecs::H264Aac, file);
        let pushed = Packets::of(source.name());
        assert_eq!(pushed.video.len(), 250);
        assert!(pushed.audio.len() >= 429, "{}", pushed.audio.len());
        assert_products(&files, &source, &pushed);
    }
}

/// What is behind the server's window when the encoder closes must still arrive.
#[test]
fn a_push_by_rtmp2sink_as_fast_as_it_goes() {
    let (server, receiver) = recorder(Backend::Plain, &["Flv"], 7200, &[]);
    let heavy = server.folder().join("heavy.flv");
    make_heavy_source(&heavy, 16);
    for push in 1..=4 {
        let file = server.folder().join("gstreamer.flv");
        let url = server.push_url(&format!("show?push={push}"));
        let mut gst = Command::new("gst-launch-1.0");
        gst.args(["-q", "-e"]);
        for word in FAST_PIPELINE.split_whitespace() {
            let word = word.replace("SOURCE", heavy.to_str().unwrap());
            gst.arg(word.replace("FILE", file.to_str().unwrap()).replace("URL", &url));
        }
        run(&mut gst);
        let stored = receiver.wait_for(100, push);
        let url = stored.last().unwrap()["video_url"].as_str().unwrap();
        // The muxer repeats its script data, which rtmp2sink sends in another form.
        assert_same_tags(&frames(&product_tags(url)), &frames(&read_tags(&file)), url);
    }
}
