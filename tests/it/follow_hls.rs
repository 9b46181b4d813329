//! HLS products while their stream is live: segments in the store as they complete, the growing
//! playlist, and what becomes of both at the end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use crate::{
    support::{
        ffmpeg::{Codecs, ffmpeg},
        packets::Packets,
        pushing::Source,
        run,
        server::{BACKENDS, Backend, Server, eventually, fetch},
    },
    verbatim::recorder,
};

const SETTINGS: [(&str, &str); 1] = [("hls.segment_duration", "2s")];

/// A push in real time.
struct Live(Child);

impl Live {
    fn start(source: &Source, url: &str) -> Self {
        let mut command = source.pushing(url, &["-re"]);
        Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Over already unless the test failed.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The folder of the only file of the stream `show`, once something is in it.
fn folder_of(server: &Server) -> PathBuf {
    let stream = match &server.s3 {
        Some(s3) => s3.object("rec/live.local/live/show"),
        None => server.data_dir().join("vod/live.local/live/show"),
    };
    eventually("a folder of the growing file", || {
        let mut files = fs::read_dir(&stream).ok()?.filter_map(Result::ok).map(|file| file.path());
        files.find(|path| path.is_dir())
    })
}

fn playlist_url(server: &Server, folder: &Path) -> String {
    let id = folder.file_name().unwrap().to_str().unwrap();
    format!("{}/vod/live.local/live/show/{id}/playlist.m3u8", server.base_url())
}

#[test]
fn segments_are_stored_during_the_push() {
    for backend in BACKENDS {
        for (segment_type, ending) in [("ts", "ts"), ("fmp4", "m4s")] {
            let settings = [SETTINGS[0], ("hls.segment_type", segment_type)];
            let (server, receiver) = recorder(backend, &["Hls"], 7200, &settings);
            let source = Source::make(&server, Codecs::H264Aac, 20);
            let mut live = Live::start(&source, &server.push_url("show"));
            let folder = folder_of(&server);
            eventually("a second segment", || {
                folder.join(format!("1.{ending}")).is_file().then_some(())
            });
            assert!(!live.is_over(), "only when the push had ended");
            assert!(!folder.join("playlist.m3u8").exists(), "the playlist comes last");

            let files = receiver.wait_for(100, 1);
            let url = files[0]["video_url"].as_str().unwrap();
            assert_eq!(url, playlist_url(&server, &folder));
            Packets::of(url).assert_payloads_and_times(&Packets::of(source.name()), url);
        }
    }
}

#[test]
fn the_growing_playlist_plays_during_the_push() {
    let settings = [SETTINGS[0], ("hls.live_playlist", "true")];
    let (server, receiver) = recorder(Backend::Plain, &["Hls"], 7200, &settings);
    let source = Source::make(&server, Codecs::H264Aac, 20);
    let mut live = Live::start(&source, &server.push_url("show"));
    let folder = folder_of(&server);
    let url = playlist_url(&server, &folder);
    let text = eventually("a growing playlist", || {
        let text = fs::read_to_string(folder.join("playlist.m3u8")).ok()?;
        (text.matches("#EXTINF").count() >= 2).then_some(text)
    });
    assert!(text.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n") && !text.contains("ENDLIST"), "{text}");
    assert!(text.contains("#EXT-X-TARGETDURATION:5\n"), "{text}");
    // A player begins with the first segment and goes on as there are more.
    let arguments = ["-live_start_index", "0", "-i", &url, "-t", "5", "-f", "null", "-"];
    run(ffmpeg().arg("-xerror").args(arguments));
    assert!(!live.is_over(), "it was played only when the push had ended");

    let files = receiver.wait_for(100, 1);
    assert_eq!(files[0]["video_url"], url.as_str());
    let text = String::from_utf8(fetch(&url)).unwrap();
    assert!(text.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && text.ends_with("#EXT-X-ENDLIST\n"));
    Packets::of(&url).assert_payloads_and_times(&Packets::of(source.name()), &url);
}

#[test]
fn what_is_in_the_store_is_not_sent_again_after_a_kill() {
    for backend in BACKENDS {
        let settings = [SETTINGS[0], ("hls.segment_type", "fmp4")];
        let (mut server, receiver) = recorder(backend, &["Hls"], 7200, &settings);
        let source = Source::make(&server, Codecs::H264Aac, 30);
        let mut live = Live::start(&source, &server.push_url("show"));
        let folder = folder_of(&server);
        eventually("a third segment", || folder.join("2.m4s").is_file().then_some(()));
        assert!(!live.is_over(), "only when the push had ended");
        server.kill();
        drop(live);
        let written = |name: &str| fs::metadata(folder.join(name)).unwrap().modified().unwrap();
        let names = ["init-0.mp4", "0.m4s", "1.m4s"];
        let before = names.map(written);
        server.launch();

        let files = receiver.wait_for(100, 1);
        assert_eq!(names.map(written), before, "stored a second time");
        let id = files[0]["file_id"].as_str().unwrap();
        let output = server.cli().args(["verify", id, "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
