//! `#[commands]`.

use jumpstarter::{
    Call, Client,
    dispatch::{Args, Payload},
    wire::value::{boolean, text},
};

use crate::{
    sample::{BenchClient, BenchCommand, MemoryBench},
    support::unary_value,
};

#[test]
fn a_command_says_how_it_is_written() {
    let [cycle] = BenchClient::COMMANDS else { panic!("one command") };
    assert_eq!((cycle.method.export, cycle.method.doc), ("cycle", "Off and on again."));
    let [wait, quiet, name] = cycle.options else { panic!("three parameters") };
    assert_eq!((wait.long, wait.short, wait.default), (Some("wait"), Some('w'), Some("2s")));
    assert_eq!((quiet.long, quiet.short), (Some("quiet"), None));
    assert_eq!((name.long, name.short), (None, None));
    assert_eq!(cycle.method.params[0].doc, "How long to wait.");
    let entry = BenchCommand::ENTRY.with_commands(BenchClient::COMMANDS);
    assert_eq!(entry.commands.len(), 1);
}

#[jumpstarter::test]
async fn a_command_runs_on_a_client() {
    let bench = BenchClient::local(MemoryBench::default());
    let run = |values| {
        (BenchClient::COMMANDS[0].run)(
            bench.target().clone(),
            Args::new(Payload::Values(values), Call::default()),
        )
    };
    let absent = run(vec![]).await.unwrap();
    assert_eq!(unary_value(absent), text("PT2S false None"));
    let given = run(vec![text("1s"), boolean(true), text("x")]).await.unwrap();
    assert_eq!(unary_value(given), text("PT1S true Some(\"x\")"));
}
