//! A server that is configured by a file and made its own keys, brought back from its backup.

use super::*;
use crate::again::private_names;

const CONFIGURATION: &str = "[log]\nlevel = \"info\"\n[journal]\nretention = \"2h\"\n";

#[test]
fn a_backup_has_all_that_a_server_is_brought_back_from() {
    let folder = tempfile::tempdir().unwrap();
    let [data, file, dir, back] =
        ["data", "liverec.toml", "backup", "back"].map(|name| folder.path().join(name));
    fs::write(&file, CONFIGURATION).unwrap();
    let with = |data: &Path, file: &Path, arguments: &[&str]| {
        let mut command = program(data);
        command.arg("--config").arg(file).args(arguments);
        command
    };
    let mut server = Running::start(with(&data, &file, &[]));
    server.stdout.wait_for("secret_key");
    let (code, keys, stderr) =
        to_the_end(with(&data, &file, &["keys", "create", "--role", "admin"]));
    assert_eq!(code, 0, "{keys}{stderr}");
    let (code, _, stderr) = to_the_end(with(&data, &file, &["backup", dir.to_str().unwrap()]));
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(server.stop("-TERM").code(), Some(0));

    let kept = ["credentials.toml", "liverec.db", "master.key", "node_id"];
    let mut names = kept.to_vec();
    names.extend(["liverec.env", "liverec.toml"]);
    names.sort_unstable();
    assert_eq!(private_names(&dir), names);
    assert_eq!(fs::read_to_string(dir.join("liverec.toml")).unwrap(), CONFIGURATION);
    let listed = |data: &Path, file: &Path| {
        let (code, text, stderr) = to_the_end(with(data, file, &["keys", "list"]));
        assert_eq!(code, 0, "{stderr}");
        text
    };
    let before = listed(&data, &file);
    fs::remove_dir_all(&data).unwrap();

    fs::create_dir(&back).unwrap();
    for name in kept {
        fs::copy(dir.join(name), back.join(name)).unwrap();
    }
    let mut server = Running::start(with(&back, &dir.join("liverec.toml"), &[]));
    assert_eq!(listed(&back, &dir.join("liverec.toml")), before);
    // Its own key is the one that it had: nobody has to be told of another.
    assert!(!server.stdout.text().contains("secret_key"), "{}", server.stdout.text());
    let (code, text, stderr) = to_the_end(with(&back, &dir.join("liverec.toml"), &["doctor"]));
    assert_eq!(code, 0, "{text}{stderr}");
    assert_eq!(server.stop("-TERM").code(), Some(0));
}
