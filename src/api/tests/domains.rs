//! Domains, push keys, bans, and what is answered of streams.

use serde_json::json;

use super::client::*;
use crate::{
    db::Db,
    domain::{
        ids::{DecimalId, SessionId},
        session::{EndReason, Session},
        stream::{AppName, DomainName, StreamName, StreamPath},
    },
};

#[tokio::test]
async fn a_domain_from_adding_to_deleting() {
    for server in servers().await {
        let push = json!({ "DomainName": "Push.Example.com", "DomainType": 0 });
        server.ok("AddLiveDomain", push.clone()).await;
        assert_eq!(
            server.refused("AddLiveDomain", push.clone()).await,
            "FailedOperation.DomainAdded"
        );
        let play = json!({ "DomainName": "play.example.com", "DomainType": "1", "PlayType": 2, "IsDelayLive": 1 });
        server.ok("AddLiveDomain", play).await;
        let known = server.state.snapshot.load_full();
        assert_eq!(
            known.push_domains.len(),
            1,
            "in force when answered; a playback domain is none"
        );

        let info =
            server.ok("DescribeLiveDomain", json!({ "DomainName": "play.example.com" })).await;
        assert_eq!(
            info["DomainInfo"],
            json!({
                "Name": "play.example.com", "Type": 1, "Status": 1, "CreateTime": "2026-11-22 18:43:56",
                "BCName": 1, "TargetDomain": "play.example.com", "PlayType": 2, "IsDelayLive": 1,
                "CurrentCName": "play.example.com", "RentTag": 0,
                "RentExpireTime": "0000-00-00 00:00:00", "IsMiniProgramLive": 0,
            })
        );
        let all = server.ok("DescribeLiveDomains", json!({})).await;
        assert_eq!((&all["AllCount"], &all["CreateLimitCount"]), (&json!(2), &json!(98)));
        assert_eq!(all["PlayTypeCount"], json!([0, 1, 0]));
        let push_only = server
            .ok("DescribeLiveDomains", json!({ "DomainType": 0, "DomainPrefix": "push" }))
            .await;
        assert_eq!(push_only["DomainList"][0]["Name"], "push.example.com");
        assert_eq!(push_only["AllCount"], 1);

        server.ok("ForbidLiveDomain", json!({ "DomainName": "push.example.com" })).await;
        let known = server.state.snapshot.load_full();
        assert!(known.push_domains.values().all(|domain| !domain.enabled));
        let off = server.ok("DescribeLiveDomains", json!({ "DomainStatus": 0 })).await;
        assert_eq!(off["AllCount"], 1);
        server.ok("EnableLiveDomain", json!({ "DomainName": "push.example.com" })).await;
        server.ok("EnableLiveDomain", json!({ "DomainName": "play.example.com" })).await;
        server.ok("DeleteLiveDomain", push.clone()).await;
        assert!(server.state.snapshot.load().push_domains.is_empty());
        assert_eq!(
            server.refused("DeleteLiveDomain", push).await,
            "ResourceNotFound.DomainNotExist"
        );
        for action in ["EnableLiveDomain", "ForbidLiveDomain"] {
            assert_eq!(
                server.refused(action, json!({ "DomainName": "push.example.com" })).await,
                "ResourceNotFound"
            );
        }
        for (extra, code) in [
            (json!({ "DomainName": "a b", "DomainType": 0 }), "InvalidParameter.DomainFormatError"),
            (
                json!({ "DomainName": "10.0.0.1", "DomainType": 0 }),
                "InvalidParameter.DomainFormatError",
            ),
            (json!({ "DomainName": "a.example.com" }), "MissingParameter"),
            (json!({ "DomainName": "a.example.com", "DomainType": 2 }), "InvalidParameterValue"),
            (
                json!({ "DomainName": "a.example.com", "DomainType": 1, "PlayType": 4 }),
                "InvalidParameterValue",
            ),
            (
                json!({ "DomainName": "a.example.com", "DomainType": 0, "VerifyOwnerType": "x" }),
                "InvalidParameterValue",
            ),
        ] {
            assert_eq!(server.refused("AddLiveDomain", extra.clone()).await, code, "{extra}");
        }
        for extra in
            [json!({ "PageSize": 9 }), json!({ "PageNum": 0 }), json!({ "DomainStatus": 2 })]
        {
            assert_eq!(
                server.refused("DescribeLiveDomains", extra.clone()).await,
                "InvalidParameterValue",
                "{extra}"
            );
        }
    }
}

/// What is stored must be readable: one row of them once kept the whole configuration from being read.
#[tokio::test]
async fn no_name_is_stored_that_reads_back_as_another() {
    for server in servers().await {
        let now_s = server.state.now_ms() / 1000;
        for name in
            ["..", ".\u{ad}", "a..", "b。。", "live.local:1935.", "live.local:80\u{ad}", "a..b"]
        {
            let calls = [
                ("AddLiveDomain", json!({ "DomainName": name, "DomainType": 0 })),
                ("AddLiveDomain", json!({ "DomainName": name, "DomainType": 1 })),
                ("CreateLiveRecordRule", json!({ "DomainName": name, "TemplateId": 1 })),
                (
                    "CreateRecordTask",
                    json!({
                        "DomainName": name, "AppName": "live", "StreamName": "s", "EndTime": now_s + 600,
                    }),
                ),
                (
                    "ForbidLiveStream",
                    json!({
                        "DomainName": name, "AppName": "live", "StreamName": "s",
                    }),
                ),
            ];
            for (action, parameters) in calls {
                let code = server.refused(action, parameters).await;
                assert!(code.starts_with("InvalidParameter"), "{action} {name:?}: {code}");
            }
            let legacy = json!({ "DomainName": name, "StreamName": "s" });
            assert!(
                server.refused("CreateLiveRecord", legacy).await.starts_with("InvalidParameter")
            );
        }
        for name in ["-a-", "_", "0x7f.1", "2130706433", "999.1.1.1", "localhost", "[::1]"] {
            let domain = json!({ "DomainName": name, "DomainType": 0 });
            let code = server.refused("AddLiveDomain", domain).await;
            assert_eq!(code, "InvalidParameter.DomainFormatError", "{name}");
            let legacy = json!({ "DomainName": name, "StreamName": "s" });
            assert!(
                server.refused("CreateLiveRecord", legacy).await.starts_with("InvalidParameter")
            );
        }
        server.state.reload().await.unwrap();
    }
}

/// Whoever edits the database: one row that cannot be read must not stop the others.
#[tokio::test]
async fn a_row_that_cannot_be_read_is_left_out() {
    for server in servers().await {
        let good = json!({ "DomainName": "push.example.com", "DomainType": 0 });
        server.ok("AddLiveDomain", good).await;
        let copy = "INSERT INTO push_domain (name, enabled, own_keys, keys_on, master_key, backup_key, \
            delta_s, created_ms, is_delay_live, is_mini_program) SELECT '..', enabled, own_keys, keys_on, \
            master_key, backup_key, delta_s, created_ms, is_delay_live, is_mini_program FROM push_domain";
        sqlx::query(copy).execute(server.state.db.pool()).await.unwrap();
        server.state.reload().await.unwrap();
        assert_eq!(server.state.snapshot.load().push_domains.len(), 1);
        assert_eq!(server.ok("DescribeLiveDomains", json!({})).await["AllCount"], 1);
    }
}

#[tokio::test]
async fn there_is_an_end_to_adding_domains() {
    let server = servers().await.remove(0);
    for n in 0..100 {
        let name = format!("d{n}.example.com");
        server.ok("AddLiveDomain", json!({ "DomainName": name, "DomainType": 0 })).await;
    }
    let more = json!({ "DomainName": "more.example.com", "DomainType": 0 });
    assert_eq!(server.refused("AddLiveDomain", more).await, "FailedOperation.HostOutLimit");
    let page = server.ok("DescribeLiveDomains", json!({ "PageSize": 40, "PageNum": 3 })).await;
    assert_eq!(page["DomainList"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn keys_are_those_in_force_and_change_one_by_one() {
    for server in servers().await {
        crate::db::seed::run(&server.state.db, &DomainName::parse("live.local").unwrap(), 1)
            .await
            .unwrap();
        let domain = json!({ "DomainName": "push.example.com" });
        assert_eq!(
            server.refused("DescribeLivePushAuthKey", domain.clone()).await,
            "ResourceNotFound.PushDomainNoRecord"
        );
        server
            .ok("AddLiveDomain", json!({ "DomainName": "push.example.com", "DomainType": 0 }))
            .await;
        let default =
            server.ok("DescribeLivePushAuthKey", json!({ "DomainName": "live.local" })).await;
        let inherited = server.ok("DescribeLivePushAuthKey", domain.clone()).await;
        let master = &default["PushAuthKeyInfo"]["MasterAuthKey"];
        assert_eq!(master.as_str().unwrap().len(), 32);
        assert_eq!(&inherited["PushAuthKeyInfo"]["MasterAuthKey"], master);
        let change =
            json!({ "DomainName": "push.example.com", "BackupAuthKey": "B2", "AuthDelta": 300 });
        server.ok("ModifyLivePushAuthKey", change).await;
        let change = json!({ "DomainName": "push.example.com", "Enable": 0 });
        server.ok("ModifyLivePushAuthKey", change).await;
        assert_eq!(
            server.ok("DescribeLivePushAuthKey", domain).await["PushAuthKeyInfo"],
            json!({
                "DomainName": "push.example.com", "Enable": 0, "MasterAuthKey": master,
                "BackupAuthKey": "B2", "AuthDelta": 300,
            })
        );
        let known = server.state.snapshot.load_full();
        let keys = known.push_domains[&DomainName::parse("push.example.com").unwrap()].keys.clone();
        assert!(
            keys.is_some_and(|keys| !keys.enabled && keys.delta_s == 300),
            "in force when answered"
        );
        let other = json!({ "DomainName": "live.local" });
        let others = server.ok("DescribeLivePushAuthKey", other).await;
        assert_eq!(others["PushAuthKeyInfo"], default["PushAuthKeyInfo"], "nobody else's changed");
        for extra in [
            json!({ "DomainName": "live.local", "Enable": 2 }),
            json!({ "DomainName": "live.local", "MasterAuthKey": "with space" }),
            json!({ "DomainName": "live.local", "MasterAuthKey": "k".repeat(257) }),
            json!({ "DomainName": "live.local", "AuthDelta": u64::MAX }),
        ] {
            assert_eq!(
                server.refused("ModifyLivePushAuthKey", extra.clone()).await,
                "InvalidParameterValue",
                "{extra}"
            );
        }
    }
}

#[tokio::test]
async fn a_ban_is_seen_and_ended() {
    for server in servers().await {
        let stream =
            json!({ "DomainName": "push.example.com", "AppName": "live", "StreamName": "s" });
        let with = |extra: serde_json::Value| {
            let mut all = stream.clone();
            all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            all
        };
        let state = |word: &str| json!(word);
        assert_eq!(
            server.ok("DescribeLiveStreamState", stream.clone()).await["StreamState"],
            state("inactive")
        );
        server.ok("DropLiveStream", stream.clone()).await;
        server.ok("ResumeLiveStream", stream.clone()).await;
        server.ok("ForbidLiveStream", with(json!({ "Reason": "test" }))).await;
        server.ok("ForbidLiveStream", with(json!({ "ResumeTime": "2026-12-01T00:00:00Z" }))).await;
        assert_eq!(
            server.ok("DescribeLiveStreamState", stream.clone()).await["StreamState"],
            state("forbid")
        );
        assert_eq!(
            server.state.snapshot.load().forbidden_streams.len(),
            1,
            "in force when answered"
        );
        assert_eq!(
            server.ok("DescribeLiveForbidStreamList", json!({ "StreamName": "s" })).await["ForbidStreamList"],
            json!([{
                "StreamName": "s", "AppName": "live", "DomainName": "push.example.com",
                "CreateTime": "2026-11-22T10:43:56Z", "ExpireTime": "2026-12-01T00:00:00Z",
            }])
        );
        // By its name alone, in whatever domain and application.
        let elsewhere = json!({ "DomainName": "b.example.com", "AppName": "x", "StreamName": "s" });
        assert_eq!(
            server.ok("DescribeLiveStreamState", elsewhere.clone()).await["StreamState"],
            state("forbid")
        );
        server.ok("ResumeLiveStream", elsewhere).await;
        assert_eq!(
            server.ok("DescribeLiveStreamState", stream.clone()).await["StreamState"],
            state("inactive")
        );
        for extra in [
            json!({ "ResumeTime": "2026-11-22T10:43:56Z" }),
            json!({ "ResumeTime": "2027-03-01T00:00:00Z" }),
            json!({ "ResumeTime": "tomorrow" }),
            json!({ "Reason": "r".repeat(2049) }),
        ] {
            assert_eq!(
                server.refused("ForbidLiveStream", with(extra.clone())).await,
                "InvalidParameterValue",
                "{extra}"
            );
        }
        for action in
            ["ForbidLiveStream", "ResumeLiveStream", "DropLiveStream", "DescribeLiveStreamState"]
        {
            let nameless = json!({ "DomainName": "push.example.com", "AppName": "live" });
            assert_eq!(server.refused(action, nameless).await, "MissingParameter", "{action}");
        }
    }
}

#[tokio::test]
async fn pushes_that_are_over_are_listed() {
    for server in servers().await {
        for (n, (stream, ip)) in
            [("first", "203.0.113.9"), ("second", "192.168.0.9"), ("Second", "::1")]
                .into_iter()
                .enumerate()
        {
            let started_ms = NOW_S * 1000 - 3_600_000 + n as i64 * 60_000;
            let session = Session {
                id: SessionId::new(started_ms),
                node_id: "n".to_owned(),
                sequence: DecimalId(n as u64 + 1),
                path: StreamPath {
                    domain: DomainName::parse("push.example.com").unwrap(),
                    app: AppName::parse("live").unwrap(),
                    stream: StreamName::parse(stream).unwrap(),
                },
                stream_param: String::new(),
                user_ip: ip.to_owned(),
                node_ip: String::new(),
                started_ms,
                signed: true,
            };
            let mut tx = server.state.db.begin().await.unwrap();
            Db::insert_session(&mut tx, &session).await.unwrap();
            let ended_ms = started_ms + 90_500;
            Db::end_session(&mut tx, session.id, ended_ms, EndReason::Unpublished, (640, 352))
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        let day = json!({ "StartTime": "2026-11-22T00:00:00Z", "EndTime": "2026-11-22T10:43:00Z" });
        let with = |extra: serde_json::Value| {
            let mut all = day.clone();
            all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            all
        };
        let list = server
            .ok(
                "DescribeLiveStreamPublishedList",
                with(json!({ "DomainName": "push.example.com", "StreamName": "irs" })),
            )
            .await;
        assert_eq!(
            list["PublishInfo"],
            json!([{
                "AppName": "live", "DomainName": "push.example.com", "StreamName": "first",
                "StreamStartTime": "2026-11-22T09:43:56Z", "StreamEndTime": "2026-11-22T09:45:26Z",
                "StopReason": "unpublished", "Duration": 90, "ClientIp": "203.0.113.9", "Resolution": "640*352",
            }])
        );
        assert_eq!(
            (&list["TotalNum"], &list["TotalPage"], &list["PageSize"]),
            (&json!(1), &json!(1), &json!(10))
        );
        let events = server
            .ok("DescribeLiveStreamEventList", with(json!({ "PageSize": 2, "IsFilter": 1 })))
            .await;
        assert_eq!((&events["TotalNum"], &events["TotalPage"]), (&json!(3), &json!(2)));
        assert_eq!(events["EventList"][0]["StreamName"], "Second");
        assert_eq!(events["EventList"][0]["ClientIp"], "-");
        let exact = json!({ "StreamName": "second", "IsStrict": 1, "IsAsc": 1 });
        assert_eq!(server.ok("DescribeLiveStreamEventList", with(exact)).await["TotalNum"], 1);
        let wild = json!({ "StreamName": "%" });
        assert_eq!(server.ok("DescribeLiveStreamEventList", with(wild)).await["TotalNum"], 0);
        let backwards =
            json!({ "StartTime": "2026-11-22T10:00:00Z", "EndTime": "2026-11-22T09:00:00Z" });
        assert_eq!(
            server.refused("DescribeLiveStreamEventList", backwards).await,
            "InvalidParameterValue"
        );
        assert_eq!(
            server.refused("DescribeLiveStreamPublishedList", day.clone()).await,
            "MissingParameter"
        );

        let count = json!({ "LiveType": "NormalLive", "StartTime": "2026-11-22T09:00:00Z", "EndTime": "2026-11-22 18:00:00" });
        let counted = server.ok("DescribeConcurrentRecordStreamNum", count).await;
        assert_eq!(counted["DataInfoList"].as_array().unwrap().len(), 12);
        assert_eq!(counted["DataInfoList"][0], json!({ "Time": "2026-11-22T09:00:00Z", "Num": 0 }));
        assert_eq!(
            server.ok("DescribeLiveStreamOnlineList", json!({})).await["OnlineInfo"],
            json!([])
        );
    }
}
