//! What was written is what is read.

use super::*;
use crate::{
    journal::Progress,
    media::sample::{Codec, Track},
};

#[test]
fn every_tag_comes_back_whatever_the_size_of_a_file() {
    let tags = stream();
    for roll_bytes in [0, 1, 60, 150, 400, 1 << 20] {
        let place = Place::new(roll_bytes);
        for batch in [1, 3, 100] {
            let (session, end) = place.record(&tags, batch);
            let mut reader = place.reader(session);
            assert_eq!(read_tags(&mut reader), tags, "roll {roll_bytes} batch {batch}");
            assert_eq!(meaning(all_samples(&mut reader)), expected(&tags));
            assert_eq!((reader.start(), reader.end().unwrap()), (0, end));
            assert_eq!(reader.head(), HEAD);
            assert_eq!(reader.wall_ms(), WALL_MS);
        }
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn any_stream_comes_back(tags in any_stream(), roll_bytes in 0..600u64, batch in 1..9usize) {
        let place = Place::new(roll_bytes);
        let (session, end) = place.record(&tags, batch);
        let mut reader = place.reader(session);
        prop_assert_eq!(read_tags(&mut reader), tags.clone());
        prop_assert_eq!(meaning(all_samples(&mut reader)), expected(&tags));
        prop_assert_eq!(reader.end().unwrap(), end);
        // Recovery has nothing to do, and says the same as the writer did.
        let before = files(&place, session);
        let recovered = place.journal.recover(session).unwrap();
        prop_assert_eq!((recovered.rebuilt, recovered.cut_bytes, recovered.set_aside), (0, 0, 0));
        prop_assert_eq!(recovered.progress.written, end);
        prop_assert_eq!(files(&place, session), before);
    }

    #[test]
    fn cuts_join_without_a_gap(
        tags in any_stream(),
        roll_bytes in 0..600u64,
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let place = Place::new(roll_bytes);
        let (session, end) = place.record(&tags, 7);
        let mut reader = place.reader(session);
        let mut whole = vec![0; end as usize];
        reader.read(0, &mut whole).unwrap();
        let places: Vec<u64> = all_samples(&mut reader).iter().map(|sample| sample.position).collect();
        let mut cuts: Vec<u64> = cuts.iter().map(|cut| places[cut.index(places.len())]).collect();
        cuts.extend([0, end]);
        cuts.sort_unstable();
        let mut joined = Vec::new();
        let mut read = Vec::new();
        for pair in cuts.windows(2) {
            let mut part = vec![0; (pair[1] - pair[0]) as usize];
            reader.read(pair[0], &mut part).unwrap();
            joined.extend(part);
            read.extend(read_tags_between(&mut reader, pair[0], pair[1]));
        }
        prop_assert_eq!(joined, whole);
        prop_assert_eq!(read, tags);
        prop_assert!(reader.read(end, &mut [0]).is_err());
    }
}

#[test]
fn a_follower_sees_what_progress_says() {
    let place = Place::new(200);
    let tags = stream();
    let (session, mut writer) = place.begin();
    let mut reader = place.reader(session);
    let mut progress = writer.progress();
    let mut seen = Vec::new();
    let mut at = 0;
    for (nth, tag) in tags.iter().enumerate() {
        let position = writer.position();
        writer.push(tag, wall_of(nth));
        assert_eq!(writer.pushed().written, writer.position());
        assert!(writer.position() > position);
        if nth % 4 == 3 {
            place.runtime.block_on(writer.flush()).unwrap();
            let written = progress.borrow_and_update().written;
            assert_eq!(written, writer.position());
            seen.extend(read_tags_between(&mut reader, at, written));
            at = written;
            assert_eq!(seen, tags[..=nth]);
        }
    }
    let end = place.runtime.block_on(writer.close("{}")).unwrap();
    seen.extend(read_tags_between(&mut reader, at, end));
    assert_eq!(seen, tags);
    assert!(reader.number(reader.files() - 1).unwrap() > 3, "the stream is spread over files");
    let last = *progress.borrow_and_update();
    assert_eq!((last.written, last.closed), (end, true));
    assert!(progress.has_changed().is_err(), "the writer is gone");
}

#[test]
fn progress_tells_marks_and_codecs() {
    let place = Place::new(1 << 20);
    let (_, mut writer) = place.begin();
    assert_eq!(writer.pushed(), Progress { wall_ms: WALL_MS, ..Progress::default() });
    let tags = [
        audio_config(0, 0),
        video_config(0, 1),
        audio(5, 3),
        keyframe(10, 9),
        inter(50, 9),
        audio(28, 2),
    ];
    for (nth, tag) in tags.iter().enumerate() {
        writer.push(tag, wall_of(nth));
    }
    place.runtime.block_on(writer.flush()).unwrap();
    let progress = *writer.progress().borrow();
    assert_eq!(progress, writer.pushed());
    let Progress {
        last_keyframe,
        last_audio,
        video,
        audio,
        has_video,
        has_audio,
        wall_ms,
        closed,
        ..
    } = progress;
    assert_eq!((video, audio), (Some(Codec::H264), Some(Codec::Aac)));
    assert!(has_video && has_audio && !closed);
    assert_eq!(wall_ms, wall_of(5));
    let key = last_keyframe.unwrap();
    assert_eq!((key.wall_ms, key.dts_ms), (wall_of(3), 10));
    let sound = last_audio.unwrap();
    assert_eq!((sound.wall_ms, sound.dts_ms), (wall_of(5), 28));
    assert!(sound.position > key.position);
    place.runtime.block_on(writer.close("{}")).unwrap();
}

#[test]
fn the_key_frames_of_another_track_count_where_there_is_no_default_one() {
    let place = Place::new(1 << 20);
    let (_, mut writer) = place.begin();
    let of_track = |track_id: u8, time_ms: i64| {
        let payload = [&[0x96, 1][..], b"avc1", &[track_id, 0, 0, 0, 0, 0, 0, 1, 0x65]].concat();
        Tag { kind: TagKind::Video, time_ms, payload: payload.into() }
    };
    let mut push = |tag: &Tag| {
        writer.push(tag, WALL_MS + tag.time_ms);
        writer.pushed().last_keyframe.map(|mark| mark.dts_ms)
    };
    assert_eq!(push(&of_track(2, 10)), Some(10));
    assert_eq!(push(&of_track(1, 20)), Some(20), "the lowest id leads");
    assert_eq!(push(&of_track(2, 30)), Some(20));
    assert_eq!(push(&inter(40, 9)), None, "the default track has come, without a key frame yet");
    assert_eq!(push(&of_track(1, 50)), None);
    assert_eq!(push(&keyframe(60, 9)), Some(60));
    assert_eq!(push(&of_track(1, 60_060)), Some(60));
    assert_eq!(push(&of_track(1, 60_061)), Some(60_061), "it has ended");
}

#[test]
fn notes_and_clock_marks_stand_between_the_tags() {
    for roll_bytes in [0, 90, 1 << 20] {
        let place = Place::new(roll_bytes);
        let (session, mut writer) = place.begin();
        let mut places = Vec::new();
        for nth in 0..10 {
            if nth % 3 == 0 {
                places.push((
                    writer.position(),
                    format!("{{\"nth\":{nth},\"text\":\"\\\\ \u{e9}\"}}"),
                ));
                writer.note(&places.last().unwrap().1);
            }
            writer.push(&keyframe(nth * 40, 20), WALL_MS + nth * 300);
        }
        places.push((writer.position(), "end".to_owned()));
        place.runtime.block_on(writer.close("end")).unwrap();
        let mut reader = place.reader(session);
        assert_eq!(reader.notes(0).unwrap(), places);
        assert_eq!(reader.notes(places[2].0).unwrap(), places[2..]);
        assert_eq!(reader.notes(places[2].0 + 1).unwrap(), places[3..]);
        let samples = all_samples(&mut reader);
        let clocks: Vec<i64> =
            samples.iter().filter(|s| s.kind == SampleKind::Clock).map(|s| s.dts_ms).collect();
        assert_eq!(clocks, [WALL_MS, WALL_MS + 1200, WALL_MS + 2400]);
        for sample in samples.iter().filter(|s| s.kind == SampleKind::Private) {
            assert!(reader.note(sample).unwrap().is_some());
            assert_eq!(sample.track, Track::Script);
        }
    }
}

#[test]
fn configurations_have_ordinals_that_last() {
    for roll_bytes in [0, 100, 1 << 20] {
        let place = Place::new(roll_bytes);
        let tags = [
            inter(0, 5),        // nothing in force
            video_config(0, 1), // 1
            audio_config(0, 1), // 2
            keyframe(10, 30),
            video_config(20, 1), // repeated: 1
            keyframe(30, 30),
            video_config(40, 2), // 3
            audio(41, 5),
            keyframe(50, 30),
            video_config(60, 1), // again, but after another: 4
            keyframe(70, 30),
            audio(71, 30),
        ];
        let (session, end) = place.record(&tags, 2);
        let mut reader = place.reader(session);
        let samples = all_samples(&mut reader);
        let media: Vec<&Sample> = samples.iter().filter(|s| s.track != Track::Script).collect();
        let ordinals: Vec<u32> = media.iter().map(|s| s.config).collect();
        assert_eq!(ordinals, [0, 1, 2, 1, 1, 1, 3, 2, 3, 4, 4, 2]);
        let by_ordinal = |reader: &mut Reader, from, to| -> Vec<(u32, u8)> {
            let configs = reader.configs(from, to).unwrap();
            configs
                .iter()
                .map(|(ordinal, config)| (ordinal, *config.tag_payload().last().unwrap()))
                .collect()
        };
        // Whatever is asked for, the ordinals that samples name are among the answer, right.
        for first in 0..media.len() {
            let configs = reader.configs(media[first].position, end).unwrap();
            for sample in &media[first..] {
                if sample.kind == SampleKind::Frame && sample.config > 0 {
                    let config = configs.get(sample.config).unwrap();
                    assert_eq!((config.track, config.codec), (sample.track, sample.codec));
                    assert!(config.parse().is_ok() || config.track == Track::Video);
                }
            }
        }
        assert_eq!(by_ordinal(&mut reader, media[0].position, media[1].position), []);
        let all = reader.configs(0, end).unwrap();
        assert_eq!(all.iter().map(|(ordinal, _)| ordinal).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(all.get(1).unwrap().tag_payload(), &tags[1].payload);
        assert_eq!(all.get(3).unwrap().tag_payload(), &tags[6].payload);
        assert_eq!(all.get(2).unwrap().record(), [0x12, 1]);
        let middle = reader.configs(media[7].position, media[8].position).unwrap();
        assert!(middle.get(2).is_some() && middle.get(3).is_some() && middle.get(4).is_none());
    }
}

#[test]
fn metadata_in_force_is_the_last_before() {
    for roll_bytes in [0, 80, 1 << 20] {
        let place = Place::new(roll_bytes);
        let tags = [
            audio(0, 3),
            metadata(0, 7),
            keyframe(1, 30),
            keyframe(2, 30),
            metadata(3, 8),
            keyframe(4, 30),
            keyframe(5, 30),
        ];
        let (session, end) = place.record(&tags, 1);
        let mut reader = place.reader(session);
        let samples = all_samples(&mut reader);
        let media: Vec<u64> = samples
            .iter()
            .filter(|s| !matches!(s.kind, SampleKind::Private | SampleKind::Clock))
            .map(|s| s.position)
            .collect();
        let found: Vec<Option<Bytes>> =
            media.iter().map(|at| reader.metadata(*at).unwrap()).collect();
        let (old, new) = (Some(tags[1].payload.clone()), Some(tags[4].payload.clone()));
        assert_eq!(
            found,
            [None, old.clone(), old.clone(), old, new.clone(), new.clone(), new.clone()]
        );
        assert_eq!(reader.metadata(end).unwrap(), new);
        let script = samples.iter().find(|s| s.kind == SampleKind::Script).unwrap();
        assert_eq!(reader.payload(script).unwrap(), tags[1].payload);
    }
}

#[test]
fn limits_are_kept() {
    let place = Place::new(1000);
    // Too large to be repeated: no ordinal, and no stale one either.
    let huge = |time_ms| {
        let mut payload = vec![0x17, 0, 0, 0, 0];
        payload.resize(70_000, 1);
        tag(TagKind::Video, time_ms, &payload)
    };
    let mut tags = vec![
        video_config(0, 1),
        keyframe(1, 10),
        huge(2),
        keyframe(3, 10),
        video_config(4, 1),
        keyframe(5, 10),
    ];
    // More tracks than are remembered.
    for id in 0..20u8 {
        tags.push(tag(TagKind::Audio, 10, &[&b"\x95\x00Opus"[..], &[id, id]].concat()));
    }
    let (session, _) = place.record(&tags, 5);
    let mut reader = place.reader(session);
    let samples = all_samples(&mut reader);
    let of = |kind| samples.iter().filter(move |s| s.kind == kind);
    assert_eq!(of(SampleKind::Frame).map(|s| s.config).collect::<Vec<_>>(), [1, 0, 2]);
    let sound: Vec<u32> =
        of(SampleKind::Config).filter(|s| s.track == Track::Audio).map(|s| s.config).collect();
    assert_eq!(sound, (3..=17).chain([0; 5]).collect::<Vec<_>>());
    assert_eq!(read_tags(&mut reader), tags);

    let (session, mut writer) = place.begin();
    let payload = Bytes::from(vec![9; (1 << 24) - 1]);
    let largest = Tag { kind: TagKind::Audio, time_ms: 0, payload };
    writer.push(&largest, WALL_MS);
    writer.push(&Tag { payload: vec![9; 1 << 24].into(), ..largest.clone() }, WALL_MS);
    writer.note(&"n".repeat((1 << 20) + 1));
    let refused = place.runtime.block_on(writer.maintain(Instant::now())).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a tag of 16777216 bytes is too large, at most 16777215 are allowed"
    );
    place.runtime.block_on(writer.maintain(Instant::now())).unwrap();
    place.runtime.block_on(writer.close("{}")).unwrap();
    assert_eq!(read_tags(&mut place.reader(session)), [largest]);
    let long = place.journal.create(SessionId::new(0), "h".repeat((1 << 20) + 1), 0);
    assert!(place.runtime.block_on(long).is_err());
}

#[test]
fn times_unwrap_across_the_32_bit_border_in_any_file() {
    let border = 1i64 << 32;
    let tags: Vec<Tag> = (0..40)
        .map(|nth| keyframe(border - 400 + nth * 20 - if nth % 7 == 3 { 55 } else { 0 }, 10))
        .collect();
    for roll_bytes in [0, 1 << 20] {
        let place = Place::new(roll_bytes);
        let (session, _) = place.record(&tags, 3);
        fs::remove_file(place.journal.folder(session).index(1)).unwrap();
        assert_eq!(place.journal.recover(session).unwrap().rebuilt, 1);
        assert_eq!(read_tags(&mut place.reader(session)), tags);
    }
}
