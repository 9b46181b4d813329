//! The steps of the kill matrix without its kills: the sign of each must be seen. Or one whose
//! statement or message was renamed would be a kill at a late moment from then on, and nobody would
//! know.

use std::time::Instant;

use super::{
    look, start,
    steps::{
        FOUND,
        Load::{self, Heavy, Light, Live},
        READ_BACK, STEPS,
        Sign::{self, Line, Nth, Random, Request, Starting},
        is_step_of,
    },
};
use crate::support::{
    publisher::Pusher,
    pushing::journaled_frames,
    server::{Backend, PATIENCE, Server, eventually},
};

/// Seen at the end, after a kill and with a store whose tags prove nothing.
const LAST: [&str; 2] = [READ_BACK, FOUND];

#[test]
fn kill_matrix_signs_of_a_plain_server() {
    every_sign_is_seen(Backend::Plain);
}

#[test]
fn kill_matrix_signs_over_services() {
    every_sign_is_seen(Backend::Services);
}

fn every_sign_is_seen(backend: Backend) {
    let (mut server, _receiver, [light, heavy]) = start(backend);
    let (mut seen, mut unseen) = (0, Vec::new());
    for load in [Light, Heavy, Live] {
        let steps = steps_of(backend, load, &server);
        let from = server.logs.len();
        let source = if load == Light { &light } else { &heavy };
        let stream = format!("{load:?}");
        let mut pusher = Some(Pusher::connect(server.rtmp, &stream, 65536).accepted());
        pusher.as_mut().unwrap().send(&source.tags);
        // What is to come while the stream is live must come before its end.
        if load != Live {
            pusher.take().unwrap().finish();
        }
        let deadline = Instant::now() + PATIENCE;
        for (name, sign, before) in steps {
            match is_seen(&server, sign, before, from, deadline) {
                true => seen += 1,
                false => unseen.push(name),
            }
        }
        pusher.into_iter().for_each(Pusher::finish);
        // Or it would count for the next.
        look::wait_until_done(&server);
    }

    let mut pusher = Pusher::connect(server.rtmp, "found", 65536).accepted();
    pusher.send(&light.tags[..100]);
    eventually("frames in a journal", || (!journaled_frames(&server).is_empty()).then_some(()));
    server.kill();
    if let Some(s3) = &server.s3 {
        s3.set_tags_opaque(true);
    }
    server.launch();
    let last = |name: &str| LAST.contains(&name) && is_step_of(backend, name);
    for &(name, sign, _) in STEPS.iter().filter(|step| last(step.0)) {
        match is_seen(&server, sign, 0, 0, Instant::now() + PATIENCE) {
            true => seen += 1,
            false => unseen.push(name),
        }
    }
    look::wait_until_done(&server);
    assert!(unseen.is_empty(), "{backend:?}: no sign of {unseen:?}, {seen} others are seen");
    println!("kill matrix of {backend:?}: {seen} signs seen");
}

/// The steps of a push, and how often the request of each was made before.
fn steps_of(backend: Backend, load: Load, server: &Server) -> Vec<(&'static str, Sign, usize)> {
    let steps = STEPS
        .iter()
        .filter(|(name, _, of)| *of == load && !LAST.contains(name) && is_step_of(backend, name));
    let before = |sign| match (sign, &server.s3) {
        (Request(op), Some(s3)) => s3.count(op),
        _ => 0,
    };
    steps.map(|&(name, sign, _)| (name, sign, before(sign))).collect()
}

fn is_seen(server: &Server, sign: Sign, before: usize, from: usize, deadline: Instant) -> bool {
    let patience = deadline.saturating_duration_since(Instant::now());
    match sign {
        Line(parts) => server.logs.comes(parts, from, 1, patience),
        Nth(parts, nth) => server.logs.comes(parts, from, nth, patience),
        Request(op) => {
            let s3 = server.s3.as_ref().expect("a request to S3");
            while s3.count(op) <= before && Instant::now() < deadline {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            s3.count(op) > before
        }
        // Nothing to see.
        Random(_) | Starting(_) => true,
    }
}
