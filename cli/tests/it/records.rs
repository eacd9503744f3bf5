//! What `jmp run` logs as JSON.

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    lab::Lab,
    registered::{Exporter, exporter_file},
    support::{Place, children, code, example, run, stdout, told},
};

fn records(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn message(record: &Value) -> &str {
    record["msg"].as_str().unwrap()
}

/// The only record with these words.
fn the<'a>(records: &'a [Value], words: &str) -> &'a Value {
    let found: Vec<_> = records.iter().filter(|record| message(record).contains(words)).collect();
    assert_eq!(found.len(), 1, "{words}: {records:#?}");
    found[0]
}

/// What a record says under these keys; nothing where it has none.
fn keys<'a>(record: &'a Value, keys: &[&str]) -> Vec<&'a str> {
    keys.iter().map(|key| record[key].as_str().unwrap_or_default()).collect()
}

#[test]
fn every_record_names_the_exporter_and_within_a_lease_also_the_lease_and_its_client() {
    let place = Place::new();
    let lab = Lab::start(&place);
    let file = exporter_file(&place);
    let path = place.path().join(&file);
    let text = std::fs::read_to_string(&path).unwrap();
    let text =
        text.replace("  power: {type: mock-power}", "  psu:\n    children: {main: {type: mock-power}}");
    let hooks =
        "hooks: {beforeLease: {script: 'echo prepared'}, afterLease: {script: 'echo tidied; exit 1'}}";
    std::fs::write(&path, format!("{text}\n{hooks}\n")).unwrap();
    let create = ["admin", "--lab", "lab", "create", "client", "me", "--unsafe", "--save"];
    assert_eq!(code(&run(&mut place.jmp(&create))), 0);
    let mut rig = Exporter::start(&mut place.jmp(&["run", "--exporter-config", &file]));
    let mut log = rig.until("AVAILABLE");
    let mut leases = Vec::new();
    for _ in 0..2 {
        let lease =
            stdout(&run(&mut place.jmp(&["create", "lease", "-l", "board=demo", "--wait", "-o", "name"])));
        let lease = lease.trim_end().to_owned();
        let used = run(&mut place.jmp(&["shell", "--lease", &lease, "--", "j", "psu", "main", "on"]));
        assert_eq!(code(&used), 0, "{}", told(&used));
        assert_eq!(code(&run(&mut place.jmp(&["delete", "leases", &lease]))), 0);
        log.push_str(&rig.until("the lease is over"));
        leases.push(lease);
    }
    let (ended, rest) = rig.end(Signal::TERM);
    assert_eq!(ended, Some(143), "{rest}");
    assert_eq!(lab.end(Signal::TERM).0, Some(0));

    let records = records(&(log + &rest));
    for record in &records {
        assert_eq!(
            keys(record, &["component", "exporter", "namespace"]),
            ["exporter", "rig", "default"],
            "{record}"
        );
        assert!(record["ts"].as_str().unwrap().ends_with('Z') && record.get("lease").is_none(), "{record}");
    }
    // Between the first word of a lease and its last one, everything is about it; nothing else is.
    let mut rest = &records[..];
    for lease in &leases {
        let begin = rest.iter().position(|record| message(record) == "leased").unwrap();
        let end = rest.iter().position(|record| message(record) == "the lease is over").unwrap();
        for record in &rest[..begin] {
            assert_eq!(keys(record, &["lease_id", "client"]), ["", ""], "{record}");
        }
        let (one, after) = rest[begin..].split_at(end - begin + 1);
        for record in one {
            assert_eq!(keys(record, &["lease_id", "client"]), [lease, "me"], "{record}");
        }
        let who = ["logger", "source", "level", "operation"];
        let hook = "exporter:beforeLease";
        assert_eq!(keys(the(one, "prepared"), &who), ["hook.beforeLease", hook, "info", "beforeLease"]);
        let hook = "exporter:afterLease";
        assert_eq!(keys(the(one, "tidied"), &who), ["hook.afterLease", hook, "info", "afterLease"]);
        assert_eq!(
            keys(the(one, "Hook failed with exit code 1"), &who),
            ["hook.afterLease", hook, "warning", "afterLease"]
        );
        assert_eq!(keys(the(one, "Session started"), &who), ["session", "exporter:system", "info", ""]);
        let driver = the(one, "power on");
        assert_eq!(keys(driver, &who), ["driver.mock-power", "exporter:driver", "info", "on"]);
        assert_eq!(keys(driver, &["driver", "driver_type"]), ["psu.main", "mock-power"]);
        assert_eq!(driver["uuid"].as_str().map(str::len), Some(36), "{driver}");
        rest = after;
    }
    for record in rest {
        // The state machine gives it back when it is over.
        assert!(keys(record, &["client"]) == [""], "{record}");
    }
}

#[test]
fn an_exporter_without_a_controller_has_one_lease_and_its_supervisor_knows_its_name() {
    let place = Place::new();
    let text = std::fs::read_to_string(example("power.yaml")).unwrap();
    let file = place.file("rig.yaml", &format!("metadata: {{name: bench 3}}\n{text}")).display().to_string();
    let words =
        ["run", "--exporter-config", &file, "--tls-grpc-insecure", "--tls-grpc-listener", "127.0.0.1:0"];
    let mut command = place.jmp(&words);
    let mut rig = Exporter::start(command.env_remove("NAMESPACE").env("POD_NAMESPACE", "pods"));
    let said = rig.until("Session server started on");
    let all = records(&said);
    let started = all.last().unwrap();
    assert_eq!(
        keys(started, &["exporter", "namespace", "lease_id", "client"]),
        ["bench 3", "pods", "standalone", ""]
    );
    let address = message(started).strip_prefix("Session server started on ").unwrap();
    // The second one blocks, so it works on another thread.
    for (device, driver_type) in [("main", "mock-power"), ("fan", "sync-mock-power")] {
        let shell = ["shell", "--tls-grpc", address, "--tls-grpc-insecure", "--", "j", "bench", device, "on"];
        assert_eq!(code(&run(&mut place.jmp(&shell))), 0);
        let driver = records(&rig.until("power on")).pop().unwrap();
        let wanted = ["lease_id", "driver", "driver_type", "operation"];
        let place = format!("bench.{device}");
        assert_eq!(keys(&driver, &wanted), ["standalone", &place, driver_type, "on"], "{driver}");
    }
    // What the supervisor says is about the same exporter.
    let worker = children(&rig.child.id().to_string()).pop().unwrap();
    let worker = rustix::process::Pid::from_raw(worker.parse().unwrap()).unwrap();
    rustix::process::kill_process(worker, Signal::KILL).unwrap();
    let said = rig.until("starting it again in");
    let again = records(&said).pop().unwrap();
    assert_eq!(keys(&again, &["exporter", "namespace", "lease_id"]), ["bench 3", "pods", ""], "{again}");
    rig.until("Session server started on");
    assert_eq!(rig.end(Signal::TERM).0, Some(143));
}
