//! The page about an exporter's life shows the machine as it is.

use std::path::Path;

const BEGIN: &str = "<!-- The machine, printed by the tests of jumpstarter-life. -->\n";
const END: &str = "<!-- End of the machine. -->";

#[test]
fn the_table_in_the_documentation_is_printed_from_the_machine() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/exporter-life.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the table");
    let (shown, after) = rest.split_once(END).expect("the table has an end");
    let table = jumpstarter_life::table::markdown();
    if std::env::var_os("JUMPSTARTER_WRITE_TABLES").is_some() {
        std::fs::write(&page, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(shown, table, "run this test with JUMPSTARTER_WRITE_TABLES=1 and read what has changed");
}
