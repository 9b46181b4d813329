//! What a service manager and a database that is away see of a start.

use std::{
    io::{Write, copy},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::{Running, program, to_the_end};
use crate::support::{
    logs::Logs,
    needed,
    postgres::Database,
    run,
    server::{PATIENCE, eventually},
};

#[test]
fn a_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut command = program(&folder.path().join("data"));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let mut server = Running::start(command);
    let (mut said, mut signs) = (Vec::new(), 0);
    while signs < 3 || !said.iter().any(|text: &String| text.contains("READY=1")) {
        let text = next();
        signs += usize::from(text.contains("WATCHDOG=1"));
        said.push(text);
    }
    let ready = said.iter().find(|text| text.contains("READY=1")).unwrap();
    assert!(ready.contains(&server.rtmp.to_string()), "{ready}");
    assert!(said.iter().all(|text| !text.contains("STOPPING=1")), "{said:?}");
    assert_eq!(server.stop("-TERM").code(), Some(0));
    while !next().contains("STOPPING=1") {}
}

#[test]
fn the_unit_says_what_the_program_does() {
    let unit = include_str!("../../../config/liverec.service");
    for line in ["Type=notify", "RestartPreventExitStatus=2", "StateDirectory=liverec"] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    if !std::path::Path::new("/usr/bin/systemd-analyze").exists() {
        return;
    }
    let checked = Command::new("systemd-analyze")
        .args(["verify", concat!(env!("CARGO_MANIFEST_DIR"), "/config/liverec.service")])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stderr).into_owned();
    let ours: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("liverec.service") && !line.contains("/usr/local/bin/liverec"))
        .collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn a_database_that_is_away_at_the_start_is_waited_for() {
    let database = Database::create();
    let server = needed("LIVEREC_TEST_POSTGRES_URL");
    let address = url::Url::parse(&server).unwrap();
    let address = format!("{}:{}", address.host_str().unwrap(), address.port().unwrap());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut url = url::Url::parse(&database.url()).unwrap();
    url.set_port(Some(port)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = program(folder.path());
        command.env("LIVEREC__DATABASE__URL", url.as_str());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let logs = Logs::follow(child.stderr.take().unwrap());
        logs.wait_for("the database does not answer");
        (child, logs)
    };
    // A signal ends the wait.
    let (mut child, logs) = start();
    run(Command::new("kill").arg(child.id().to_string()));
    let status = eventually("the end", || child.try_wait().unwrap());
    assert_eq!((status.code(), logs.count("listening")), (Some(0), 0), "{}", logs.text());

    let (mut child, logs) = start();
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(logs.count("listening"), 0);
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    // At first something else answers in its place, as a proxy does whose server is away.
    listener.accept().unwrap().0.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            forward(socket.unwrap(), TcpStream::connect(&address).unwrap());
        }
    });
    logs.wait_for("the database answers now");
    logs.wait_for("listening");
    run(Command::new("kill").arg(child.id().to_string()));
    let status = eventually("the end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", logs.text());
}

#[test]
fn a_database_that_refuses_ends_the_start_at_once() {
    let database = Database::create();
    let mut url = url::Url::parse(&database.url()).unwrap();
    url.set_path("no_such_database");
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path());
    command.env("LIVEREC__DATABASE__URL", url.as_str());
    let (code, _, stderr) = to_the_end(command);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("no_such_database"), "{stderr}");
}

/// Copies in both directions until either side ends.
fn forward(from: TcpStream, to: TcpStream) {
    for (mut from, mut to) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
        thread::spawn(move || {
            let _ = copy(&mut from, &mut to);
            let _ = to.flush();
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
