//! No text makes the reader panic, hang or grow without bounds.

use std::fmt::Write as _;

use jumpstarter_core::config::document::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
use jumpstarter_core::config::parse;
use proptest::prelude::*;

use super::sample;

/// What is wrong, in one line each.
fn messages(text: &str) -> Vec<String> {
    parse("x", text).problems.iter().map(|problem| problem.message().to_owned()).collect()
}

#[test]
fn too_much_text_is_refused_before_it_is_read() {
    assert_eq!(messages(&"#".repeat(MAX_BYTES + 1)), [format!("the file is {} bytes long", MAX_BYTES + 1)]);
    assert!(messages(&"#".repeat(MAX_BYTES)).is_empty());
}

#[test]
fn too_many_values_are_refused() {
    let text = format!("[{}]", "1,".repeat(MAX_NODES));
    assert_eq!(messages(&text), ["too many values"]);
}

#[test]
fn ten_thousand_levels_are_refused_however_they_are_written() {
    let mut block = String::new();
    for level in 0..2_000 {
        let _ = writeln!(block, "{}a:", " ".repeat(level));
    }
    for text in ["[".repeat(10_000), "{a: ".repeat(10_000), "- ".repeat(10_000), "? ".repeat(10_000), block] {
        assert_eq!(messages(&text), ["too many levels"], "{}", &text[..20]);
    }
    let deepest = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(messages(&deepest).is_empty());
}

#[test]
fn aliases_cannot_multiply_a_file() {
    let mut laughs = String::from("a0: &a0 [lol, lol, lol]\n");
    for level in 1..40 {
        let below = level - 1;
        let _ = writeln!(laughs, "a{level}: &a{level} [*a{below}, *a{below}, *a{below}]");
    }
    assert_eq!(messages(&laughs), ["aliases repeat too much here"]);

    let large = format!("a: &a {}\nb: [{}]\n", "x".repeat(1_000_000), "*a, ".repeat(100));
    assert_eq!(messages(&large), ["aliases repeat too much here"]);

    let nested = (0..60).map(|level| format!("&n{level} [")).collect::<Vec<_>>().concat();
    let text = format!("{nested}{}{}", "x".repeat(1_000_000), "]".repeat(60));
    assert_eq!(messages(&text), ["aliases repeat too much here"]);
}

#[test]
fn files_at_the_limits_are_still_answered() {
    // Each of these invites work that grows with the square of its size.
    let one_line = format!("{{{}}}", "token: xxxxxxxx, a: {b: 1}, ".repeat(1_500));
    let long_line = format!("exports: {}\n", "x".repeat(MAX_BYTES - 100));
    let refs =
        (0..4_900).map(|name| format!("  p{name}: {{ref: nowhere{name}}}\n")).collect::<Vec<_>>().concat();
    let ring =
        (0..4_900).map(|name| format!("  p{name}: {{ref: p{}}}\n", (name + 1) % 4_900)).collect::<Vec<_>>();
    let nest = (0..2_400)
        .map(|name| format!("  p{name}: {{children: {{x: {{ref: p{}}}}}}}\n", (name + 1) % 2_400))
        .collect::<Vec<_>>();
    for text in [
        one_line,
        long_line,
        format!("export:\n{refs}"),
        format!("export:\n{}", ring.concat()),
        format!("export:\n{}", nest.concat()),
    ] {
        let (_, problems) = sample::problems("large.yaml", &text);
        assert!(problems.has_errors());
        assert!(problems.render().len() < 300_000, "{}", problems.render().len());
    }
}

#[test]
fn too_many_drivers_are_refused_once() {
    let text = (0..6_000).map(|name| format!("  p{name}: {{type: t}}\n")).collect::<Vec<_>>().concat();
    let (_, problems) = sample::problems("many.yaml", &format!("export:\n{text}"));
    assert_eq!(
        problems.iter().map(jumpstarter_core::config::Problem::message).collect::<Vec<_>>(),
        ["too many drivers"]
    );
}

#[test]
fn aliases_count_towards_the_depth() {
    let mut text = format!("a0: &a0 {}{}\n", "[".repeat(30), "]".repeat(30));
    for level in 1..3 {
        let _ = writeln!(text, "a{level}: &a{level} {}*a{}{}", "[".repeat(30), level - 1, "]".repeat(30));
    }
    assert_eq!(messages(&text), ["too many levels"]);
}

/// Text that looks like YAML closely enough to get past the first line.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "export:",
        "type:",
        "config:",
        "children:",
        "ref:",
        "hooks:",
        "metadata:",
        "token:",
        "a",
        "b.c",
        "serial",
        "machine",
        "mock-power",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        ": ",
        "- ",
        "? ",
        "\n",
        "\n",
        "\n  ",
        "\n    ",
        "\n\t",
        "\r",
        "\r\n",
        "\"",
        "'",
        "|",
        ">",
        "|2-",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!x ",
        "#",
        " # c\n",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "~",
        "017",
        "0x1F",
        "1e400",
        ".nan",
        "-",
        "99999999999999999999999999999999999999999999",
        "\u{feff}",
        "\u{0}",
        "\u{202e}",
        "ü",
        "𝄞",
        "\\x",
        "on",
        "no",
        "script:",
        "timeout:",
        "url:",
        "baudrate:",
        " ",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Reads, checks, renders; whatever the text says, each of these returns.
fn survives(text: &str) {
    let (_, problems) = sample::problems("fuzz.yaml", text);
    let rendered = problems.render();
    assert_eq!(rendered.is_empty(), problems.is_empty());
    assert!(serde_json::to_string(&problems).is_ok());
    for problem in &problems {
        let span = problem.span().expect("every problem has a place");
        assert!(span.start <= span.end && span.end <= text.len(), "{span:?} in {text:?}");
        assert!(span.line >= 1 && span.column >= 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn text_that_resembles_an_exporter_file_never_panics(text in yaml_like()) {
        survives(&text);
    }

    #[test]
    fn a_file_cut_anywhere_never_panics(cut in 0..600usize) {
        let text = include_str!("good/board_with_everything.yaml");
        let cut = text.char_indices().map(|(index, _)| index).nth(cut).unwrap_or(text.len());
        survives(&text[..cut]);
    }

    #[test]
    fn every_value_without_tricks_reads_back_as_the_same_json(value in json(), indent in any::<bool>()) {
        let text = if indent { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let parsed = parse("x", &text.expect("JSON"));
        prop_assert!(parsed.problems.is_empty(), "{}", parsed.problems);
        prop_assert_eq!(parsed.document.expect("a document").root.to_json(), value);
    }
}

/// JSON values; JSON is YAML.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1.0e6..1.0e6f64).prop_map(Into::into),
        "[a-zA-Z0-9 :#\\-\"'\\\\{}\u{e4}\u{1F600}\n]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map("[a-z ]{1,8}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
