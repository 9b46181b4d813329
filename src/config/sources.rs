//! Where values come from: the file, the environment, the flags, and which of them wins.
//!
//! Everything becomes one flat map of `section.key` before any value is typed, so that every
//! source goes through the same parser and an error can say where its value was written.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt, fs,
    path::PathBuf,
};

use super::{VARIABLE_PREFIX, value::Raw};

/// Why a configuration was refused. Every message names the key, variable or file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {}: {source}", path.display())]
    File {
        /// As given.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML. The offending text is left out: it may hold a secret.
    #[error("configuration file {}, line {line}: {message}", path.display())]
    Toml {
        /// As given.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's message.
        message: String,
    },
    /// No such key.
    #[error("unknown key {key} ({origin})")]
    UnknownKey {
        /// As written, in dotted form.
        key: String,
        /// Where it was written.
        origin: Origin,
    },
    /// A variable with our prefix that is no key.
    #[error("unknown environment variable {0}: no configuration key has that name")]
    UnknownVariable(String),
    /// A variable with our prefix whose value is not UTF-8.
    #[error("environment variable {0} is not valid UTF-8")]
    VariableText(String),
    /// The value does not fit its key, or the key has no effect here.
    #[error("{key} ({origin}): {message}")]
    Value {
        /// The key in dotted form.
        key: &'static str,
        /// Where the value was written.
        origin: Origin,
        /// What was wrong.
        message: String,
    },
    /// Values that do not fit together.
    #[error("{key}: {message}")]
    Together {
        /// The key to look at first.
        key: &'static str,
        /// What was wrong.
        message: String,
    },
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the built-in default.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// This environment variable.
    Variable(String),
    /// `--set` on the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("built-in default"),
            Origin::File(path) => write!(f, "in {}", path.display()),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
            Origin::Flag => f.write_str("--set"),
        }
    }
}

/// What the operator gave. The default is nothing at all.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file, if one was named.
    pub file: Option<PathBuf>,
    /// The process's environment; variables without the prefix are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Key and value of every `--set`, in order.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// Reads the file and lays the sources over each other.
    pub(super) fn read(&self) -> Result<Reader, ConfigError> {
        let mut reader = Reader::default();
        if let Some(path) = &self.file {
            reader.add_file(path)?;
        }
        for (name, value) in &self.environment {
            reader.add_variable(name, value)?;
        }
        for (key, value) in &self.flags {
            reader.given.insert(key.clone(), (Raw::Text(value.clone()), Origin::Flag));
        }
        Ok(reader)
    }
}

/// The environment variable of a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// The merged values, handed out key by key. What nobody asked for by the end is unknown.
#[derive(Default)]
pub(super) struct Reader {
    given: BTreeMap<String, (Raw, Origin)>,
    empty_sections: Vec<(String, Origin)>,
    asked: BTreeSet<&'static str>,
}

impl Reader {
    fn add_file(&mut self, path: &PathBuf) -> Result<(), ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.clone(), source })?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            ConfigError::Toml {
                path: path.clone(),
                line: before.matches('\n').count() + 1,
                message: error.message().to_owned(),
            }
        })?;
        self.add_table("", table, &Origin::File(path.clone()));
        Ok(())
    }

    fn add_table(&mut self, prefix: &str, table: toml::Table, origin: &Origin) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            let raw = match value {
                toml::Value::Table(inner) if inner.is_empty() => {
                    self.empty_sections.push((key, origin.clone()));
                    continue;
                }
                toml::Value::Table(inner) => {
                    self.add_table(&key, inner, origin);
                    continue;
                }
                other => Raw::from_toml(other),
            };
            self.given.insert(key, (raw, origin.clone()));
        }
    }

    fn add_variable(&mut self, name: &OsString, value: &OsString) -> Result<(), ConfigError> {
        let shown = name.to_string_lossy();
        let Some(rest) = shown.strip_prefix(VARIABLE_PREFIX) else {
            return Ok(());
        };
        let key = rest.to_ascii_lowercase().replace("__", ".");
        let name = shown.into_owned();
        if variable_of(&key) != name {
            return Err(ConfigError::UnknownVariable(name));
        }
        let Some(text) = value.to_str() else {
            return Err(ConfigError::VariableText(name));
        };
        self.given.insert(key, (Raw::Text(text.to_owned()), Origin::Variable(name)));
        Ok(())
    }

    /// The value of `key`, or else `default`, through `parse`.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        default: &str,
        parse: impl FnOnce(&Raw) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        self.asked.insert(key);
        let built_in;
        let (raw, origin) = match self.given.get(key) {
            Some(given) => given,
            None => {
                built_in = (Raw::Text(default.to_owned()), Origin::Default);
                &built_in
            }
        };
        let origin = origin.clone();
        parse(raw).map_err(|message| ConfigError::Value { key, origin, message })
    }

    /// Refuses what was given and nobody asked for.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let is_section = |name: &str| {
            self.asked.iter().any(|key| key.strip_prefix(name).is_some_and(|r| r.starts_with('.')))
        };
        for (key, (_, origin)) in &self.given {
            if self.asked.contains(key.as_str()) {
                continue;
            }
            return Err(match origin {
                Origin::Variable(name) => ConfigError::UnknownVariable(name.clone()),
                _ => ConfigError::UnknownKey { key: key.clone(), origin: origin.clone() },
            });
        }
        match self.empty_sections.into_iter().find(|(name, _)| !is_section(name)) {
            Some((key, origin)) => Err(ConfigError::UnknownKey { key, origin }),
            None => Ok(()),
        }
    }

    /// Every key that was asked for.
    #[cfg(test)]
    pub(super) fn asked(&self) -> impl Iterator<Item = &'static str> {
        self.asked.iter().copied()
    }
}
