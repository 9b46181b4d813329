//! A push whose end nobody knows, because it was given up while data were left of it.

use super::*;

#[test]
fn what_is_left_of_a_push_that_was_given_up_is_stored() {
    for container in [Container::Mp4, Container::Flv, Container::Hls] {
        let house = House::new(|| WALL_MS + 1000);
        // Many parts: more than one turn is needed.
        let push = house.place.push_heavy(WALL_MS, 60, 4000);
        let known = house.ended("left", container, &push);
        while house.turn().is_some() {}
        let file = |id| house.runtime.block_on(house.test.db.media_file(id)).unwrap().unwrap();
        let whole = file(known).facts;

        let span = Span { to: Some(Span::unknown_end(0)), ..span(&push) };
        let id = house.ended_with("left", container, span);
        let turns = (0..1000).take_while(|_| house.turn().is_some()).count();
        assert_eq!(house.state(id), MediaFileState::Stored, "{container} after {turns} turns");
        let made = file(id).facts;
        assert_eq!(
            (made.video_frames, made.duration_ms, made.objects),
            (whole.video_frames, whole.duration_ms, whole.objects),
            "{container}"
        );
        house.assert_no_upload_is_open();
    }
}
