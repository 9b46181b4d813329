//! Small file systems. Where the tests may not mount, they run themselves again in namespaces of
//! their own; where even that is not allowed they fail.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::statvfs;
use tempfile::TempDir;

/// Set for a test that runs in its own namespaces.
const INSIDE: &str = "LIVEREC_TEST_MOUNTS";

/// A file system in memory, gone when dropped.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "none"]).arg(folder.path());
        mount.output().unwrap().status.success().then_some(Self { folder })
    }

    /// Where a server may put its data.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let seen = statvfs(self.folder.path()).unwrap();
        seen.f_bfree * seen.f_frsize
    }

    /// Takes all room but so many bytes, or gives back what was taken before until there are so
    /// many; gives the file that does.
    pub fn fill_but(&self, bytes: u64) -> PathBuf {
        let path = self.folder.path().join("filler");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let wanted = bytes.saturating_sub(self.free());
        file.set_len(file.metadata().unwrap().len().saturating_sub(wanted)).unwrap();
        let block = [1; 4096];
        while self.free() > bytes {
            if file.write_all(&block).is_err() {
                break;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

/// Runs the test of this name with a disk of so many MiB.
pub fn on_small_disk(test: &str, mib: u32, body: impl FnOnce(&SmallDisk)) {
    if let Some(disk) = SmallDisk::mount(mib) {
        return body(&disk);
    }
    assert!(std::env::var_os(INSIDE).is_none(), "no file system can be mounted even here");
    let this = std::env::current_exe().unwrap();
    let mut again = Command::new("unshare");
    again.arg("-Urm").arg(Path::new(&this)).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let status = again.status().expect("unshare is needed where tests may not mount");
    assert!(status.success(), "{test} in namespaces of its own: {status}");
}
