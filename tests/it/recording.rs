//! The main job, end to end: push, files in the store, callbacks, found by the VOD API.

use serde_json::json;

use crate::support::{
    ffmpeg::{Codecs, ffmpeg, make_source},
    receiver::{Receiver, SIGN_KEY},
    run,
    server::{BACKENDS, Server, fetch},
};

#[test]
fn a_push_becomes_four_products_and_their_callbacks() {
    for backend in BACKENDS {
        let server = Server::start(backend, &[("hls.segment_duration", "2s")]);
        let receiver = Receiver::start();
        server.record("live", "show", &["Flv", "Hls", "Mp4", "Aac"], 3600);
        server.call_back(&receiver.url(), SIGN_KEY);
        let source = server.folder().join("source.flv");
        make_source(Codecs::H264Aac, 6, &source);
        run(ffmpeg()
            .args(["-v", "error", "-i"])
            .arg(&source)
            .args(["-c", "copy", "-f", "flv"])
            .arg(server.push_url("show")));

        let files = receiver.wait_for(100, 4);
        let mut formats: Vec<&str> =
            files.iter().map(|f| f["file_format"].as_str().unwrap()).collect();
        formats.sort_unstable();
        assert_eq!(formats, ["aac", "flv", "hls", "mp4"]);
        for file in &files {
            let bytes = fetch(file["video_url"].as_str().unwrap());
            assert!(!bytes.is_empty());
            if file["file_format"] != "hls" {
                assert_eq!(bytes.len() as u64, file["file_size"].as_u64().unwrap());
            }
        }
        receiver.wait_for(0, 1);
        receiver.wait_for(332, 8);
        let found = server.vod("SearchMedia", json!({"StreamIds": ["show"]}));
        assert_eq!(found["TotalCount"], 4, "{found}");
    }
}
