//! Two made-up drivers, so that `config` can be checked as an exporter does it.

use std::fmt;

use indexmap::IndexMap;
use jumpstarter_core::config::exporter::read;
use jumpstarter_core::config::references::resolve;
use jumpstarter_core::config::tree::walk;
use jumpstarter_core::config::{DriverNode, ExporterFile, NodeKind, Problems, decode_checked};
use schemars::JsonSchema;
use serde::Deserialize;

/// A driver with plain values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only decoding is of interest")]
pub(crate) struct Serial {
    url: String,
    #[serde(default = "baudrate")]
    baudrate: u32,
    #[serde(default)]
    check_present: bool,
    #[serde(default)]
    cps: Option<f64>,
    #[serde(default)]
    settle: Option<Delay>,
    #[serde(default)]
    ports: Vec<u16>,
}

fn baudrate() -> u32 {
    115_200
}

/// A value with a syntax of its own.
#[derive(Debug)]
pub(crate) struct Delay;

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Delay;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 500ms")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Delay, E> {
                if text.ends_with('s') {
                    Ok(Delay)
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
                }
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

impl JsonSchema for Delay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Delay".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "s$", "title": "a duration such as 500ms" })
    }
}

/// A driver with nested values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only decoding is of interest")]
pub(crate) struct Machine {
    #[serde(default)]
    arch: Arch,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    hostfwd: IndexMap<String, Forward>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) enum Arch {
    #[default]
    #[serde(rename = "x86_64")]
    X86,
    #[serde(rename = "aarch64")]
    Arm,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only decoding is of interest")]
pub(crate) struct Forward {
    hostport: u16,
    guestport: u16,
    #[serde(default)]
    protocol: Protocol,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    #[default]
    Tcp,
    Udp,
}

/// A disk makes its partition; no other driver here makes a child.
pub(crate) fn made(node: &DriverNode) -> Vec<&'static str> {
    match &node.kind {
        NodeKind::Driver(driver) if driver.driver.value == "disk" => vec!["partition"],
        _ => Vec::new(),
    }
}

/// Everything that is wrong with a file, its drivers' configurations included, as an exporter finds it.
pub(crate) fn problems(name: &str, text: &str) -> (Option<ExporterFile>, Problems) {
    let reading = read(name, text, |_| None);
    let (file, mut problems) = (reading.file, reading.problems);
    if let Some(file) = &file {
        for node in walk(&file.export) {
            let NodeKind::Driver(driver) = &node.kind else { continue };
            let subject = driver.config_subject(&node.path);
            let found = match driver.driver.as_str() {
                "serial" => {
                    decode_checked::<Serial>(&driver.config, &schemars::schema_for!(Serial).into(), &subject)
                        .err()
                }
                "machine" => decode_checked::<Machine>(
                    &driver.config,
                    &schemars::schema_for!(Machine).into(),
                    &subject,
                )
                .err(),
                _ => None,
            };
            if let Some(mut found) = found {
                found.attach(&file.source);
                problems.append(found);
            }
        }
        if let Err(found) = resolve(file, &|node| Some(made(node))) {
            problems.append(found);
        }
    }
    (file, problems)
}
