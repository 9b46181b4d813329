//! A second encoder of the same name: both recordings are whole.

use serde_json::{Value, json};

use super::{FORMATS, format_of, recorder};
use crate::support::{
    ffmpeg::Codecs,
    packets::Packets,
    pushing::{Source, as_in_product, assert_same_tags, frames, journaled_frames, product_tags},
    server::{BACKENDS, eventually},
};

#[test]
fn a_second_encoder_takes_over() {
    for backend in BACKENDS {
        let (server, receiver) = recorder(backend, &FORMATS, 7200, &[]);
        let source = Source::make(&server, Codecs::H264Aac, 30);
        let pushed = frames(&source.tags);
        let key = server.signed_key("live.local", "live", "show");
        // The query tells the pushes apart in the events of their files.
        let url = |push: u32| server.push_url(&format!("{key}&push={push}"));

        let mut first = source.pushing(&url(1), &["-re"]).spawn().unwrap();
        let journaled = eventually("two seconds in the journal", || {
            let frames = journaled_frames(&server);
            frames.last().is_some_and(|last| last.time_ms >= 2000).then_some(frames)
        });
        assert_same_tags(&journaled, &pushed[..journaled.len()], "the journal");
        source.push(&url(2));
        let status = eventually("the first encoder's end", || first.try_wait().unwrap());
        assert!(!status.success(), "the first encoder must see that it was ended");

        let files = receiver.wait_for(100, 2 * FORMATS.len());
        receiver.wait_for(0, 2);
        let events = receiver.events();
        let pushes: Vec<(&Value, &Value)> = events
            .iter()
            .filter(|event| event["event_type"] == 0 || event["event_type"] == 1)
            .map(|event| (&event["event_type"], &event["errcode"]))
            .collect();
        assert_eq!(json!(pushes), json!([[1, 0], [0, 21], [1, 0], [0, 1]]), "{events:#?}");

        for index in 0..2 {
            let push = format!("push={}", index + 1);
            let files: Vec<&Value> = files
                .iter()
                .filter(|file| file["stream_param"].as_str().unwrap().ends_with(&push))
                .collect();
            assert_eq!(files.len(), FORMATS.len());
            let flv = files.iter().find(|file| format_of(file) == "flv").unwrap();
            let flv_url = flv["video_url"].as_str().unwrap();
            let tags = product_tags(flv_url);
            if index == 0 {
                let tags = frames(&tags);
                assert!(
                    tags.len() >= journaled.len(),
                    "{} of {} frames",
                    tags.len(),
                    journaled.len()
                );
                assert!(tags.len() < pushed.len(), "the first encoder was not ended");
                assert_same_tags(&tags, &pushed[..tags.len()], "the first encoder's recording");
            } else {
                assert_same_tags(
                    &tags,
                    &as_in_product(&source.tags),
                    "the second encoder's recording",
                );
            }
            let whole = Packets::of(flv_url);
            for file in files {
                let url = file["video_url"].as_str().unwrap();
                let found = Packets::of(url);
                match format_of(file) {
                    "aac" => found.assert_payloads(&whole.sound(), url),
                    _ => {
                        found.assert_payloads_and_times(&whole, url);
                    }
                }
            }
        }
    }
}
