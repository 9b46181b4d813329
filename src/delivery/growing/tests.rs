//! Bodies made step by step are those made at once, wherever steps end and whatever is forgotten.

use proptest::prelude::*;

use super::*;
use crate::delivery::project::tests::{
    HLS, Place as Journals, Push, resumed::two_pushes_with_data, two_pushes,
};

const CONTAINERS: [Container; 3] = [Container::Flv, Container::Mp4, Container::Aac];

/// The file as it was when `decided` bytes of its last push were: `None` if it is complete.
fn view(pushes: &[Push], decided: Option<u64>) -> Vec<Span> {
    let last = pushes.len() - 1;
    let span = |(nth, push): (usize, &Push)| Span {
        session: push.session,
        from: 0,
        to: (nth < last || decided.is_none()).then_some(push.end),
    };
    pushes.iter().enumerate().map(span).collect()
}

fn open(place: &Journals, container: Container, spans: &[Span], decided: Option<u64>) -> Source {
    match decided {
        Some(decided) => Source::open_growing(&place.journal, container, spans, decided).unwrap(),
        None => Source::open(&place.journal, spans).unwrap(),
    }
}

fn causes(spans: &[Span]) -> Vec<String> {
    vec!["network".to_owned(); spans.len() - 1]
}

/// What the two walks over the whole file say: its shift, and the lengths of head and file.
fn plan(place: &Journals, container: Container, spans: &[Span]) -> Planned {
    let mut source = Source::open(&place.journal, spans).unwrap();
    FirstWalk::new(container, HLS, 0, spans, causes(spans))
        .walk(&mut source, MediaFacts::default(), None)
        .unwrap()
}

/// Makes a product as it grows: at each moment, so many bytes of the journal are decided and parts of
/// so many bytes are taken as long as there are any.
fn grow(
    place: &Journals,
    container: Container,
    moments: &[(&[Push], Option<u64>)],
    part: usize,
    shed_after: Option<usize>,
    reserve: u64,
) -> (Vec<u8>, Ends, Verification, Growing) {
    let last = view(moments.last().unwrap().0, None);
    let shift_ms = plan(place, container, &last).facts.shift_ms;
    let mut growing = Growing::new(container, 0, shift_ms);
    let mut body = Vec::new();
    let mut steps = 0;
    for (pushes, decided) in moments {
        let spans = view(pushes, *decided);
        loop {
            let mut source = open(place, container, &spans, *decided);
            growing.set_spans(&spans, causes(&spans));
            if decided.is_some() && growing.has(&mut source, part as u64).unwrap() < part as u64 {
                break;
            }
            let before = growing.place().clone();
            let made = growing.take(&mut source, part, Vec::new()).unwrap();
            if made.len() < part && decided.is_some() {
                growing.give_back(&made);
                break;
            }
            let again = growing.again(&mut source, &before, part, Vec::new()).unwrap();
            assert_eq!(again, made, "made again without being counted");
            steps += 1;
            if shed_after == Some(steps) {
                growing.shed();
            }
            let is_over = made.len() < part;
            body.extend(made);
            if is_over {
                break;
            }
        }
    }
    let mut source = open(place, container, &last, None);
    let facts = MediaFacts::default();
    let ends = growing.finish(&mut source, &last, causes(&last), facts, reserve).unwrap();
    let summary = growing.verification(Vec::new());
    (body, ends, summary, growing)
}

#[test]
fn a_body_made_while_it_grows_is_the_one_made_at_once() {
    for make_pushes in [two_pushes, two_pushes_with_data] {
        let place = Journals::new();
        let pushes = make_pushes(&place);
        grows_as_made_at_once(&place, &pushes);
    }
}

fn grows_as_made_at_once(place: &Journals, pushes: &[Push; 2]) {
    for container in CONTAINERS {
        let spans = view(pushes, None);
        let (whole, facts, summary) = place.make(container, &spans);
        let head_len = whole.len() as u64 - body_len(plan(place, container, &spans));
        let reserve = if container == Container::Aac { 0 } else { head_len + 4000 };
        for (part, shed_after) in [(100, None), (777, Some(3)), (5000, None)] {
            let first = pushes[0].end;
            let moments: [(&[Push], _); 5] = [
                (&pushes[..1], Some(first / 7)),
                (&pushes[..1], Some(first / 2)),
                (pushes, Some(0)),
                (pushes, Some(pushes[1].end / 3)),
                (pushes, None),
            ];
            let (body, ends, grown, _) =
                grow(place, container, &moments, part, shed_after, reserve);
            assert_eq!(ends.head.len(), reserve);
            assert!(ends.tail.is_empty());
            assert_eq!(body, whole[head_len as usize..], "{container} in parts of {part}");
            assert_eq!(grown, summary, "{container} in parts of {part}");
            assert_eq!(ends.facts, facts);
        }
    }
}

fn body_len(planned: Planned) -> u64 {
    let Body::Single(body) = planned.body else { panic!("one object") };
    let (head, tail) = body.into_ends();
    planned.total_len - (head.len() + tail.len())
}

#[test]
fn a_head_without_room_goes_behind_or_lists_less() {
    let place = Journals::new();
    let pushes = two_pushes(&place);
    let spans = view(&pushes, None);
    let moments: [(&[Push], _); 1] = [(&pushes, None)];
    let (body, ends, _, _) = grow(&place, Container::Mp4, &moments, 1000, None, 200);
    assert_eq!(ends.head.len(), 200);
    assert_eq!(&ends.tail.read_all()[4..8], b"moov");
    assert_eq!(body.len() as u64, body_len(plan(&place, Container::Mp4, &spans)));
    assert!(ends.facts.irregularities.iter().any(|remark| remark.contains("moov")));

    let whole = plan(&place, Container::Flv, &spans);
    let Body::Single(single) = whole.body else { panic!("one object") };
    let room = single.into_ends().0.len() - 40;
    let (_, ends, _, _) = grow(&place, Container::Flv, &moments, 1000, None, room);
    assert_eq!(ends.head.len(), room);
    assert!(ends.facts.irregularities.iter().any(|remark| remark.contains("key frame")));
}

#[test]
fn what_was_assumed_is_checked_at_the_end() {
    let place = Journals::new();
    let pushes = two_pushes(&place);
    let spans = view(&pushes, None);
    let mut growing = Growing::new(Container::Mp4, 0, 5);
    let mut source = open(&place, Container::Mp4, &spans, None);
    growing.set_spans(&spans, causes(&spans));
    while growing.take(&mut source, 1000, Vec::new()).unwrap().len() == 1000 {}
    let ended = growing.finish(&mut source, &spans, causes(&spans), <_>::default(), 4000);
    assert!(matches!(ended, Err(ProjectError::Broken(_))), "another shift");

    let shift_ms = plan(&place, Container::Mp4, &spans).facts.shift_ms;
    let mut growing = Growing::new(Container::Mp4, 0, shift_ms);
    growing.set_spans(&spans, causes(&spans));
    growing.take(&mut source, 1000, Vec::new()).unwrap();
    growing.shed();
    let ended = growing.finish(&mut source, &spans, causes(&spans), <_>::default(), 4000);
    assert!(matches!(ended, Err(ProjectError::Broken(_))), "not all of the body");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn steps_may_end_anywhere(
        cuts in prop::collection::vec(0.0..1.0f64, 0..6),
        part in 1usize..6000,
        shed_after in prop::option::of(1usize..20),
        container in 0usize..3,
    ) {
        let (place, container) = (Journals::new(), CONTAINERS[container]);
        let pushes = two_pushes(&place);
        let spans = view(&pushes, None);
        let (whole, _, summary) = place.make(container, &spans);
        let body_len = body_len(plan(&place, container, &spans));
        let mut cuts = cuts;
        cuts.sort_by(f64::total_cmp);
        let mut moments: Vec<(&[Push], Option<u64>)> = Vec::new();
        // Anywhere, also where no tag ends: a tag belongs to what is decided if it begins there.
        for cut in cuts {
            let at = |nth: usize, part: f64| Some((pushes[nth].end as f64 * part) as u64);
            moments.push(match cut < 0.5 {
                true => (&pushes[..1], at(0, cut * 2.0)),
                false => (&pushes[..], at(1, cut * 2.0 - 1.0)),
            });
        }
        moments.push((&pushes[..], None));
        let reserve = if container == Container::Aac { 0 } else { 20_000 };
        let (body, _, grown, _) = grow(&place, container, &moments, part, shed_after, reserve);
        prop_assert!(body == whole[whole.len() - body_len as usize..]);
        prop_assert_eq!(grown, summary);
    }
}
