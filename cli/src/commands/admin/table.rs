//! Objects of a lab, as people and programs read them.

use serde_json::{Value, json};

use super::Kind;
use crate::{
    commands::Invocation,
    output::{self, Format},
    report::Stop,
    style::printable,
};

pub(super) fn print(
    invocation: &Invocation<'_>,
    kind: Kind,
    objects: &[Value],
    one: bool,
) -> Result<(), Stop> {
    let text = |object: &Value, path: &str| {
        printable(object.pointer(path).and_then(Value::as_str).unwrap_or_default())
    };
    match Format::of(invocation.matches) {
        Format::Json if one => output::json(&objects.first()),
        Format::Yaml if one => output::yaml(&objects.first()),
        Format::Json => output::json(&json!({ "apiVersion": "v1", "kind": "List", "items": objects })),
        Format::Yaml => output::yaml(&json!({ "apiVersion": "v1", "kind": "List", "items": objects })),
        Format::Name => {
            let plural = |object: &Value| {
                format!("{}.jumpstarter.dev/{}", kind.name().to_lowercase(), text(object, "/metadata/name"))
            };
            let names: Vec<_> = objects.iter().map(plural).collect();
            output::lines(names.iter().map(String::as_str))
        }
        Format::Table => match kind {
            Kind::Client => {
                let rows = objects
                    .iter()
                    .map(|object| [text(object, "/metadata/name"), text(object, "/status/endpoint")]);
                output::table(["NAME", "ENDPOINT"], rows.collect())
            }
            Kind::Exporter => {
                let rows = objects.iter().map(|object| {
                    let devices =
                        object.pointer("/status/devices").and_then(Value::as_array).map_or(0, Vec::len);
                    let status = text(object, "/status/exporterStatus");
                    let status = if status.is_empty() { "Unknown".to_owned() } else { status };
                    [
                        text(object, "/metadata/name"),
                        status,
                        text(object, "/status/endpoint"),
                        devices.to_string(),
                    ]
                });
                output::table(["NAME", "STATUS", "ENDPOINT", "DEVICES"], rows.collect())
            }
            Kind::Lease => {
                let rows = objects.iter().map(|object| {
                    let ended = object.pointer("/status/ended").and_then(Value::as_bool).unwrap_or(false);
                    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
                    let last = conditions.and_then(|conditions| conditions.last());
                    [
                        text(object, "/metadata/name"),
                        text(object, "/spec/clientRef/name"),
                        text(object, "/status/exporterRef/name"),
                        text(object, "/spec/duration"),
                        if ended { "Ended" } else { "InProgress" }.to_owned(),
                        last.map_or_else(|| "Unknown".to_owned(), |last| text(last, "/reason")),
                    ]
                });
                output::table(["NAME", "CLIENT", "EXPORTER", "DURATION", "STATUS", "REASON"], rows.collect())
            }
            Kind::Policy => {
                let rows = objects.iter().map(|object| {
                    let rules =
                        object.pointer("/spec/policies").and_then(Value::as_array).map_or(0, Vec::len);
                    [text(object, "/metadata/name"), rules.to_string()]
                });
                output::table(["NAME", "RULES"], rows.collect())
            }
        },
    }
}
