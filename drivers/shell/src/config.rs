//! The keys of the exporter file.

use std::{borrow::Cow, fmt, path::PathBuf};

use indexmap::IndexMap;
use jumpstarter::{Delay, config};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// Which commands there are.
#[config]
pub struct ShellConfig {
    /// The methods by name: a command, or a command with settings of its own.
    #[schemars(extend("examples" = [{ "uptime": "uptime", "greet": { "command": "echo Hello, $1", "description": "Say hello", "timeout": "5s" } }]))]
    pub methods: IndexMap<String, MethodConfig>,
    /// The program that runs commands. A command follows as its next argument, then the method's name (`$0`), then what
    /// the caller gives (`$1` and so on).
    #[default = vec!["bash".to_owned(), "-c".to_owned()]]
    #[schemars(length(min = 1))]
    pub shell: Vec<String>,
    /// How long a method may take.
    #[default = "300s"]
    pub timeout: Delay,
    /// The folder in which commands run; that of the exporter if there is none.
    #[schemars(extend("examples" = ["/tmp"]))]
    pub cwd: Option<PathBuf>,
}

/// A method.
#[config]
#[derive(Clone, Debug)]
pub struct MethodSettings {
    /// The command.
    #[default = "echo Hello"]
    pub command: String,
    /// What it does, for help texts.
    #[schemars(extend("examples" = ["Say hello"]))]
    pub description: Option<String>,
    /// How long it may take, where that is not what `timeout` beside `methods` says.
    #[schemars(extend("examples" = ["5s"]))]
    pub timeout: Option<Delay>,
}

/// A method: a command, or a mapping.
#[derive(Clone, Debug)]
pub struct MethodConfig(pub MethodSettings);

/// The two ways to write it, for the schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Written {
    /// The command.
    Command(String),
    /// The command and more.
    Settings(MethodSettings),
}

impl JsonSchema for MethodConfig {
    fn schema_name() -> Cow<'static, str> {
        "Method".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for MethodConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = MethodConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command, or a mapping with `command`")
            }

            fn visit_str<E: Error>(self, command: &str) -> Result<MethodConfig, E> {
                let command = command.to_owned();
                Ok(MethodConfig(MethodSettings { command, description: None, timeout: None }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MethodConfig, A::Error> {
                MethodSettings::deserialize(MapAccessDeserializer::new(map)).map(MethodConfig)
            }
        }

        deserializer.deserialize_any(Either)
    }
}
