//! What was found, as lines for a person and as JSON.

use std::fmt;

use serde::Serialize;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but an operator should look.
    Warn,
    /// Does not work.
    Fail,
}

impl Status {
    /// The word in a report.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Warn => "WARN",
            Status::Fail => "FAIL",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked, such as `store.put`.
    pub check: &'static str,
    /// How it came out.
    pub status: Status,
    /// What was seen, one line.
    pub found: String,
    /// What to do about it; empty if nothing.
    pub advice: String,
    /// Names, where there are many: objects, journals, uploads. Not all of them if there are very
    /// many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Status::Ok, found, "")
    }

    /// An operator should look.
    pub fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(check, Status::Warn, found, advice)
    }

    /// It does not work.
    pub fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(check, Status::Fail, found, advice)
    }

    fn new(
        check: &'static str,
        status: Status,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { check, status, found: found.into(), advice: advice.into(), names: Vec::new() }
    }
}

/// All checks of one examination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which they were made.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst that was found.
    pub fn status(&self) -> Status {
        self.findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Ok)
    }

    /// How many findings have this status.
    pub fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{:<5} {:<18} {}", finding.status.as_str(), finding.check, finding.found)?;
            if !finding.advice.is_empty() {
                writeln!(f, "{:<24} -> {}", "", finding.advice)?;
            }
            for name in finding.names.iter().take(10) {
                writeln!(f, "{:<27} {name}", "")?;
            }
            if finding.names.len() > 10 {
                writeln!(
                    f,
                    "{:<27} and {} more (--json names them)",
                    "",
                    finding.names.len() - 10
                )?;
            }
        }
        let (warnings, failures) = (self.count(Status::Warn), self.count(Status::Fail));
        writeln!(f, "{} checks, {warnings} warnings, {failures} failures", self.findings.len())
    }
}
