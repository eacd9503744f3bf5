//! The user's file: which client is used where none is named.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{Problem, Problems};
use super::source::{Source, Span};
use super::top;

/// The only value of `kind`.
pub const KIND: &str = "UserConfig";

/// The keys at the top of the file, in the order in which files are written.
pub const FILE_KEYS: &[&str] = &["apiVersion", "kind", "config"];

const FILE: top::Kind = top::Kind {
    name: KIND,
    file: "a user file",
    whose: "a user's",
    begin: "name a client under `config:`, as `current-client`",
    keys: FILE_KEYS,
    drivers: None,
};

/// A user file.
#[derive(Clone, Debug)]
pub struct UserConfig {
    /// The text, for further problems.
    pub source: Arc<Source>,
    /// What it says.
    pub config: UserChoice,
}

/// What a user has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct UserChoice {
    /// The client that is used where none is named: the name of a file below `clients`, without `.yaml`. None when empty.
    #[schemars(extend("examples" = ["lab"]))]
    pub current_client: Option<String>,
}

/// What came out of [`read`].
#[derive(Debug)]
pub struct Reading {
    /// The file, unless it is no mapping at all. With errors among the problems it may not be used.
    pub file: Option<UserConfig>,
    /// The text, for further problems.
    pub source: Arc<Source>,
    /// Everything found.
    pub problems: Problems,
}

impl Reading {
    /// The file when it can be used, else everything that is wrong with it.
    pub fn into_result(self) -> Result<UserConfig, Problems> {
        match self.file {
            Some(file) => self.problems.into_result(file),
            None => Err(self.problems),
        }
    }
}

/// Reads a user file.
pub fn read(name: &str, text: &str) -> Reading {
    let top::Opened { file, source, problems } = top::open(&FILE, name, text, |top, source| {
        if top.map.entry("config").is_none() {
            let problem = Problem::error("missing key `config`").at(Span::START);
            top.problems.push(problem.help("add `config: {current-client: NAME}`"));
        }
        let mut config: UserChoice = top.part("config").unwrap_or_default();
        config.current_client = config.current_client.filter(|name| !name.is_empty());
        UserConfig { source: Arc::clone(source), config }
    });
    Reading { file, source, problems }
}
