//! A recording that is stored in parts and read from more than one journal file.

use std::path::Path;

use super::{assert_products, recorder};
use crate::support::{
    ffmpeg::{Codecs, ffmpeg},
    packets::Packets,
    pushing::Source,
    run,
    s3::Op,
    server::BACKENDS,
};

#[test]
fn a_recording_of_many_parts() {
    for backend in BACKENDS {
        let settings = [("storage.s3.part_size", "5MiB"), ("hls.segment_duration", "4s")];
        let (server, receiver) = recorder(backend, &["Flv", "Hls", "Mp4"], 7200, &settings);
        let path = server.folder().join("source.flv");
        make_heavy_source(&path, 24);
        let source = Source::of(Codecs::H264Aac, path);
        let bytes: usize = source.tags.iter().map(|tag| tag.payload.len()).sum();
        assert!(bytes > 70 << 20, "{bytes} bytes do not roll a journal");
        source.push(&server.push_url("show"));
        let files = receiver.wait_for(100, 3);
        if let Some(s3) = &server.s3 {
            // FLV, MP4 and six segments of four seconds, all larger than a part.
            assert_eq!((s3.count(Op::Create), s3.count(Op::Complete)), (8, 8));
            assert!(s3.count(Op::UploadPart) >= 28, "{}", s3.count(Op::UploadPart));
        }
        assert_products(&files, &source, &Packets::of(source.name()));
    }
}

/// Noise, which no encoder can make small: about 3 MiB a second.
pub fn make_heavy_source(path: &Path, seconds: u32) {
    let mut command = ffmpeg();
    command.args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25,noise=alls=100:allf=t"]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
    command.args(["-t", &seconds.to_string(), "-c:v", "libx264", "-preset", "ultrafast"]);
    command.args([
        "-qp",
        "20",
        "-bf",
        "2",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "25",
        "-sc_threshold",
        "0",
    ]);
    run(command.args(["-c:a", "aac", "-b:a", "64k", "-ac", "2", "-f", "flv"]).arg(path));
}
