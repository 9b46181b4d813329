//! The fault layer `tests/faults/shim.c` under a server, and the log that it keeps.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use crate::support::run;

/// A fault layer for one server.
pub struct Shim {
    folder: TempDir,
}

/// A call that was made.
#[derive(Debug, Clone)]
pub struct Call {
    /// `write`, `sync`, `open`, `load` (if it was made to fail), `rename`, `unlink`, `truncate` or `mkdir`.
    pub op: String,
    /// Inode.
    pub inode: u64,
    /// Size of the file when a sync began, else the bytes asked for.
    pub size: u64,
    /// What it answered; the negative error number if it was made to fail.
    pub result: i64,
    /// Of what; where from.
    pub path: String,
    /// Where a rename leads.
    pub to: String,
}

impl Shim {
    /// Builds it.
    pub fn build() -> Self {
        let shim = Self { folder: tempfile::tempdir().unwrap() };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-o"]);
        run(cc.arg(shim.path("shim.so")).arg(source).arg("-ldl"));
        shim.set("");
        shim
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What puts it under a server.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let text = |name: &str| self.path(name).to_str().unwrap().to_owned();
        vec![
            ("env:LD_PRELOAD", text("shim.so")),
            ("env:LIVEREC_SHIM_RULES", text("rules")),
            ("env:LIVEREC_SHIM_LOG", text("log")),
            ("env:LIVEREC_SHIM_PART", "/data".to_owned()),
        ]
    }

    /// Replaces its rules (see the source for what they look like).
    pub fn set(&self, rules: &str) {
        // A call must see the old rules or the new ones.
        fs::write(self.path("rules.new"), rules).unwrap();
        fs::rename(self.path("rules.new"), self.path("rules")).unwrap();
    }

    /// What was done so far.
    pub fn calls(&self) -> Vec<Call> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(Call::parse).collect()
    }

    /// How many calls were made to fail, or to do half of what they were asked.
    pub fn faults(&self) -> usize {
        self.calls().iter().filter(|call| call.result < 0 || call.is_short()).count()
    }
}

/// How many of these calls met a rule (one line): what they were, and what became of them. Stalls
/// leave no mark.
pub fn met(calls: &[Call], rule: &str) -> usize {
    let fields: Vec<&str> = rule.split(' ').collect();
    let [op, part, action, _, _] = fields[..] else { panic!("no rule: {rule}") };
    let is_met = |call: &&Call| {
        let is_the_one = match part.strip_suffix('$') {
            Some(end) => call.path.ends_with(end),
            None => call.path.contains(part),
        };
        let has_struck = match action {
            "EIO" => call.result == -5,
            "ENOSPC" => call.result == -28,
            "SHORT" => call.is_short(),
            other => panic!("no mark of {other}"),
        };
        call.op == op && is_the_one && has_struck
    };
    calls.iter().filter(is_met).count()
}

impl Call {
    /// Whether only a part was written.
    fn is_short(&self) -> bool {
        self.op == "write" && self.result > 0 && self.result.unsigned_abs() < self.size
    }

    fn parse(line: &str) -> Self {
        let mut fields = line.split(' ');
        let mut next = || fields.next().unwrap_or_default().to_owned();
        let (op, inode, size, result) = (next(), next(), next(), next());
        Self {
            op,
            inode: inode.parse().unwrap(),
            size: size.parse().unwrap(),
            result: result.parse().unwrap(),
            path: next(),
            to: next(),
        }
    }
}

/// Settings with further ones.
pub fn with<'a>(
    own: &'a [(&'static str, String)],
    further: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    own.iter().map(|(key, value)| (*key, value.as_str())).chain(further.iter().copied()).collect()
}
