//! The page about an exporter's life shows the machine as it is.

use std::path::Path;

type Print = fn() -> String;

/// The tables of the page, by what begins and ends them.
const TABLES: [(&str, &str, Print); 2] = [
    (
        "<!-- The machine, printed by the tests of jumpstarter-life. -->\n",
        "<!-- End of the machine. -->",
        jumpstarter_life::table::markdown,
    ),
    (
        "<!-- Registering, printed by the tests of jumpstarter-life. -->\n",
        "<!-- End of registering. -->",
        jumpstarter_life::table::registering,
    ),
];

#[test]
fn the_tables_in_the_documentation_are_printed_from_the_machine() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/exporter-life.md");
    let mut text = std::fs::read_to_string(&page).unwrap();
    for (begin, end, print) in TABLES {
        let (before, rest) = text.split_once(begin).expect("the page has a place for the table");
        let (shown, after) = rest.split_once(end).expect("the table has an end");
        let table = print();
        if std::env::var_os("JUMPSTARTER_WRITE_TABLES").is_some() {
            let new = format!("{before}{begin}{table}{end}{after}");
            std::fs::write(&page, &new).unwrap();
            text = new;
            continue;
        }
        assert_eq!(shown, table, "run this test with JUMPSTARTER_WRITE_TABLES=1 and read what has changed");
    }
}
