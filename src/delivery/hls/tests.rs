//! Products that are made while their journal grows, against the same made at once.

mod stream;

use std::{cell::Cell, collections::BTreeMap};

use proptest::{prelude::*, test_runner::TestRunner};

use super::*;
use crate::{
    delivery::project::Projection,
    domain::{media_file::MediaFacts, recording::Span, verification::Verification},
    media::sample::Track,
};

use stream::{Item, Place, Push};

/// Objects by name, and what is said of them.
#[derive(Debug, PartialEq)]
struct Product {
    objects: BTreeMap<String, Vec<u8>>,
    /// Names in the order in which they were completed.
    order: Vec<String>,
    facts: MediaFacts,
    summary: Verification,
}

/// What happened on the way.
#[derive(Debug, Default)]
struct Way {
    restarts: usize,
    /// The playlists of the growing file.
    playlists: Vec<String>,
    /// Objects that were completed before the end of the file.
    early: usize,
}

fn settings(segment_type: SegmentType) -> HlsSettings {
    HlsSettings { segment_ms: 1000, segment_type, live_playlist: true }
}

fn causes(spans: &[Span]) -> Vec<String> {
    vec!["network".to_owned(); spans.len().saturating_sub(1)]
}

fn row() -> MediaFacts {
    MediaFacts { start_ms: stream::WALL_MS, ..MediaFacts::default() }
}

fn at_once(place: &Place, spans: &[Span], hls: HlsSettings) -> Result<Product, ProjectError> {
    let (journal, causes) = (&place.journal, causes(spans));
    let mut projection = Projection::open(journal, Container::Hls, spans, causes, row(), hls)?;
    let mut store = Store::default();
    while store.take(projection.next_block(3000)?) {}
    let facts = projection.facts().clone();
    Ok(store.product(facts, projection.finish(Vec::new())))
}

/// What a driver keeps.
#[derive(Default)]
struct Store {
    open: Option<(String, Vec<u8>)>,
    objects: BTreeMap<String, Vec<u8>>,
    order: Vec<String>,
    way: Way,
}

impl Store {
    /// False if no more blocks come now.
    fn take(&mut self, block: Block) -> bool {
        match block {
            Block::Bytes { object, bytes } => {
                let open = self.open.get_or_insert_with(|| (object.name(), Vec::new()));
                assert_eq!(open.0, object.name(), "two objects at a time");
                open.1.extend_from_slice(&bytes);
            }
            Block::EndOfObject => {
                let (name, bytes) = self.open.take().unwrap();
                self.order.push(name.clone());
                self.objects.insert(name, bytes);
            }
            Block::Restart => {
                assert!(self.open.is_none());
                self.order.clear();
                self.way.restarts += 1;
            }
            Block::Playlist { bytes } => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                self.check_growing(&text);
                self.way.playlists.push(text);
            }
            Block::Starved | Block::End => return false,
        }
        true
    }

    /// Every segment of the playlist is there, and none is missing.
    fn check_growing(&self, text: &str) {
        let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        assert_eq!(playlist.playlist_type, Some(m3u8_rs::MediaPlaylistType::Event));
        assert_eq!((playlist.target_duration, playlist.end_list), (3, false));
        for (number, segment) in playlist.segments.iter().enumerate() {
            assert_eq!(segment.uri.split('.').next(), Some(number.to_string().as_str()));
            assert!(self.objects.contains_key(&number.to_string()), "{text}");
            assert!(segment.duration <= 3.0);
            if let Some(map) = &segment.map {
                let init = map.uri.strip_suffix(".mp4").unwrap();
                assert!(self.objects.contains_key(init), "{text}");
            }
        }
        if let Some(before) = self.way.playlists.last() {
            let count = |text: &str| text.matches("#EXTINF").count();
            assert!(count(text) >= count(before), "a playlist became shorter");
        }
    }

    fn product(self, facts: MediaFacts, summary: Verification) -> Product {
        Product { objects: self.objects, order: self.order, facts, summary }
    }
}

/// Where the file ends at each step: which push, and how much of it in thousandths; and how many
/// blocks are taken at most before the next step.
type Steps = [(usize, usize, usize)];

fn stepped(
    place: &Place,
    pushes: &[Push],
    hls: HlsSettings,
    steps: &Steps,
) -> Result<(Product, Way), ProjectError> {
    let whole: Vec<Span> = pushes.iter().map(Push::span).collect();
    let mut growing = GrowingHls::new(hls, row().start_ms.div_euclid(1000));
    let mut store = Store::default();
    for &(push, part, blocks) in steps {
        let mut spans = whole[..=push].to_vec();
        spans[push].to = None;
        let tags = &pushes[push].positions;
        let decided = tags[(tags.len() - 1) * part / 1000];
        let mut source =
            Source::open_growing(&place.journal, Container::Hls, &spans, decided).unwrap();
        assert!(!source.is_final());
        growing.set_spans(&spans, causes(&spans));
        growing.look_ahead(&mut source)?;
        for _ in 0..blocks {
            if !store.take(growing.next_block(&mut source, 700)?) {
                break;
            }
        }
    }
    store.way.early = store.order.len();
    let mut source = Source::open(&place.journal, &whole).unwrap();
    growing.set_spans(&whole, causes(&whole));
    growing.look_ahead(&mut source)?;
    let facts = growing.finish(&mut source, row())?;
    while store.take(growing.next_block(&mut source, 5000)?) {}
    let way = std::mem::take(&mut store.way);
    Ok((store.product(facts, growing.verification(Vec::new())), way))
}

/// Made in these steps it is the same as made at once.
fn check(pushes: &[Vec<Item>], segment_type: SegmentType, steps: &Steps) -> Way {
    let place = Place::new();
    let pushes: Vec<Push> = pushes.iter().map(|items| place.push(items)).collect();
    let spans: Vec<Span> = pushes.iter().map(Push::span).collect();
    let hls = settings(segment_type);
    let whole = at_once(&place, &spans, hls);
    match (whole, stepped(&place, &pushes, hls, steps)) {
        (Ok(whole), Ok((live, way))) => {
            assert_eq!(live.order, whole.order);
            assert!(live.objects == whole.objects, "other bytes");
            assert_eq!((live.facts, live.summary), (whole.facts, whole.summary));
            way
        }
        (Err(whole), Err(live)) => {
            assert_eq!(whole.to_string(), live.to_string());
            Way::default()
        }
        (whole, live) => panic!("{:?} {:?}", whole.err(), live.err()),
    }
}

fn every_50th(push: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (1..20).map(move |nth| (push, nth * 50, usize::MAX))
}

#[test]
fn segments_are_made_as_they_are_complete() {
    let items = stream::usual(0..10_000);
    for segment_type in SegmentType::ALL {
        let steps: Vec<_> = every_50th(0).collect();
        let way = check(std::slice::from_ref(&items), segment_type, &steps);
        assert_eq!(way.restarts, 0);
        // The tenth is complete at the end; fragments wait for the one behind them.
        let least = if segment_type == SegmentType::Ts { 8 } else { 7 };
        assert!(way.early >= least, "{} objects", way.early);
        assert!(way.playlists.len() >= 4, "{} playlists", way.playlists.len());
    }
}

#[test]
fn a_track_that_begins_late_is_announced_from_the_beginning() {
    let late = |item: &Item| item.track == Track::Video || item.at_ms >= 7000;
    let mut items = stream::usual(0..10_000);
    items.retain(late);
    for segment_type in SegmentType::ALL {
        let steps: Vec<_> = every_50th(0).collect();
        let way = check(&[items.clone()], segment_type, &steps);
        assert_eq!(way.restarts, 1, "{segment_type:?}");
        assert!(way.early >= 7, "it goes on while live: {}", way.early);
    }
}

#[test]
fn a_product_is_made_anew_a_few_times_at_most() {
    // The clock is set back 9 s again and again: more and more must be added to times.
    let mut items = Vec::new();
    for nth in 0..8 {
        let mut run = stream::usual(0..3000);
        run.iter_mut().for_each(|item| {
            item.time_ms = item.at_ms;
            item.at_ms += nth * 3000;
            item.cts_ms = -4000 * (nth as i32 + 1);
        });
        items.extend(run);
    }
    let steps: Vec<_> = (1..200).map(|nth| (0, nth * 5, usize::MAX)).collect();
    let way = check(&[items], SegmentType::Fmp4, &steps);
    assert_eq!(way.restarts, RESTARTS_MAX as usize + 1, "the last one waits for the end");
}

#[test]
fn every_push_has_its_own_shift() {
    let pushes = [stream::usual(60_000..64_000), stream::usual(0..4000)];
    for segment_type in SegmentType::ALL {
        let steps: Vec<_> = every_50th(0).collect();
        let way = check(&pushes, segment_type, &steps);
        assert_eq!(way.restarts, 0);
    }
    let steps: Vec<_> = every_50th(0).chain(every_50th(1)).collect();
    assert_eq!(check(&pushes, SegmentType::Ts, &steps).restarts, 0);
}

/// Made all the same, its segments would have what follows in place of what is gone.
#[test]
fn no_segment_is_made_of_a_journal_that_has_changed_since_it_was_looked_at() {
    for segment_type in SegmentType::ALL {
        let place = Place::new();
        let push = place.push(&stream::usual(0..10_000));
        let spans = [push.span()];
        let mut growing = GrowingHls::new(settings(segment_type), 0);
        let mut source = Source::open(&place.journal, &spans).unwrap();
        growing.set_spans(&spans, Vec::new());
        growing.look_ahead(&mut source).unwrap();
        growing.finish(&mut source, row()).unwrap();
        let folder = place.journal.path(spans[0].session);
        assert!(folder.join("00000003.flv").exists());
        for name in ["00000002.flv", "00000002.idx"] {
            std::fs::remove_file(folder.join(name)).unwrap();
        }
        let mut source = Source::open(&place.journal, &spans).unwrap();
        let mut store = Store::default();
        let error = loop {
            match growing.next_block(&mut source, 5000) {
                Ok(block) => assert!(store.take(block), "{segment_type:?}: all was made"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ProjectError::Broken(CHANGED)), "{error}");
    }
}

#[test]
fn a_push_that_goes_on_is_looked_at_in_whatever_steps() {
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() };
    let (restarts, early) = (Cell::new(0), Cell::new(0));
    let step = (0usize..1000, prop_oneof![Just(usize::MAX), 0usize..12]);
    let strategy = (stream::any_push(), prop::collection::vec(step, 0..12), any::<bool>());
    TestRunner::new(config)
        .run(&strategy, |(items, steps, is_ts)| {
            let segment_type = if is_ts { SegmentType::Ts } else { SegmentType::Fmp4 };
            let mut steps: Vec<_> = steps.into_iter().map(|(p, blocks)| (0, p, blocks)).collect();
            steps.sort_unstable();
            let way = check(&[items], segment_type, &steps);
            restarts.set(restarts.get() + way.restarts);
            early.set(early.get() + way.early);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    // Chance decides how often; never would say that nothing was tested.
    assert!(restarts.get() > 0 && early.get() > 50, "{restarts:?} {early:?}");
}
