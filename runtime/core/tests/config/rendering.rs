//! The look of a list of problems.

use std::sync::Arc;

use jumpstarter_core::config::{Problem, Problems, Source};
use pretty::block;

mod pretty {
    /// Lines without the indentation that the source code gives them.
    pub(super) fn block(text: &str) -> String {
        text.trim_start_matches('\n').trim_end().to_owned()
    }
}

const FILE: &str = "\
apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
metadata: {namespace: lab, name: rig3}
export:
  board:
    type: board
    children:
      # The console of the board.
      console:
        # On the second port.
        type: serial

  # What follows stands here for its places only.
    config: {url: /dev/ttyUSB0,
      baud: 9600}
    power:
      type: tcp
";

fn problems() -> Problems {
    let source = Arc::new(Source::new("exporter.yaml", FILE));
    let at = |word: &str| source.span_at(FILE.find(word).expect("a word of the file"), word.len());
    let mut problems = Problems::new();
    problems.push(
        Problem::error("child `power` of driver `board` must provide power")
            .at(at("tcp"))
            .path("export.board.children.power")
            .label("provides network")
            .help("drivers that provide power: mock-power, tasmota, http-power, snmp, …"),
    );
    problems.push(
        Problem::error("unknown key `baud` in the configuration of driver `serial`")
            .at(at("baud"))
            .context(at("config"))
            .path("export.board.children.console")
            .help("did you mean `baudrate`? known keys: url, baudrate, check_present, cps"),
    );
    problems.attach(&source);
    problems
}

#[test]
fn a_list_of_problems_looks_as_it_was_designed() {
    assert_eq!(
        problems().render(),
        block(
            "
exporter.yaml: 2 problems

error: unknown key `baud` in the configuration of driver `serial`
   ┌ exporter.yaml:15:7
14 │     config: {url: /dev/ttyUSB0,
15 │       baud: 9600}
   │       ^^^^ export.board.children.console
   help: did you mean `baudrate`? known keys: url, baudrate, check_present, cps

error: child `power` of driver `board` must provide power
   ┌ exporter.yaml:17:13
17 │       type: tcp
   │             ^^^ export.board.children.power: provides network
   help: drivers that provide power: mock-power, tasmota, http-power, snmp, …
"
        )
    );
}

#[test]
fn other_front_ends_get_the_same_list_as_json() {
    insta::assert_json_snapshot!(problems());
}

#[test]
fn one_problem_fits_one_line() {
    let lines: Vec<String> = problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "exporter.yaml:15:7: unknown key `baud` in the configuration of driver `serial`",
            "exporter.yaml:17:13: child `power` of driver `board` must provide power",
        ]
    );
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let text = format!("a: {} here {}", "x".repeat(300), "y".repeat(300));
    let source = Arc::new(Source::new("long.yaml", text));
    let at = source.span_at(304, 4);
    let mut problems = Problems::from(Problem::error("look").at(at));
    problems.attach(&source);
    let rendered = problems.render();
    let lines: Vec<&str> = rendered.lines().collect();
    let under: String = lines[4]
        .chars()
        .zip(lines[5].chars())
        .filter(|(_, mark)| *mark == '^')
        .map(|(shown, _)| shown)
        .collect();
    assert_eq!(under, "here");
    assert!(rendered.lines().all(|line| line.chars().count() < 140));
}

#[test]
fn what_a_file_says_cannot_drive_the_terminal() {
    let text = "\"\\e[31m\\u202e\": 1 # \u{202e}\n";
    let reading = jumpstarter_core::config::exporter::read("x\u{7}.yaml", text, |_| None);
    let rendered = reading.problems.render();
    assert!(rendered.contains("unknown key"));
    assert!(
        rendered.chars().all(|c| c == '\n' || !c.is_control()) && !rendered.contains('\u{202e}'),
        "{rendered:?}"
    );
}

#[test]
fn a_hundred_problems_are_enough_and_the_others_are_counted() {
    let keys = (0..130).map(|number| format!("unknown{number}: 1\n")).collect::<Vec<_>>().concat();
    let reading = jumpstarter_core::config::exporter::read("many.yaml", &keys, |_| None);
    assert_eq!((reading.problems.len(), reading.problems.iter().count()), (130, 100));
    assert!(reading.problems.render().ends_with("… and 30 more problems"));
}
