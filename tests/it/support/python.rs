//! Python scripts beside the tests, run with the interpreter that has the vendor's SDK.

use std::{path::Path, process::Command};

use super::needed;

/// A command that runs `tests/it/<script>`; arguments and variables are the caller's.
pub fn script(script: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(script);
    let mut command = Command::new(needed("LIVEREC_TEST_PYTHON"));
    command.arg(path).env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
