//! Hooks around leases.

use jumpstarter_client::{Connection, ExporterStatus as S};
use jumpstarter_exporter::registered::{Ended, Stop};
use tokio_util::sync::CancellationToken;

use super::{
    bench::{Lab, Rig, soon, until},
    leases::{PROBE, happened_to},
};
use crate::drivers::NamedClient;

/// A file with these two hooks.
fn hooks(before: &str, after: &str) -> String {
    format!("{PROBE}hooks:\n  beforeLease: {before}\n  afterLease: {after}\n")
}

/// Everything that a session has said when it has ended.
fn follow(connection: &Connection) -> tokio::task::JoinHandle<Vec<String>> {
    let mut logs = connection.logs();
    tokio::spawn(async move {
        let mut lines = Vec::new();
        while let Some(line) = logs.next().await {
            lines.push(format!("{}: {}", line.origin(), line.message));
        }
        lines
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_around_a_lease_and_their_lines_reach_its_client_in_order_and_whole() {
    let mut lab = Lab::start().await;
    let text = hooks(
        "{script: 'echo for $CLIENT_NAME; test -S $JUMPSTARTER_HOST && echo socket; for i in 1 2 3; do echo $i; done'}",
        "{script: 'echo after $LEASE_NAME; printf last'}",
    );
    let rig = Rig::start(lab.file(&text).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    let connection = me.connect("one").await;
    let lines = follow(&connection);
    assert_eq!(until(&connection, S::LeaseReady).await, "Ready for commands");
    let status = connection.status().await.unwrap();
    assert_eq!(
        (status.version, status.previous),
        (2, Some(S::BeforeLeaseHook)),
        "pitfall L11: one per report"
    );
    assert!(connection.end_session().await.unwrap().begun);
    assert_eq!(until(&connection, S::Available).await, "Available for new lease");
    me.give_back("one").await;
    lab.free().await;
    connection.close();
    let lines = soon("the end of the log", lines).await.unwrap();
    let hook: Vec<_> = lines.iter().filter(|line| line.contains("Lease: ")).cloned().collect();
    let before = ["for me", "socket", "1", "2", "3"].map(|line| format!("exporter:beforeLease: {line}"));
    let after = ["after one", "last"].map(|line| format!("exporter:afterLease: {line}"));
    assert_eq!(hook, [&before[..], &after[..]].concat(), "{lines:?}");

    // pitfall G1: the next client sees nothing of it.
    me.lease("two").await;
    let connection = me.connect("two").await;
    let lines = follow(&connection);
    until(&connection, S::LeaseReady).await;
    me.give_back("two").await;
    lab.free().await;
    connection.close();
    let lines = soon("the end of the log", lines).await.unwrap();
    assert!(
        lines.iter().any(|line| line.contains("for me"))
            && !lines.iter().any(|line| line.contains("after one"))
    );
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_h6_what_before_lease_writes_is_below_the_message_of_the_day_of_its_lease_only() {
    let mut lab = Lab::start().await;
    let notes = lab.path().join("notes");
    let before = format!(
        "{{script: 'test ! -s $JMP_MOTD_FILE && stat -c %a $JMP_MOTD_FILE && printf \"\\n  for $LEASE_NAME\\n\\n\" >> $JMP_MOTD_FILE; echo $JMP_MOTD_FILE >> {}; exit 3'}}",
        notes.display()
    );
    let text = hooks(&before, "{script: 'echo ${JMP_MOTD_FILE-none at all}'}") + "motd: |\n  Welcome.\n";
    let rig = Rig::start(lab.file(&text).await);
    lab.free().await;
    let me = lab.client("me").await;
    for name in ["one", "two"] {
        me.lease(name).await;
        let connection = me.connect(name).await;
        let message = until(&connection, S::LeaseReady).await;
        assert!(message.contains("[HOOK_WARNING]") && message.contains("exit code 3"), "{message}");
        assert_eq!(connection.report().await.unwrap().motd, format!("Welcome.\nfor {name}"));
        me.give_back(name).await;
        lab.free().await;
        connection.close();
    }
    rig.says("none at all").await;
    assert!(rig.lines().iter().any(|line| line.ends_with("600")), "{:?}", rig.lines());
    rig.stop().await;
    lab.end().await;
    let notes = std::fs::read_to_string(notes).unwrap();
    assert_eq!(notes.lines().count(), 2);
    for file in notes.lines() {
        assert!(!std::path::Path::new(file).exists(), "{file}");
    }
}

/// The message of the day in a lease with this hook before it, at this status; the exporter has said `says` by then.
async fn motd(before: &str, status: S, file: &str, says: Option<&str>) -> String {
    let mut lab = Lab::start().await;
    let rig = Rig::start(lab.file(&(hooks(before, "{script: 'true'}") + file)).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    let connection = me.connect("one").await;
    until(&connection, status).await;
    let motd = connection.report().await.expect("a report").motd;
    if let Some(says) = says {
        rig.says(says).await;
    }
    me.give_back("one").await;
    lab.free().await;
    connection.close();
    rig.stop().await;
    lab.end().await;
    motd
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_h6_a_hook_that_fails_its_lease_adds_nothing_to_the_message_of_the_day() {
    let failing = "{script: 'echo secret > $JMP_MOTD_FILE; exit 1', onFailure: endLease}";
    assert_eq!(motd(failing, S::BeforeLeaseHookFailed, "motd: Welcome.\n", None).await, "Welcome.");
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_h6_what_has_taken_the_place_of_the_file_is_not_read_and_that_is_said() {
    let linking = "{script: 'ln -sf /etc/passwd $JMP_MOTD_FILE'}";
    let says = "what beforeLease wrote to JMP_MOTD_FILE is not shown: it is not a regular file any more";
    assert_eq!(motd(linking, S::LeaseReady, "", Some(says)).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_prints_as_much_as_a_build_does_reaches_its_client_in_order_and_whole() {
    const LINES: usize = 9000;
    let mut lab = Lab::start().await;
    let count = format!("{{script: 'seq {LINES}'}}");
    let rig = Rig::start(lab.file(&hooks(&count, &count)).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    // The first hook is well under way, or through, when its client comes.
    let connection = me.connect("one").await;
    until(&connection, S::LeaseReady).await;
    let lines = follow(&connection);
    assert!(connection.end_session().await.unwrap().begun);
    until(&connection, S::Available).await;
    me.give_back("one").await;
    lab.free().await;
    connection.close();
    let lines = soon("the end of the log", lines).await.unwrap();
    for hook in ["before", "after"] {
        let start = format!("exporter:{hook}Lease: ");
        let seen: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix(&start)).collect();
        let expected: Vec<_> = (1..=LINES).map(|number| number.to_string()).collect();
        assert!(seen == expected, "{hook}: {} of {LINES} lines, the last {:?}", seen.len(), seen.last());
    }
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_h5_clients_look_on_during_before_lease_and_touch_nothing() {
    let mut lab = Lab::start().await;
    let gate = lab.path().join("gate");
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, rustix::fs::Mode::RWXU).unwrap();
    let text = hooks(&format!("{{script: 'echo waiting; cat {}'}}", gate.display()), "{script: 'true'}");
    let rig = Rig::start(lab.file(&text).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    let device = me.device("one").await;
    rig.says("waiting").await;
    assert_eq!(until(device.connection(), S::BeforeLeaseHook).await, "Running beforeLease hook");
    let named = device.client::<NamedClient>("a").unwrap();
    let refused = named.name().await.unwrap_err();
    assert_eq!(refused.message(), "Exporter not ready for driver calls (status: BEFORE_LEASE_HOOK)");
    std::fs::write(&gate, "opened\n").unwrap();
    until(device.connection(), S::LeaseReady).await;
    assert_eq!(named.name().await.unwrap(), "a");
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_l4_and_l5_the_end_is_answered_at_once_and_the_devices_stay_for_after_lease() {
    let mut lab = Lab::start().await;
    let gate = lab.path().join("gate");
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, rustix::fs::Mode::RWXU).unwrap();
    let text = hooks("{script: ''}", &format!("{{script: 'echo tidying; cat {}'}}", gate.display()))
        .replace("name: a", "name: stays");
    let rig = Rig::start(lab.file(&text).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    let device = me.device("one").await;
    until(device.connection(), S::LeaseReady).await;
    let ended = device.connection().end_session().await.unwrap();
    assert!(ended.begun);
    rig.says("tidying").await;
    // The client goes without waiting, and so does its lease.
    me.give_back("one").await;
    lab.until("Exporter", "rig", |exporter| exporter["status"].get("leaseRef").is_none()).await;
    assert_eq!(until(device.connection(), S::AfterLeaseHook).await, "Running afterLease hooks");
    assert_eq!(happened_to("stays").last().unwrap(), "reset", "still open");
    std::fs::write(&gate, "done\n").unwrap();
    lab.free().await;
    assert_eq!(happened_to("stays").last().unwrap(), "close");
    let tidied = rig.lines().iter().filter(|line| *line == "tidying").count();
    assert_eq!(tidied, 1, "pitfall L3: once");
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_h12_a_lease_that_ends_during_before_lease_lets_the_hook_end_and_its_client_see_it() {
    let mut lab = Lab::start().await;
    let gate = lab.path().join("gate");
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, rustix::fs::Mode::RWXU).unwrap();
    let text =
        hooks(&format!("{{script: 'echo waiting; cat {}'}}", gate.display()), "{script: 'echo tidied'}");
    let rig = Rig::start(lab.file(&text).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    let device = me.device("one").await;
    rig.says("waiting").await;
    me.give_back("one").await;
    lab.until("Exporter", "rig", |exporter| exporter["status"].get("leaseRef").is_none()).await;
    std::fs::write(&gate, "opened\n").unwrap();
    until(device.connection(), S::LeaseReady).await;
    let refused = device.client::<NamedClient>("a").unwrap().name().await;
    assert!(refused.is_err(), "the devices are somebody else's now");
    let status = lab.object("Exporter", "rig").await["status"]["exporterStatus"].clone();
    assert_ne!(status, "LeaseReady", "the controller would take it for busy");
    rig.says("tidied").await;
    lab.free().await;
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_h10_a_failed_before_lease_gives_the_lease_back_without_after_lease() {
    let mut lab = Lab::start().await;
    let text = hooks("{script: 'exit 3', onFailure: endLease}", "{script: 'echo never'}");
    let rig = Rig::start(lab.file(&text).await);
    lab.free().await;
    let me = lab.client("me").await;
    for name in ["one", "two"] {
        me.lease(name).await;
        lab.until("Lease", name, |lease| lease["status"]["ended"] == true).await;
        lab.free().await;
    }
    let lines = rig.lines();
    assert!(lines.iter().any(|line| line.contains("exit code 3")), "{lines:?}");
    assert!(!lines.iter().any(|line| line == "never"), "{lines:?}");
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_when_before_lease_has_failed_is_let_in_to_see_it() {
    let mut lab = Lab::start().await;
    let rig =
        Rig::start(lab.file(&hooks("{script: 'exit 3', onFailure: endLease}", "{script: 'true'}")).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    rig.says("exit code 3").await;
    // The controller lets nobody in to an exporter of which it knows that.
    let connection = me.connect("one").await;
    let why = until(&connection, S::BeforeLeaseHookFailed).await;
    assert!(why.contains("exit code 3"), "{why}");
    lab.until("Exporter", "rig", |exporter| exporter["status"]["exporterStatus"] == "BeforeLeaseHookFailed")
        .await;
    lab.until("Lease", "one", |lease| lease["status"]["ended"] == true).await;
    lab.free().await;
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_h9_a_warning_is_in_the_status() {
    let mut lab = Lab::start().await;
    let text = hooks("{script: 'exit 4'}", "{script: 'exit 5'}");
    let rig = Rig::start(lab.file(&text).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    let connection = me.connect("one").await;
    let warning = "[HOOK_WARNING] beforeLease hook warning: Hook failed with exit code 4";
    assert_eq!(until(&connection, S::LeaseReady).await, warning);
    connection.end_session().await.unwrap();
    let warning = "[HOOK_WARNING] afterLease hook warning: Hook failed with exit code 5";
    assert_eq!(until(&connection, S::Available).await, warning);
    let exporter = lab.free().await;
    assert_eq!(exporter["status"]["statusMessage"], warning);
    rig.stop().await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_l14_a_hook_can_end_the_exporter_and_everybody_is_told_why() {
    for (before, after) in [
        ("{script: 'exit 3', onFailure: exit}", "{script: 'true'}"),
        ("{script: 'true'}", "{script: 'exit 3', onFailure: exit}"),
    ] {
        let mut lab = Lab::start().await;
        let rig = Rig::start(lab.file(&hooks(before, after)).await);
        lab.free().await;
        let me = lab.client("me").await;
        me.lease("one").await;
        let connection = me.connect("one").await;
        if before.contains("exit 3") {
            let why = until(&connection, S::BeforeLeaseHookFailed).await;
            assert!(why.contains("on_failure=exit, shutting down"), "{why}");
        } else {
            until(&connection, S::LeaseReady).await;
            connection.end_session().await.unwrap();
            until(&connection, S::AfterLeaseHookFailed).await;
        }
        me.give_back("one").await;
        assert_eq!(rig.ended().await.unwrap(), Ended::Hook);
        let gone = lab.object("Exporter", "rig").await;
        assert_eq!(gone["status"]["exporterStatus"], "Offline", "{gone}");
        lab.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_before_lease_with_everything_it_started_and_runs_after_lease() {
    let mut lab = Lab::start().await;
    let text = hooks("{script: 'echo begun; sleep 600 & sleep 600'}", "{script: 'echo tidied'}");
    let rig = Rig::start(lab.file(&text).await);
    lab.free().await;
    let me = lab.client("me").await;
    me.lease("one").await;
    rig.says("begun").await;
    rig.ask(Stop::Now).await;
    rig.says("tidied").await;
    assert_eq!(rig.ended().await.unwrap(), Ended::Stopped);
    lab.end().await;
}

#[tokio::test]
async fn a_hook_that_is_stopped_says_so() {
    use jumpstarter_core::{
        config::{Hook, OnFailure},
        log::LogSink,
    };
    use jumpstarter_exporter::hook::{Failure, Moment, Surroundings, run_until};

    let logs: std::sync::Arc<dyn LogSink> = jumpstarter_session::LogBuffer::new();
    let hook = Hook { script: "sleep 600".into(), exec: None, timeout: 600, on_failure: OnFailure::Warn };
    let stop = CancellationToken::new();
    stop.cancel();
    let ended =
        run_until(&hook, Moment::Before, &Surroundings::default(), &logs, stop.cancelled_owned()).await;
    assert!(matches!(ended, Err(Failure::Stopped)), "{ended:?}");
}
