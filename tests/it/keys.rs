//! Key pairs made with `liverec keys` beside a running server.

use serde_json::{Value, json};

use crate::support::{
    api::{LIVE, VOD, signed},
    run,
    server::{BACKENDS, Backend, Server, eventually},
};

fn error_code(
    server: &Server,
    pair: [&str; 2],
    version: &str,
    action: &str,
    body: Value,
) -> String {
    let text = signed(server.http, pair, version, action, "", &body.to_string());
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["Response"]["Error"]["Code"].as_str().unwrap_or_default().to_owned()
}

/// Runs `liverec keys` with these arguments.
fn keys(server: &Server, arguments: &[&str]) -> String {
    String::from_utf8(run(server.cli().arg("keys").args(arguments))).unwrap()
}

fn made(server: &Server, arguments: &[&str]) -> (String, String) {
    let text = keys(server, &[&["create"], arguments].concat());
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    (field("secret_id"), field("secret_key"))
}

#[test]
fn keys_with_roles_are_made_used_and_revoked_while_the_server_runs() {
    for backend in BACKENDS {
        let server = Server::start(backend, &[]);
        let (reader, reader_secret) =
            made(&server, &["--role", "read-only", "--note", "for reports"]);
        let (confined, confined_secret) = made(&server, &["--role", "sub-app", "--sub-app", "77"]);
        let (admin, admin_secret) = made(&server, &[]);
        let reader_pair = [reader.as_str(), reader_secret.as_str()];
        let ask = |pair, version, action| error_code(&server, pair, version, action, json!({}));
        eventually("the new keys are in force", || {
            (ask(reader_pair, LIVE, "DescribeLiveRecordRules").is_empty()).then_some(())
        });
        let template = json!({ "TemplateName": "t" });
        let create = "CreateLiveRecordTemplate";
        assert_eq!(
            error_code(&server, reader_pair, LIVE, create, template.clone()),
            "UnauthorizedOperation"
        );
        let confined_pair = [confined.as_str(), confined_secret.as_str()];
        assert_eq!(ask(confined_pair, LIVE, "DescribeLiveRecordRules"), "UnauthorizedOperation");
        let foreign = json!({ "SubAppId": 78 });
        assert_eq!(
            error_code(&server, confined_pair, VOD, "SearchMedia", foreign),
            "UnauthorizedOperation"
        );
        let admin_pair = [admin.as_str(), admin_secret.as_str()];
        assert_eq!(error_code(&server, admin_pair, LIVE, create, template), "");
        let swapped = [admin.as_str(), reader_secret.as_str()];
        assert_eq!(ask(swapped, LIVE, "DescribeLiveRecordRules"), "AuthFailure.SignatureFailure");

        let list = keys(&server, &["list"]);
        assert!(list.lines().count() == 3 && list.contains("for reports"), "{list}");
        for secret in [&reader_secret, &confined_secret, &admin_secret] {
            assert!(!list.contains(secret.as_str()));
        }
        keys(&server, &["revoke", &reader]);
        eventually("the revoked key signs nothing", || {
            (ask(reader_pair, LIVE, "DescribeLiveRecordRules") == "AuthFailure.SecretIdNotFound")
                .then_some(())
        });
        assert_eq!(ask(admin_pair, LIVE, "DescribeLiveRecordRules"), "", "the others go on");
        let log = server.live("LiverecDescribeAudit", json!({ "SecretId": "(command line)" }));
        let commands: Vec<_> = log["AuditList"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| (&entry["ActionName"], &entry["Outcome"]))
            .collect();
        let (create, revoke, ok) = (&json!("keys create"), &json!("keys revoke"), &json!("OK"));
        assert_eq!(commands, [(revoke, ok), (create, ok), (create, ok), (create, ok)]);
        let asked = server.live("LiverecDescribeAudit", json!({ "SecretId": admin }));
        assert_eq!(asked["AuditList"][0]["ActionName"], "CreateLiveRecordTemplate");
        let again = server.cli().args(["keys", "revoke", &reader]).output().unwrap();
        assert_eq!(again.status.code(), Some(1));
    }
}

#[test]
fn a_role_without_its_sub_application_is_a_wrong_command() {
    let server = Server::start(Backend::Plain, &[]);
    for arguments in [&["--role", "sub-app"][..], &["--role", "read-only", "--sub-app", "7"]] {
        let output = server.cli().args(["keys", "create"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
