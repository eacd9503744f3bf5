//! Objects of a lab, as people and programs read them.

use jiff::Timestamp;
use jumpstarter_lab::NAMESPACE;
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
    let list = || {
        let kind = format!("{}List", kind.name());
        json!({ "apiVersion": "jumpstarter.dev/v1alpha1", "items": objects, "kind": kind })
    };
    match Format::of(invocation.matches) {
        Format::Json if one => output::json(&objects.first()),
        Format::Yaml if one => output::sorted_yaml(&objects.first()),
        Format::Json => output::json(&list()),
        Format::Yaml => output::sorted_yaml(&list()),
        Format::Name => {
            let names: Vec<_> =
                objects.iter().map(|object| kind.full(&text(object, "/metadata/name"))).collect();
            output::lines(names.iter().map(String::as_str))
        }
        Format::Table(_) if objects.is_empty() => {
            output::line(&format!("No resources found in {NAMESPACE} namespace."))
        }
        Format::Table(room) => {
            let now = Timestamp::now();
            // Only the command that shows exporters has this flag.
            let by_device = matches!(invocation.matches.try_get_one::<bool>("devices"), Ok(Some(true)));
            let rows = |row: fn(&Value, Timestamp) -> Vec<String>| -> Vec<_> {
                objects.iter().map(|object| row(object, now)).collect()
            };
            match kind {
                Kind::Client => output::resources(&["NAME", "ENDPOINT"], &rows(client), room),
                Kind::Exporter if by_device => {
                    let rows: Vec<_> = objects.iter().flat_map(|object| devices(object, now)).collect();
                    output::resources(&["NAME", "STATUS", "ENDPOINT", "AGE", "LABELS", "UUID"], &rows, room)
                }
                Kind::Exporter => output::resources(
                    &["NAME", "STATUS", "ENDPOINT", "DEVICES", "AGE"],
                    &rows(exporter),
                    room,
                ),
                Kind::Lease => output::resources(&LEASE, &rows(lease), room),
                Kind::Policy => output::resources(&["NAME", "RULES"], &rows(policy), room),
            }
        }
    }
}

/// Columns of leases.
const LEASE: [&str; 10] =
    ["NAME", "CLIENT", "SELECTOR", "EXPORTER", "DURATION", "STATUS", "REASON", "BEGIN", "END", "AGE"];

fn text(object: &Value, path: &str) -> String {
    printable(object.pointer(path).and_then(Value::as_str).unwrap_or_default())
}

fn array<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    object.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `k:v,k:v`
fn labels(object: &Value, path: &str) -> String {
    let labels = object.pointer(path).and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<_> =
        labels.map(|(key, value)| format!("{key}:{}", value.as_str().unwrap_or_default())).collect();
    printable(&pairs.join(","))
}

/// Since when it is there. Nothing, if it does not say.
fn age(object: &Value, now: Timestamp) -> String {
    let created = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    let created = created.and_then(|text| text.parse::<Timestamp>().ok());
    created
        .map(|created| since(u64::try_from(now.duration_since(created).as_secs()).unwrap_or_default()))
        .unwrap_or_default()
}

/// So many seconds in at most two units, as existing clients say it: the second one only if it is not nothing, months of 30
/// days, years of 365.
fn since(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let (large, small) = match (days, hours, minutes) {
        (365.., ..) => ((days / 365, "y"), (days % 365 / 30, "mo")),
        (30.., ..) => ((days / 30, "mo"), (days % 30, "d")),
        (1.., ..) => ((days, "d"), (hours % 24, "h")),
        (_, 2.., _) => ((hours, "h"), (0, "m")),
        (_, 1, _) => ((hours, "h"), (minutes % 60, "m")),
        (_, _, 1..) => ((minutes, "m"), (seconds % 60, "s")),
        _ => ((seconds, "s"), (0, "")),
    };
    let part = |(count, unit): (u64, &str)| format!("{count}{unit}");
    if small.0 > 0 { part(large) + &part(small) } else { part(large) }
}

fn client(object: &Value, _now: Timestamp) -> Vec<String> {
    vec![text(object, "/metadata/name"), text(object, "/status/endpoint")]
}

fn state(exporter: &Value) -> String {
    let state = text(exporter, "/status/exporterStatus");
    if state.is_empty() { "Unknown".to_owned() } else { state }
}

fn exporter(object: &Value, now: Timestamp) -> Vec<String> {
    vec![
        text(object, "/metadata/name"),
        state(object),
        text(object, "/status/endpoint"),
        array(object, "/status/devices").len().to_string(),
        age(object, now),
    ]
}

/// A row for each device of an exporter; one that has none is shown all the same.
fn devices(object: &Value, now: Timestamp) -> Vec<Vec<String>> {
    let none = [json!({})];
    let devices = match array(object, "/status/devices") {
        [] => &none[..],
        devices => devices,
    };
    let row = |device: &Value| {
        vec![
            text(object, "/metadata/name"),
            state(object),
            text(object, "/status/endpoint"),
            age(object, now),
            labels(device, "/labels"),
            text(device, "/uuid"),
        ]
    };
    devices.iter().map(row).collect()
}

fn lease(object: &Value, now: Timestamp) -> Vec<String> {
    let ended = object.pointer("/status/ended").and_then(Value::as_bool).unwrap_or(false);
    let selector = labels(object, "/spec/selector/matchLabels");
    vec![
        text(object, "/metadata/name"),
        text(object, "/spec/clientRef/name"),
        if selector.is_empty() { "*".to_owned() } else { selector },
        text(object, "/status/exporterRef/name"),
        text(object, "/spec/duration"),
        if ended { "Ended" } else { "InProgress" }.to_owned(),
        reason(array(object, "/status/conditions")),
        text(object, "/status/beginTime"),
        text(object, "/status/endTime"),
        age(object, now),
    ]
}

/// Why a lease is as it is, in the words of existing clients: the last condition says it.
fn reason(conditions: &[Value]) -> String {
    let Some(last) = conditions.last() else { return "Unknown".to_owned() };
    let so = last["status"] == "True";
    match (last["reason"].as_str().unwrap_or_default(), so) {
        ("Ready", false) => "Waiting".to_owned(),
        ("Expired", false) => "Complete".to_owned(),
        (reason, _) => printable(reason),
    }
}

fn policy(object: &Value, _now: Timestamp) -> Vec<String> {
    vec![text(object, "/metadata/name"), array(object, "/spec/policies").len().to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_two_units_at_most() {
        const DAY: u64 = 86_400;
        for (seconds, text) in [
            (0, "0s"),
            (35, "35s"),
            (600, "10m"),
            (615, "10m15s"),
            (3600, "1h"),
            (3900, "1h5m"),
            (7199, "1h59m"),
            (7500, "2h"),
            (DAY - 1, "23h"),
            (3 * DAY, "3d"),
            (3 * DAY + 5 * 3600, "3d5h"),
            (30 * DAY, "1mo"),
            (40 * DAY, "1mo10d"),
            (365 * DAY, "1y"),
            (430 * DAY, "1y2mo"),
        ] {
            assert_eq!(since(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn the_reason_of_a_lease_is_that_of_its_last_condition() {
        let of = |conditions: &[(&str, &str)]| {
            let conditions: Vec<_> = conditions
                .iter()
                .map(|(status, reason)| json!({ "status": status, "reason": reason }))
                .collect();
            reason(&conditions)
        };
        for (conditions, expected) in [
            (&[][..], "Unknown"),
            (&[("True", "Offline"), ("True", "Ready")], "Ready"),
            (&[("False", "Ready")], "Waiting"),
            (&[("True", "Expired")], "Expired"),
            (&[("True", "Offline"), ("False", "Expired")], "Complete"),
            (&[("False", "Released")], "Released"),
            (&[("True", "Offline")], "Offline"),
        ] {
            assert_eq!(of(conditions), expected);
        }
    }

    #[test]
    fn what_an_object_does_not_say_yet_is_an_empty_cell() {
        let now: Timestamp = "2026-11-20T21:05:34Z".parse().unwrap();
        let object = json!({ "metadata": { "name": "new", "creationTimestamp": "2026-11-20T20:55:19Z" } });
        assert_eq!(exporter(&object, now), ["new", "Unknown", "", "0", "10m15s"]);
        assert_eq!(devices(&object, now), [["new", "Unknown", "", "10m15s", "", ""]]);
        assert_eq!(lease(&object, now), ["new", "", "*", "", "", "InProgress", "Unknown", "", "", "10m15s"]);
        assert_eq!(client(&json!({}), now), ["", ""]);
        // A clock that is behind that of the lab.
        assert_eq!(age(&json!({ "metadata": { "creationTimestamp": "2026-11-20T21:05:40Z" } }), now), "0s");
    }
}
