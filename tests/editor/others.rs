//! Client and user files, and the top of every file.

use jumpstarter_core::config::{client, exporter, user};
use jumpstarter_tests::node::language_server;

use crate::{file, folder, labels, lsp::Editor, offered};

#[test]
fn every_key_at_the_top_of_a_file_is_offered() {
    let Some(server) = language_server() else { return };
    let mut editor = Editor::start(&server);
    for (kind, keys) in
        [("exporter", exporter::FILE_KEYS), ("client", client::FILE_KEYS), ("user", user::FILE_KEYS)]
    {
        let offers = editor.offers(&folder(), &file(kind, "|\n"));
        let labels = labels(&offers);
        for key in keys {
            assert!(labels.contains(key), "{kind}: {key} is not in {labels:?}");
            assert!(!offered(&offers, key).documentation.is_empty(), "{kind}: {key}");
        }
    }
    let offers = editor.offers(&folder(), &file("client", "leases:\n  |\n"));
    let known: Vec<_> = labels(&offers).into_iter().filter(|label| label.ends_with("_timeout")).collect();
    assert_eq!(known, ["acquisition_timeout", "dial_timeout", "retry_timeout"]);
    assert!(offered(&offers, "dial_timeout").documentation.contains("in seconds"));
}

#[test]
fn a_mistake_in_a_client_file_or_a_user_file_is_underlined() {
    let Some(server) = language_server() else { return };
    let mut editor = Editor::start(&server);
    for (kind, text, underlined, line) in [
        ("client", "kind: ExporterConfig\n", "ExporterConfig", 0),
        ("client", "endpont: x\n", "endpont", 0),
        ("client", "leases:\n  acquisition_timeout: 4\n", "4", 1),
        ("client", "drivers:\n  alow: []\n", "alow", 1),
        ("client", "tls: {insecure: maybe}\n", "maybe", 0),
        ("user", "config:\n  current_client: lab\n", "current_client", 1),
    ] {
        let problems = editor.problems(&folder(), &file(kind, text));
        let [problem] = problems.as_slice() else { panic!("{text}\n{problems:#?}") };
        assert_eq!((problem.text.as_str(), problem.line), (underlined, line + 1), "{text}\n{problem:?}");
    }
}
