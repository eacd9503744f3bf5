//! A lab, an exporter that is leased, and every way out.

use std::{
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jumpstarter_exporter::{Registry, local::Local, plan};
use jumpstarter_protocol::admin::v1::Credential;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    lab::Lab,
    rig::Rig,
    support::{JMP, Place, Running, code, run, stderr, stdout},
    terminal::Screen,
};

/// Nothing here takes longer unless it is wrong.
const SOON: Duration = Duration::from_secs(30);

const POWER: &str = "export: {power: {type: mock-power}}\n";

/// A lab with an exporter that has a supply, and two clients; the first is the user's default.
struct Bench {
    place: Place,
    lab: Lab,
    runtime: Runtime,
    rig: Rig,
    local: Local,
}

fn good(output: &Output) -> String {
    assert_eq!(code(output), 0, "{}", stderr(output));
    stdout(output)
}

impl Bench {
    fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let place = Place::new();
        let lab = Lab::start(&place);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        for words in [
            &["create", "exporter", "rig", "--label", "board=demo", "--out", "rig.yaml"][..],
            &["create", "exporter", "away", "--label", "board=away"],
            &["create", "client", "alice", "--unsafe", "--save"],
            &["create", "client", "bob", "--allow", "a.*,b.*", "--save"],
        ] {
            good(&run(&mut place.jmp(&[&["admin", "--lab", "lab"], words].concat())));
        }
        let credential = credential(&place.path().join("rig.yaml"));
        let (rig, local) = runtime.block_on(async {
            let registry = Registry::new(&[jumpstarter_driver_power::DRIVERS]);
            let local =
                Local::start(plan::check("power.yaml", POWER, &registry, |_| None).unwrap()).await.unwrap();
            (Rig::start(credential, "rig", local.socket()).await, local)
        });
        let bench = Self { place, lab, runtime, rig, local };
        bench.until_free();
        bench
    }

    fn jmp(&self, words: &[&str]) -> Output {
        run(&mut self.place.jmp(words))
    }

    /// Waits until the exporter can be leased. Nobody tells; asking is what takes the time.
    fn until_free(&self) {
        let deadline = Instant::now() + SOON;
        while !self.is_free() {
            assert!(Instant::now() < deadline, "the exporter is not free in time");
        }
    }

    fn is_free(&self) -> bool {
        let shown =
            self.jmp(&["get", "exporters", "-l", "board=demo", "--with", "status,leases", "-o", "json"]);
        let shown: Value = serde_json::from_str(&good(&shown)).unwrap();
        let rig = &shown["exporters"][0];
        rig["status_name"] == "AVAILABLE" && rig["lease"].is_null()
    }

    /// The leases of alice that have not ended.
    fn leases(&self) -> Vec<Value> {
        let shown = good(&self.jmp(&["get", "leases", "-o", "json"]));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown["leases"].as_array().unwrap().clone()
    }

    fn end(self) {
        let Self { lab, runtime, rig, local, .. } = self;
        drop(rig);
        assert!(runtime.block_on(local.stop()).is_empty());
        assert_eq!(lab.end(Signal::TERM).0, Some(0));
    }
}

/// What an exporter's file says.
fn credential(file: &Path) -> Credential {
    let text = std::fs::read_to_string(file).unwrap();
    let value = |key: &str| {
        let after = text.split_once(&format!("{key}:")).unwrap().1.trim_start();
        // Long values are folded.
        let rest = after.strip_prefix(">-").unwrap_or(after);
        let mut words = rest.lines().skip_while(|line| line.trim().is_empty());
        let first = words.next().unwrap().trim().to_owned();
        first
            + &words
                .take_while(|line| line.starts_with("  ") && !line.contains(':'))
                .map(str::trim)
                .collect::<String>()
    };
    let ca: String = value("ca").split_whitespace().collect();
    Credential {
        token: value("token"),
        endpoint: value("endpoint"),
        namespace: value("namespace"),
        authority: String::from_utf8(BASE64_STANDARD.decode(ca).unwrap()).unwrap(),
        ..Credential::default()
    }
}

const SHELL: [&str; 4] = ["shell", "--selector", "board=demo", "--"];

#[test]
fn a_command_finds_the_leased_exporter_in_its_environment_and_nothing_is_left() {
    let bench = Bench::new();
    let script = "j power on && j power read | tail -n 1 && env";
    let output = bench.jmp(&[&SHELL[..], &["sh", "-c", script]].concat());
    let text = good(&output);
    assert!(text.starts_with("voltage=5.0 V  current=2.0 A  apparent_power=10.0 VA\n"), "{text}");
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    let host = value("JUMPSTARTER_HOST").unwrap();
    assert!(host.starts_with(bench.place.path().join("run").to_str().unwrap()), "{host}");
    assert_eq!(value("JMP_EXPORTER"), Some("rig"));
    assert_eq!(value("JMP_EXPORTER_LABELS"), Some("board=demo"));
    assert_eq!(value("JMP_DRIVERS_ALLOW"), Some("UNSAFE"));
    assert_eq!(value("_JMP_SUPPRESS_DRIVER_WARNINGS"), Some("1"));
    assert!(!value("JMP_LEASE").unwrap().is_empty());
    for name in ["JMP_GRPC_INSECURE", "JMP_GRPC_PASSPHRASE", "JMP_CLIENT"] {
        assert_eq!(value(name), None, "{name}");
    }
    assert!(bench.leases().is_empty());
    bench.until_free();
    // What a client may use is said to commands as it is, also when it is not everything.
    let output = bench.jmp(&[
        "shell",
        "--client",
        "bob",
        "-n",
        "rig",
        "--",
        "sh",
        "-c",
        "echo $JMP_DRIVERS_ALLOW; exit 7",
    ]);
    assert_eq!((code(&output), stdout(&output).as_str()), (7, "a.*,b.*\n"), "{}", stderr(&output));
    bench.until_free();
    let output = bench.jmp(&["shell", "--client", "bob", "-n", "rig", "--", "j", "power", "on"]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("Error: driver 'power' is not allowed by the configuration of the client")
    );
    assert_eq!(bench.place.leftovers(), [] as [std::path::PathBuf; 0]);
    bench.end();
}

#[test]
fn pitfall_k1_every_signal_gives_the_lease_back() {
    let bench = Bench::new();
    for (signal, expected, said) in [
        (Signal::TERM, 143, "SIGTERM received, terminating"),
        (Signal::INT, 130, "SIGINT pressed, terminating"),
        (Signal::HUP, 129, "the terminal is gone, terminating"),
        (Signal::QUIT, 131, "SIGQUIT received, terminating"),
    ] {
        let words = [&SHELL[..], &["sh", "-c", "echo ready; exec sleep 1000"]].concat();
        let mut running = Running::start(&mut bench.place.jmp(&words));
        assert_eq!(running.line(), "ready");
        assert_eq!(bench.leases().len(), 1);
        running.signal(signal);
        let output = running.end();
        assert_eq!(code(&output), expected, "{}", stderr(&output));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
        assert!(bench.leases().is_empty(), "{signal:?}: {}", stderr(&output));
        assert_eq!(bench.place.leftovers(), [] as [std::path::PathBuf; 0]);
        bench.until_free();
    }
    bench.end();
}

#[test]
fn whoever_insists_need_not_wait_for_a_lab_that_does_not_answer() {
    let bench = Bench::new();
    let words = [&SHELL[..], &["sh", "-c", "echo ready; exec sleep 1000"]].concat();
    let mut running = Running::start(&mut bench.place.jmp(&words));
    assert_eq!(running.line(), "ready");
    bench.lab.signal(Signal::STOP);
    running.signal(Signal::TERM);
    let mut said = String::new();
    while !said.contains("Releasing Lease") {
        said = running.complaint();
    }
    running.signal(Signal::INT);
    let output = running.end();
    assert_eq!(code(&output), 143);
    assert!(stderr(&output).contains("may not have been given back"), "{}", stderr(&output));
    assert_eq!(bench.place.leftovers(), [] as [std::path::PathBuf; 0]);
    bench.lab.signal(Signal::CONT);
    bench.end();
}

#[test]
fn pitfall_k1_a_terminal_that_is_closed_gives_the_lease_back() {
    let bench = Bench::new();
    let words = [&SHELL[..], &["sh", "-c", "echo ready; exec sleep 1000"]].concat();
    let mut screen = Screen::start(&bench.place, &words, &[]);
    screen.wait_for("ready");
    assert_eq!(bench.leases().len(), 1);
    let mut child = screen.close();
    assert_eq!(child.wait().unwrap().code(), Some(129));
    assert!(bench.leases().is_empty());
    assert_eq!(bench.place.leftovers(), [] as [std::path::PathBuf; 0]);
    bench.end();
}

#[test]
fn pitfall_k1_giving_up_while_waiting_leaves_no_lease() {
    let bench = Bench::new();
    for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let words = ["shell", "-l", "board=away", "--", "echo", "never"];
        let mut running = Running::start(&mut bench.place.jmp(&words));
        assert!(running.complaint().contains("Acquiring lease"));
        let waits = running.complaint();
        assert!(waits.contains("Waiting for lease: 1 exporter matches, but it is offline"), "{waits}");
        running.signal(signal);
        let output = running.end();
        assert_eq!((code(&output), stdout(&output).as_str()), (expected, ""), "{}", stderr(&output));
        assert!(bench.leases().is_empty());
    }
    bench.end();
}

#[test]
fn pitfall_k8_a_lease_that_was_given_stays_when_the_shell_ends_in_any_way() {
    let bench = Bench::new();
    let lease = good(&bench.jmp(&["create", "lease", "-l", "board=demo", "--wait", "-o", "name"]));
    let lease = lease.trim_end();
    let output = bench.jmp(&["shell", "--lease", lease, "--", "j", "power", "on"]);
    good(&output);
    let mut command = bench.place.jmp(&["shell", "--", "sh", "-c", "echo ready $JMP_LEASE; exec sleep 1000"]);
    let mut running = Running::start(command.env("JMP_LEASE", lease));
    assert_eq!(running.line(), format!("ready {lease}"));
    running.signal(Signal::TERM);
    assert_eq!(code(&running.end()), 143);
    assert_eq!(bench.leases()[0]["name"], lease);

    // It is for something else than what is asked for: another one is made, and given back.
    let mut command =
        bench.place.jmp(&["shell", "-l", "board=away", "--acquisition-timeout", "5", "--", "true"]);
    let output = run(command.env("JMP_LEASE", lease));
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains(&format!("Warning: lease {lease} is for selector board=demo, not for")));
    assert!(stderr(&output).contains("acquisition timed out after 5 seconds"), "{}", stderr(&output));
    assert_eq!(bench.leases().len(), 1);

    // Somebody else's is refused, whatever is to be done with it.
    for (words, done) in [
        (&["delete", "leases", "--client", "bob", lease][..], "ended"),
        (&["update", "lease", "--client", "bob", lease, "--duration", "1h"], "changed"),
    ] {
        let output = bench.jmp(words);
        let message =
            format!("Error: lease {lease:?} belongs to another client: only that one can have it {done}\n");
        assert_eq!((code(&output), stderr(&output)), (1, message));
    }
    let output = bench.jmp(&["shell", "--client", "bob", "--lease", lease, "--", "true"]);
    let message = format!("Error: lease {lease} belongs to client 'alice', not the current client 'bob'\n");
    assert_eq!((code(&output), stderr(&output)), (1, message));

    // Handed on while it is in use: its session is over, and that is said without anybody asking; its command is told as well.
    let mut running =
        Running::start(&mut bench.place.jmp(&["shell", "--", "sh", "-c", "echo ready; exec sleep 1000"]));
    assert_eq!(running.line(), "ready");
    good(&bench.jmp(&["update", "lease", lease, "--to-client", "bob", "-o", "name"]));
    let shown = good(&bench.jmp(&["get", "leases", "--client", "bob", "-o", "name"]));
    assert_eq!(shown.trim_end(), lease);
    let output = running.end();
    let words = format!("lease {lease} was handed to client bob; this session is no longer valid");
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains(&words), "{}", stderr(&output));
    assert!(stderr(&output).ends_with(&format!("Error: {words}\n")), "{}", stderr(&output));
    good(&bench.jmp(&["delete", "leases", "--client", "bob", lease]));
    bench.end();
}

#[test]
fn a_j_after_the_end_of_the_lease_is_told_so_in_one_line() {
    let bench = Bench::new();
    let go = bench.place.path().join("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &go, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    // One that does not end with its lease.
    let script =
        format!("trap '' HUP; echo $JMP_LEASE; read go < {}; j power on 2>&1; echo code=$?", go.display());
    let mut running = Running::start(&mut bench.place.jmp(&[&SHELL[..], &["sh", "-c", &script]].concat()));
    let lease = running.line();
    good(&bench.jmp(&["delete", "leases", &lease]));
    let words = format!("lease {lease} is over: ");
    let mut told = String::new();
    while !told.contains(&words) {
        told = running.complaint();
    }
    std::fs::write(&go, "go\n").unwrap();
    let said = running.line();
    let why = told.split_once(&words).unwrap().1;
    assert_eq!((said, running.line().as_str()), (format!("Error: {words}{why}"), "code=1"));
    running.end();
    assert_eq!(bench.place.leftovers(), [] as [std::path::PathBuf; 0]);
    bench.end();
}

#[test]
fn leases_are_made_shown_changed_and_ended() {
    let bench = Bench::new();
    let made = good(&bench.jmp(&[
        "create",
        "lease",
        "-l",
        "board=demo",
        "--duration",
        "2h",
        "--lease-id",
        "ci-1",
        "--tag",
        "team=x",
        "--tag",
        "build=12",
    ]));
    let lines: Vec<_> = made.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>().join(" "),
        "NAME SELECTOR EXPIRES AT REMAINING CLIENT EXPORTER TAGS"
    );
    let cells: Vec<_> = lines[1].split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!((cells[0], cells[1]), ("ci-1", "board=demo"), "{made}");
    assert_eq!(cells[3..], ["1h 59m", "alice", "rig", "build=12,team=x"], "{made}");

    good(&bench.jmp(&["create", "lease", "-l", "board=demo", "--lease-id", "ci-2", "-o", "name"]));
    let wide = good(&bench.jmp(&["get", "leases", "-o", "wide"]));
    let waiting = wide.lines().find(|line| line.starts_with("ci-2")).unwrap();
    assert!(waiting.contains("Pending") && waiting.contains("place 1 of 1"), "{wide}");
    // It fits into a terminal, unless it is not to.
    for (words, more) in [(["get", "leases"], &[][..]), (["get", "exporters"], &["--with", "leases,online"])]
    {
        let plain = good(&bench.jmp(&[&words[..], more].concat()));
        let on = |more: &[&str]| {
            let command = pty_process::blocking::Command::new(JMP).args(words).args(more);
            let (code, seen) = Screen::within(50, &bench.place, command, &[("TZ", "UTC")]).end_seen();
            assert_eq!(code, 0, "{seen}");
            seen.replace('\r', "")
        };
        let fitted = on(more);
        assert!(fitted.lines().all(|line| line.trim_end().len() <= 50), "{fitted}");
        let widest = plain.lines().map(|line| line.trim_end().len()).max().unwrap();
        assert!(widest > 50, "{plain}");
        assert_eq!(on(&[more, &["--wide"]].concat()), plain);
    }
    for (filter, expected) in [
        (&["-l", "board=demo"][..], "ci-1\nci-2\n"),
        (&["-l", "board in (demo,x)"], "ci-1\nci-2\n"),
        (&["-l", "board=other"], ""),
        (&["--tag-filter", "team=x"], "ci-1\n"),
        (&["--page-size", "1"], "ci-1\nci-2\n"),
        (&["--client", "bob"], ""),
        (&["--client", "bob", "-A"], "ci-1\nci-2\n"),
    ] {
        let words = [&["get", "leases", "-o", "name"], filter].concat();
        assert_eq!(good(&bench.jmp(&words)), expected, "{filter:?}");
    }
    assert_eq!(good(&bench.jmp(&["get", "leases", "-l", "board=x"])), "No resources found.\n");

    let shown = good(&bench.jmp(&["update", "lease", "ci-1", "--duration", "3h", "-o", "json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["duration"], &shown["exporter"]), (&json!(10800.0), &json!("rig")));
    let keys = "namespace name selector exporter_name tags context duration effective_duration begin_time client exporter \
                conditions effective_begin_time effective_end_time deprecated_labels";
    let text = good(&bench.jmp(&["get", "leases", "-o", "json"]));
    let mut at = 0;
    for key in keys.split_whitespace() {
        at += text[at..]
            .find(&format!("\"{key}\":"))
            .unwrap_or_else(|| panic!("{key} is missing or out of order"));
    }
    let yaml = good(&bench.jmp(&["get", "leases", "-o", "yaml"]));
    assert!(yaml.starts_with("leases:\n") && yaml.find("begin_time") < yaml.find("client:"), "{yaml}");

    let exporters = good(&bench.jmp(&["get", "exporters", "--with", "ONLINE,leases", "--with", "status"]));
    let rig = exporters.lines().find(|line| line.starts_with("rig")).unwrap();
    let cells: Vec<_> = rig.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells[..6], ["rig", "yes", "LEASE_READY", "board=demo", "alice", "In-Use"], "{exporters}");
    assert!(exporters.lines().nth(1).unwrap().starts_with("away  no"), "sorted by name: {exporters}");

    assert_eq!(
        good(&bench.jmp(&["delete", "leases", "--all"])),
        "lease \"ci-1\" deleted\nlease \"ci-2\" deleted\n"
    );
    let output = bench.jmp(&["delete", "leases", "ci-1", "none", "-o", "name"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
    let complaints = stderr(&output);
    assert!(complaints.contains("Error: lease \"ci-1\" has been given back already\n"), "{complaints}");
    assert!(complaints.contains("Error: there is no lease \"none\"\n"), "{complaints}");
    assert!(bench.leases().is_empty());
    assert!(good(&bench.jmp(&["get", "leases", "-a", "-o", "name"])).contains("ci-1"));
    bench.end();
}

#[test]
fn a_lease_that_is_scheduled_says_when_it_begins() {
    let bench = Bench::new();
    let begin = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2 * 3600 + 90);
    let written = begin.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    // Local time is UTC here.
    let shown = begin.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let words = ["create", "lease", "-l", "board=demo", "--lease-id", "later", "--begin-time", &written];
    let made = bench.jmp(&[&words[..], &["-o", "name"]].concat());
    assert_eq!(good(&made), "later\n");
    assert_eq!(stderr(&made), format!("Lease later begins at {shown}, in 2h 1m.\n"));
    let wide = good(&bench.jmp(&["get", "leases", "-o", "wide"]));
    assert!(wide.contains(&format!("Scheduled  it begins at {shown}")), "{wide}");
    // Another begin leaves the duration as it is.
    let other = begin + jiff::SignedDuration::from_secs(3600);
    let other = other.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let changed = bench.jmp(&["update", "lease", "later", "--begin-time", &other, "-o", "json"]);
    let changed: serde_json::Value = serde_json::from_str(&good(&changed)).unwrap();
    assert_eq!(changed["begin_time"].as_str().map(|time| &time[..19]), Some(&other[..19]), "{changed}");
    assert_eq!(changed["duration"], 1800.0, "{changed}");
    good(&bench.jmp(&["update", "lease", "later", "--begin-time", &written]));
    let over = bench.jmp(&["create", "lease", "-l", "board=demo", "--begin-time", "2020-01-01T00:00:00Z"]);
    assert_eq!(code(&over), 2, "{}", stderr(&over));
    assert!(stderr(&over).contains("for 30 minutes is over already"), "{}", stderr(&over));
    for words in [
        &["shell", "--lease", "later", "--", "true"][..],
        &["create", "lease", "-n", "rig", "--begin-time", &written, "--wait"],
    ] {
        let mut running = Running::start(&mut bench.place.jmp(words));
        let mut said = String::new();
        while !said.contains("Waiting for lease: ") {
            said = running.complaint();
            assert!(!said.is_empty(), "it ended");
        }
        assert!(said.ends_with(&format!("Waiting for lease: it begins at {shown}")), "{said}");
        running.signal(Signal::TERM);
        running.end();
    }
    // One that begins at once has nothing to say about it.
    let made = bench.jmp(&["create", "lease", "-l", "board=demo", "--lease-id", "now", "-o", "name"]);
    assert_eq!((good(&made), stderr(&made)), ("now\n".to_owned(), String::new()));
    good(&bench.jmp(&["delete", "leases", "--all"]));
    bench.end();
}

#[test]
fn what_a_lab_has_is_completed() {
    let bench = Bench::new();
    good(&bench.jmp(&["create", "lease", "-l", "board=demo", "--lease-id", "mine", "-o", "name"]));
    good(&bench.jmp(&[
        "create",
        "lease",
        "--client",
        "bob",
        "-n",
        "away",
        "--lease-id",
        "his",
        "-o",
        "name",
    ]));
    let ask = |line: &str| {
        let words = line.split(' ').collect::<Vec<_>>();
        let mut command = bench.place.jmp(&[]);
        command
            .env("_JMP_COMPLETE", "bash_complete")
            .env("COMP_WORDS", words.join("\n"))
            .env("COMP_CWORD", (words.len() - 1).to_string());
        stdout(&run(&mut command))
    };
    for (line, expected) in [
        ("jmp shell -n ", "plain,away\nplain,rig\n"),
        ("jmp create lease --name r", "plain,rig\n"),
        ("jmp create lease --name=r", "plain,--name=rig\n"),
        ("jmp shell -l board", "plain,board=away\nplain,board=demo\n"),
        ("jmp get exporters -l board = d", "plain,demo\n"),
        ("jmp shell --lease ", "plain,mine\n"),
        ("jmp delete leases ", "plain,mine\n"),
        ("jmp delete leases mine ", "plain,mine\n"),
        ("jmp update lease ", "plain,mine\n"),
        ("jmp update lease --client bob ", "plain,his\n"),
        // Nobody who can be asked.
        ("jmp shell --client nobody -n ", ""),
        ("jmp login --name ", ""),
    ] {
        assert_eq!(ask(line), expected, "{line}");
    }
    good(&bench.jmp(&["delete", "leases", "--all"]));
    good(&bench.jmp(&["delete", "leases", "--client", "bob", "--all"]));
    bench.end();
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let bench = Bench::new();
    good(&bench.jmp(&["create", "lease", "-n", "rig", "--lease-id", "mine", "-o", "name"]));
    for (words, expected, says) in [
        (&["delete", "leases", "-l", "board in"][..], 2, "Invalid value for '--selector': invalid selector"),
        (&["delete", "leases", "-l", "=v"], 2, "`` is not the key of a label"),
        (&["delete", "leases", "-l", "k>x"], 2, "not a whole number"),
        (&["delete", "leases"], 1, "One of NAMES, --selector, --all or --all-clients must be specified"),
        (&["delete", "leases", "-l", "board=none"], 1, "no leases found matching the criteria"),
        (&["create", "lease"], 2, "one of --selector/-l or --name/-n is required"),
        (&["create", "lease", "-n", "rig", "--duration", "0"], 2, "a lease lasts longer than nothing"),
        (&["create", "lease", "-n", "rig", "--duration", "-1h"], 2, "'-1h' is not a valid duration"),
        (&["create", "lease", "-n", "rig", "--begin-time", "12:00"], 2, "'12:00' is not a date and time"),
        (
            &["create", "lease", "-n", "rig", "--tag", "nope"],
            2,
            "Invalid tag format: 'nope' (expected key=value)",
        ),
        (
            &["create", "lease", "-n", "rig", "--lease-id", "mine"],
            1,
            "Error: lease \"mine\" already exists\n",
        ),
        (
            &["update", "lease", "mine"],
            2,
            "at least one of --duration, --begin-time or --to-client is required",
        ),
        (&["update", "lease", "none", "--duration", "1h"], 1, "Error: there is no lease \"none\"\n"),
        (
            &["get", "exporters", "--with", "bogus"],
            2,
            "Invalid value(s) ['bogus']. Allowed values are: leases, online, status",
        ),
        (&["get", "exporters", "--page-size", "0"], 2, "--page-size"),
        (&["get", "leases", "--client", "nobody"], 1, "client \"nobody\" does not exist"),
        (
            &["get", "leases", "--client", "bob", "--client-config", "x"],
            2,
            "only one of --client, --client-config should be specified",
        ),
        (&["shell", "-l", "board=demo", "--acquisition-timeout", "2"], 2, "'2' must be at least 5 seconds"),
        (
            &["shell", "-l", "board", "--exporter-config", "x"],
            2,
            "'--selector' and '--exporter-config' exclude each other.",
        ),
        (
            &["shell", "-n", "nothere", "--", "true"],
            1,
            "the lease cannot be satisfied: exporter `nothere` does not exist",
        ),
        (&["shell", "--lease", "none", "--", "true"], 1, "Error: there is no lease \"none\"\n"),
    ] {
        let output = bench.jmp(words);
        assert_eq!(code(&output), expected, "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{words:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{words:?}");
    }
    assert_eq!(bench.leases().len(), 1);
    // Whose it is has to be said where it is not known.
    good(&bench.jmp(&["create", "lease", "-n", "away", "--lease-id", "second", "-o", "name"]));
    let output = bench.jmp(&["shell", "--", "true"]);
    assert_eq!(code(&output), 2);
    let said = stderr(&output);
    assert!(said.contains("Multiple active leases found:\n\n  1) mine\n     exporter=rig"), "{said}");
    assert!(said.contains("2) second\n") && said.contains("Name one with --lease."), "{said}");
    bench.end();
}
