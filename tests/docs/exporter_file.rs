//! `docs/exporter-file.md`, and exporter files on all pages.

use jumpstarter_core::{
    config::{common::COMMON_KEYS, exporter::FILE_KEYS, tree::NODE_KEYS},
    driver::DriverFactory,
};
use jumpstarter_exporter::{Registry, check, local};

use crate::{
    page::{Page, matches, updating},
    pages::CHECKED,
};

const PAGE: &str = "docs/exporter-file.md";

/// Pages whose files name drivers that only the page has; they are used there, which checks them as well.
const WITH_DRIVERS_OF_THEIR_OWN: &[&str] = &["docs/writing-a-driver.md", "README.md"];

const DRIVERS: &[&[&dyn DriverFactory]] = &[
    jumpstarter_driver_board::DRIVERS,
    jumpstarter_driver_composite::DRIVERS,
    jumpstarter_driver_network::DRIVERS,
    jumpstarter_driver_power::DRIVERS,
    jumpstarter_driver_serial::DRIVERS,
    jumpstarter_driver_shell::DRIVERS,
    jumpstarter_driver_storage::DRIVERS,
];

/// What is wrong with a file, as `jmp` prints it; empty if nothing is.
fn problems(name: &str, text: &str) -> String {
    let problems = match check(name, text, &Registry::new(DRIVERS), |_| None) {
        Ok(plan) => plan.warnings,
        Err(problems) => problems,
    };
    if problems.is_empty() { String::new() } else { problems.render() }
}

/// The same with `--open`.
fn opened(name: &str, text: &str) -> String {
    let Ok(plan) = check(name, text, &Registry::new(DRIVERS), |_| None) else { return problems(name, text) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(local::open_and_close(plan)).render()
}

#[test]
fn exporter_files_on_pages_are_right_or_have_the_problems_that_are_shown() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for name in CHECKED.iter().filter(|name| !WITH_DRIVERS_OF_THEIR_OWN.contains(name)) {
        let page = Page::read(name);
        let mut corrected = Vec::new();
        for (at, block) in page.blocks.iter().enumerate().filter(|(_, block)| block.language == "yaml") {
            seen += 1;
            let place = page.place(block);
            let file = block.word("file").unwrap_or("exporter.yaml");
            let found =
                if block.has("opens") { opened(file, &block.text) } else { problems(file, &block.text) };
            if !block.has("problems") {
                if !found.is_empty() {
                    wrong.push(format!("{place}: the page says that this file is right\n{found}"));
                }
                continue;
            }
            if found.is_empty() {
                wrong.push(format!("{place}: nothing is wrong with this file"));
            }
            let shown = page.blocks.get(at + 1).filter(|next| next.language == "text" && next.has("of"));
            let Some(shown) = shown else {
                wrong.push(format!("{place}: its problems must follow, in a block `text of=yaml`"));
                continue;
            };
            if !matches(&shown.text, &found) {
                corrected.push((at + 1, format!("{}\n", found.trim_end())));
                wrong.push(format!("{place}: what is printed for this file is\n{found}"));
            }
        }
        if updating() && !corrected.is_empty() {
            page.rewrite(corrected);
        }
    }
    assert!(seen > 10, "only {seen} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Drivers that need what only some machines have, and what `--open` says where it is not there.
const NEEDS_HARDWARE: &[(&str, &str)] = &[
    ("nvdemux-serial", "there is no such program"),
    ("serial", "is the device plugged in?"),
    ("tasmota-power", "cannot be reached"),
];

#[test]
fn every_example_of_the_reference_is_right_and_opens_where_no_hardware_is_needed() {
    let mut wrong = Vec::new();
    let mut opens = 0;
    for driver in DRIVERS.iter().copied().flatten() {
        let driver = driver.spec().type_name;
        let page = Page::read(&format!("docs/reference/drivers/{driver}.md"));
        let lacking = NEEDS_HARDWARE.iter().find(|(known, _)| *known == driver);
        let files: Vec<_> = page.of(&["yaml"]).collect();
        assert!(!files.is_empty(), "{driver} has no example");
        for file in files {
            let place = page.place(file);
            let found = problems("exporter.yaml", &file.text);
            if !found.is_empty() {
                wrong.push(format!("{place}: {found}"));
                continue;
            }
            let found = opened("exporter.yaml", &file.text);
            match lacking {
                None if found.is_empty() => opens += 1,
                None => wrong.push(format!("{place}: {found}")),
                // A machine that has the device opens it; any other problem is one of the example.
                Some((_, words)) if !found.is_empty() && !found.contains(words) => {
                    wrong.push(format!("{place}: {found}"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(opens > 40, "only {opens} examples were opened");
}

#[test]
fn every_key_is_explained_and_shown() {
    let page = Page::read(PAGE);
    let examples: String =
        page.of(&["yaml"]).filter(|block| !block.has("problems")).map(|block| block.text.as_str()).collect();
    let mut missing = Vec::new();
    for key in FILE_KEYS.iter().chain(NODE_KEYS).chain(COMMON_KEYS) {
        if !page.text.lines().any(|line| line.starts_with(&format!("| `{key}` |"))) {
            missing.push(format!("`{key}` is in no table of {PAGE}"));
        }
        let used = examples.lines().any(|line| {
            let line = line.split('#').next().unwrap_or_default();
            line.contains(&format!("{key}:"))
        });
        // The one form that no example can show, because this version refuses it.
        if !used && *key != "isolation" {
            missing.push(format!("`{key}` is in no example of {PAGE}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
