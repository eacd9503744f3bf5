//! Applies every edit to the text of the fixture, so that all of them are compiled together.

use std::{env, fs, path::Path};

// The expectations are the test's.
#[allow(dead_code)]
mod edits {
    include!("edits.rs");

    /// Names and texts.
    pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static [(&'static str, &'static str)])> {
        EDITS.iter().map(|edit| (edit.name, edit.replace))
    }
}

#[allow(clippy::print_stdout)]
fn main() {
    println!("cargo::rerun-if-changed=fixture.rs");
    println!("cargo::rerun-if-changed=edits.rs");
    let out = env::var("OUT_DIR").expect("cargo says where to write");
    let out = Path::new(&out);
    let original = fs::read_to_string("fixture.rs").expect("the fixture");
    let mut modules = String::new();
    let mut list = String::new();
    for (name, replace) in edits::all() {
        let mut text = original.clone();
        for (find, with) in replace {
            let found = text.matches(find).count();
            assert!(found == 1, "edit `{name}`: found {found} times, where it has to be found once:\n{find}");
            text = text.replacen(find, with, 1);
        }
        assert!(text != original, "edit `{name}` changes nothing");
        let path = out.join(format!("{name}.rs"));
        fs::write(&path, text).expect("a file of the build");
        let place = path.display();
        modules.extend(["#[path = \"", &place.to_string(), "\"]\npub mod ", name, ";\n"]);
        list.extend(["    (\"", name, "\", ", name, "::INTERFACES, ", name, "::DRIVERS),\n"]);
    }
    let variants = format!(
        "{modules}\n/// Every edited source, by the name of its edit.\npub const VARIANTS: &[Variant] = &[\n{list}];\n"
    );
    fs::write(out.join("variants.rs"), variants).expect("a file of the build");
}
