//! What the unmodified Python client does with an exporter, whichever it is. Each check panics when something is not as
//! users of the existing implementation know it.

use jumpstarter_tests::client::Client;
use serde_json::{Value, json};

/// `j POWER on`, `off`, `cycle`, `read`, and the same through the library.
pub(crate) async fn power(client: &Client, node: &str, readings: &[[f64; 2]]) {
    let words: Vec<_> = node.split('.').collect();
    for command in [&["on"][..], &["cycle", "--wait", "0"], &["off"], &["on"], &["read"]] {
        let output = client.j(&[&words, command].concat()).await.expect("j runs").success();
        let wanted: String = match command {
            ["read"] => {
                let line = |[voltage, current]: &[f64; 2]| {
                    let power = voltage * current;
                    format!("voltage={voltage:?} V  current={current:?} A  apparent_power={power:?} VA\n")
                };
                readings.iter().map(line).collect::<Vec<_>>().concat()
            }
            ["cycle", ..] => {
                // Log lines follow, which carry the time.
                assert!(output.starts_with("Power cycling with 0 seconds wait time...\n"), "{output}");
                continue;
            }
            _ => String::new(),
        };
        assert_eq!(output, wanted, "j {node} {command:?}");
    }
    let output = client.check("power", &[node]).await.expect("the check runs").success();
    assert_eq!(serde_json::from_str::<Value>(&output).expect("JSON"), json!(readings));
}

/// The tree that the client builds, as `[path, class]`, in the exporter's order.
pub(crate) async fn tree(client: &Client, wanted: &[[&str; 2]]) {
    let output = client.check("tree", &[]).await.expect("the check runs").success();
    let tree: Vec<(String, String, Option<String>)> = serde_json::from_str(&output).expect("JSON");
    let tree: Vec<_> = tree.iter().map(|(path, class, _)| [path.as_str(), class.as_str()]).collect();
    assert_eq!(tree, wanted);
}

/// A conversation with a console: see `python/checks/console.py` for the steps. Returns what the patterns matched.
pub(crate) async fn console(client: &Client, node: &str, steps: &[&str]) -> Vec<String> {
    let output = client.check("console", &[&[node], steps].concat()).await.expect("the check runs").success();
    output.lines().map(str::to_owned).collect()
}

/// Images flashed and dumped, plain and with each compression.
pub(crate) async fn flash(client: &Client, node: &str, packed_dumps: PackedDumps) {
    let dumps = if packed_dumps == PackedDumps::Complete { "complete" } else { "truncated" };
    let output = client.check("flash", &[node, dumps]).await.expect("the check runs").success();
    let done: Vec<_> = output.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(done, ["plain", "gzip", "xz", "bz2", "zstd"]);
}

/// What becomes of a dump that the exporter packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackedDumps {
    /// It can be unpacked.
    Complete,
    /// Its end is missing: version 0.9.0 never flushes the packer.
    Truncated,
}

/// A driver's log line, as the client library shows it.
pub(crate) async fn logs(client: &Client, node: &str, method: &str, line: &str) {
    let output = client.check("logs", &[node, method]).await.expect("the check runs").success();
    let lines: Vec<[String; 3]> = serde_json::from_str(&output).expect("JSON");
    let wanted = |[logger, level, message]: &[String; 3]| {
        // A local session of 0.9.0 names the logger before the first line after a change.
        let bare = message
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "))
            .map_or(message.as_str(), |(_, m)| m);
        logger == "exporter:driver" && level == "INFO" && bare == line
    };
    assert!(lines.iter().any(wanted), "{lines:?}");
}

/// Recorded scenarios done once more by the programs that did them.
pub(crate) async fn repeated(client: &Client, scenarios: &[&str]) {
    let mut problems = String::new();
    for scenario in scenarios {
        let recording = jumpstarter_tests::recording::Recording::load(scenario).expect("a recording");
        problems.extend(client.repeat(&recording).await.err());
    }
    assert!(problems.is_empty(), "{problems}");
}

/// Failed calls: what the Python client raises, as `[class, caught as, text]`. Of the text, the given part has to be there.
pub(crate) async fn errors(client: &Client, node: &str, wanted: &[(&str, &str, &[&str], &str)]) {
    let calls = wanted.iter().map(|(call, ..)| *call);
    let arguments: Vec<_> = std::iter::once(node).chain(calls).collect();
    let output = client.check("errors", &arguments).await.expect("the check runs").success();
    let seen: Vec<(String, Vec<String>, String)> =
        output.lines().map(|line| serde_json::from_str(line).expect("an exception")).collect();
    assert_eq!(seen.len(), wanted.len());
    for ((class, caught, text), (call, wanted_class, wanted_caught, part)) in seen.iter().zip(wanted) {
        let caught: Vec<_> = caught.iter().map(String::as_str).collect();
        assert_eq!((class.as_str(), &caught[..]), (*wanted_class, *wanted_caught), "{call}");
        assert!(text.contains(part), "{call}: {text}");
    }
}

/// What the Python client raises for the `errors` driver, whoever serves it.
pub(crate) const OF_ERRORS: [(&str, &str, &[&str], &str); 8] = [
    ("value_error", "DriverInvalidArgument", &["DriverError", "ValueError"], "bad value"),
    ("value_error_sync", "DriverInvalidArgument", &["DriverError", "ValueError"], "bad value, sync"),
    ("not_implemented", "DriverMethodNotImplemented", &["DriverError", "NotImplementedError"], "not here"),
    ("timeout_error", "DriverError", &["DriverError"], "too slow"),
    ("runtime_error", "DriverError", &["DriverError"], "something broke"),
    ("nosuch", "DriverMethodNotImplemented", &["DriverError", "NotImplementedError"], "not found on driver"),
    ("validated=[3.5]", "DriverInvalidArgument", &["DriverError", "ValueError"], "3.5"),
    ("*count_then_fail=[2]", "DriverInvalidArgument", &["DriverError", "ValueError"], "after the items"),
];
