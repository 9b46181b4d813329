//! The vectors of spec live-api 12 and the order in which a push domain is found.

use super::*;
use crate::domain::forbidden_stream::ForbiddenStream;

const NOW_S: i64 = 1_795_344_236;
/// 2026-11-23, `6B0418EC`.
const EXPIRY_S: i64 = 1_795_430_636;
const MD5: &str = "0a77540aef2de3351d87fab71cb7af1b";

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

fn keys(master: &str, backup: &str) -> PushKeys {
    PushKeys { enabled: true, master: master.into(), backup: backup.into(), delta_s: 0 }
}

/// `live.local` is the default; `own.example` has keys, `heir.example` has none, `off.example` is
/// forbidden.
fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (text, enabled, keys) in [
        ("live.local", true, Some(keys("PUSHKEYEXAMPLE", "BACKUPKEYEXAMPLE"))),
        ("own.example", true, Some(keys("OWN", ""))),
        ("heir.example", true, None),
        ("off.example", false, None),
    ] {
        let domain = PushDomain { enabled, ..PushDomain::new(name(text), keys, 0) };
        snapshot.push_domains.insert(name(text), domain);
    }
    snapshot
}

fn policy() -> Policy {
    Policy {
        default_domain: name("live.local"),
        trust_loopback: true,
        forbid_scope: ForbidScope::Path,
    }
}

fn far<'a>(app: &'a str, tc_url: &'a str, key: &'a str) -> PublishRequest<'a> {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let (peer, local) = (ip("198.51.100.7"), ip("203.0.113.1"));
    PublishRequest { app, tc_url, key, peer, local, is_forwarded: false }
}

fn near<'a>(tc_url: &'a str, key: &'a str) -> PublishRequest<'a> {
    let loopback = "127.0.0.1".parse().unwrap();
    PublishRequest { peer: loopback, local: loopback, ..far("live", tc_url, key) }
}

fn decide(request: PublishRequest<'_>) -> Result<Authorised, Refusal> {
    authorise(&snapshot(), &request, &policy(), NOW_S)
}

fn reason(request: PublishRequest<'_>) -> &'static str {
    decide(request).map_or_else(|refusal| refusal.reason(), |_| "accepted")
}

#[test]
fn the_vectors_of_the_specification_are_accepted() {
    for (secret, time) in [
        (MD5, "6B0418EC"),
        ("b635c3e6845f08ae2d00d1d7fbbfa66a", "6B0418EC"),
        ("3b8ac1fb802f7ad04b8ffa666b3c57e5", "6b0418ec"),
        ("b2dff6156727b38f9d7a337698b12e0959473deb168a12b53ca5d86b2ad97ab0", "6B0418EC"),
        ("0A77540AEF2DE3351D87FAB71CB7AF1B", "6B0418EC"),
    ] {
        let key = format!("livetest?txSecret={secret}&txTime={time}");
        let authorised = decide(far("live", "rtmp://live.local/live", &key)).unwrap();
        assert_eq!(authorised.path.to_string(), "live.local/live/livetest");
        assert_eq!(authorised.stream_param, key["livetest?".len()..]);
        assert!(authorised.signed);
    }
}

#[test]
fn wrong_signatures_are_refused_by_reason() {
    let url = "rtmp://live.local/live";
    let with = |param: &str| reason(far("live", url, &format!("livetest{param}")));
    assert_eq!(with(""), "unsigned");
    assert_eq!(with("?txTime=6B0418EC"), "unsigned");
    assert_eq!(with(&format!("?txSecret={MD5}")), "bad_time");
    for time in ["", "xyz", "+6B0418EC", "-1", "6B0418EC6B0418EC6B"] {
        assert_eq!(with(&format!("?txSecret={MD5}&txTime={time}")), "bad_time", "{time}");
    }
    for secret in ["", "0", "0a77540aef2de3351d87fab71cb7af1c", "é"] {
        assert_eq!(
            with(&format!("?txSecret={secret}&txTime=6B0418EC")),
            "bad_signature",
            "{secret}"
        );
    }
    // The digest covers the text of the time.
    assert_eq!(with(&format!("?txSecret={MD5}&txTime=6b0418ec")), "bad_signature");
    let other = format!("other?txSecret={MD5}&txTime=6B0418EC");
    assert_eq!(reason(far("live", url, &other)), "bad_signature");
}

#[test]
fn an_empty_backup_key_signs_nothing() {
    let time = "6B0418EC";
    let secret = crate::domain::push_url::tx_secret("", "s", time);
    let key = format!("s?txSecret={secret}&txTime={time}");
    assert_eq!(reason(far("live", "rtmp://own.example/live", &key)), "bad_signature");
}

#[test]
fn the_time_has_the_grace_of_the_domain() {
    let key = format!("livetest?txSecret={MD5}&txTime=6B0418EC");
    let mut snapshot = snapshot();
    let mut at = |delta_s: i64, now_s: i64| {
        let domain = snapshot.push_domains.get_mut(&name("live.local")).unwrap();
        domain.keys.as_mut().unwrap().delta_s = delta_s;
        authorise(&snapshot, &far("live", "", &key), &policy(), now_s)
    };
    assert!(at(0, EXPIRY_S).is_ok());
    assert_eq!(at(0, EXPIRY_S + 1), Err(SignatureError::Expired { ago_s: 1 }.into()));
    assert!(at(300, EXPIRY_S + 300).is_ok());
    assert!(at(300, EXPIRY_S + 301).is_err());
    assert!(at(-5, EXPIRY_S).is_ok());
}

#[test]
fn domains_are_found_in_order_and_only_the_host_falls_back() {
    let found = |app: &str, url: &str, key: &str| {
        resolve(&snapshot(), &far(app, url, key), &policy()).map(|domain| domain.name.to_string())
    };
    let ok = |text: &str| Ok(text.to_owned());
    for host in [
        "",
        "rtmp://10.0.0.1:1935/live",
        "rtmp://[::1]:1935/live",
        "rtmp://localhost/live",
        "rtmp://nowhere.example/live",
        "rtmp://in valid/live",
        "nonsense",
        "rtmp://own.example.evil/live",
    ] {
        assert_eq!(found("live", host, "s"), ok("live.local"), "{host}");
    }
    for host in [
        "rtmp://own.example/live",
        "rtmp://OWN.example.:1935/live",
        "rtmps://u@own.example",
        "rtmp://own.example?x",
    ] {
        assert_eq!(found("live", host, "s"), ok("own.example"), "{host}");
    }
    assert_eq!(
        found("live", "rtmp://own.example/live", "s?vhost=heir.example"),
        ok("heir.example")
    );
    assert_eq!(
        found("live", "rtmp://own.example/live?domain=HEIR.example.", "s"),
        ok("heir.example")
    );
    assert_eq!(
        found("live?vhost=heir%2Eexample", "rtmp://own.example/live", "s?a=b"),
        ok("heir.example")
    );
    assert_eq!(
        found(
            "live?vhost=heir.example",
            "rtmp://x/?vhost=heir.example:1935",
            "s?domain=heir.example"
        ),
        ok("heir.example")
    );
    assert_eq!(found("live", "rtmp://own.example/live", "s?vhost=&domain="), ok("own.example"));
    // Explicit names never fall back, not even addresses.
    for (text, named) in [
        ("nowhere.example", "nowhere.example"),
        ("localhost", "localhost"),
        ("1.2.3.4", "1.2.3.4"),
        ("a b", "a b"),
    ] {
        assert_eq!(
            found("live", "rtmp://own.example/live", &format!("s?vhost={text}")),
            Err(Refusal::UnknownDomain(named.to_owned()))
        );
    }
    assert_eq!(
        found("live", "rtmp://h/live?vhost=own.example", "s?vhost=heir.example"),
        Err(Refusal::ConflictingDomains("heir.example".into(), "own.example".into()))
    );
    let mut gone = snapshot();
    gone.push_domains.remove(&name("live.local"));
    let refusal = resolve(&gone, &far("live", "rtmp://x/live", "s"), &policy()).unwrap_err();
    assert_eq!(refusal, Refusal::UnknownDomain("live.local".into()));
}

#[test]
fn unsigned_publishers_are_trusted_on_this_machine_only() {
    let both = |url: &str| reason(near(url, "s"));
    assert_eq!(both("rtmp://127.0.0.1/live"), "accepted");
    assert_eq!(both("rtmp://heir.example/live"), "accepted");
    assert_eq!(both("rtmp://own.example/live"), "unsigned");
    assert!(!decide(near("", "s")).unwrap().signed);

    let mapped = "::ffff:127.0.0.1".parse().unwrap();
    assert_eq!(reason(PublishRequest { peer: mapped, local: mapped, ..near("", "s") }), "accepted");
    let far_ip = far("", "", "").peer;
    assert_eq!(reason(PublishRequest { peer: far_ip, ..near("", "s") }), "unsigned");
    assert_eq!(reason(PublishRequest { local: far_ip, ..near("", "s") }), "unsigned");
    let distrust = Policy { trust_loopback: false, ..policy() };
    assert!(authorise(&snapshot(), &near("", "s"), &distrust, NOW_S).is_err());
    // A signature that is given is checked.
    assert_eq!(reason(near("", "s?txSecret=00&txTime=6B0418EC")), "bad_signature");
}

#[test]
fn a_domain_without_keys_uses_those_of_the_default_domain() {
    let key = format!("livetest?txSecret={MD5}&txTime=6B0418EC");
    assert_eq!(reason(far("live", "rtmp://heir.example/live", &key)), "accepted");
    assert_eq!(reason(far("live", "rtmp://own.example/live", &key)), "bad_signature");
    let mut bare = snapshot();
    bare.push_domains.get_mut(&name("live.local")).unwrap().keys = None;
    let refusal = authorise(&bare, &far("live", "", &key), &policy(), NOW_S).unwrap_err();
    assert_eq!(refusal.reason(), "no_key");
}

#[test]
fn keys_that_are_switched_off_ask_for_nothing() {
    let mut open = snapshot();
    open.push_domains.get_mut(&name("live.local")).unwrap().keys.as_mut().unwrap().enabled = false;
    let signed =
        |key: &str| authorise(&open, &far("live", "", key), &policy(), NOW_S).unwrap().signed;
    assert!(!signed("livetest"));
    assert!(!signed("livetest?txSecret=00&txTime=zz"));
    assert!(signed(&format!("livetest?txSecret={MD5}&txTime=6B0418EC")));
}

#[test]
fn disabled_domains_and_bad_names_are_refused() {
    assert_eq!(reason(near("rtmp://off.example/live", "s")), "disabled_domain");
    assert_eq!(reason(near("", "?a=b")), "invalid_name");
    assert_eq!(reason(near("", "a\u{7}b")), "invalid_name");
    assert_eq!(reason(PublishRequest { app: "/", ..near("", "s") }), "invalid_name");
    assert_eq!(
        reason(PublishRequest { app: "?vhost=own.example", ..near("", "s") }),
        "invalid_name"
    );
    let authorised =
        decide(PublishRequest { app: "a/b/?vhost=heir.example", ..near("", "s?x?y") }).unwrap();
    assert_eq!(authorised.path.to_string(), "heir.example/a/b/s");
    assert_eq!(authorised.stream_param, "x?y");
}

#[test]
fn what_a_balancer_says_is_not_taken_for_this_machine() {
    assert!(decide(near("", "livetest")).is_ok());
    assert_eq!(reason(PublishRequest { is_forwarded: true, ..near("", "livetest") }), "unsigned");
}

proptest::proptest! {
    #[test]
    fn any_text_gets_an_answer(app: String, url: String, key: String) {
        let _ = decide(near(&url, &key));
        let _ = decide(far(&app, &format!("rtmp://{url}"), &format!("s?txSecret={key}&txTime={url}&vhost={app}")));
    }
}

#[test]
fn a_forbidden_stream_is_refused_until_its_ban_is_over() {
    let mut snapshot = snapshot();
    let request = near("rtmp://live.local/live", "s");
    let path = authorise(&snapshot, &request, &policy(), NOW_S).unwrap().path;
    snapshot.forbidden_streams.push(ForbiddenStream {
        path,
        reason: String::new(),
        resume_ms: (NOW_S + 1) * 1000,
        created_ms: 0,
    });
    let refused = authorise(&snapshot, &request, &policy(), NOW_S).unwrap_err();
    assert_eq!(refused.reason(), "forbidden");
    assert!(authorise(&snapshot, &request, &policy(), NOW_S + 1).is_ok());
}
