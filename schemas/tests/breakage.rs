//! The program itself, on a copy of the project's documents: what it says about a change since the last release, and its exit
//! code.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use jumpstarter_compatibility::{Record, files};

fn run(root: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jumpstarter-schemas"));
    command.args(arguments).arg("--root").arg(root).output().expect("the program runs")
}

/// Exit code and words for people.
fn check(root: &Path) -> (Option<i32>, String) {
    let output = run(root, &["--check"]);
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

/// A project whose last release was made today, and had one thing more.
fn project(more: impl FnOnce(&mut Record)) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let output = run(root.path(), &["--release"]);
    assert!(output.status.success(), "{output:?}");
    let (code, said) = check(root.path());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let folder = root.path().join("schemas/released");
    let mut released = files::read(&folder).expect("a record");
    more(&mut released);
    files::write(&folder, &released).expect("a record is written");
    root
}

fn accept(root: &Path, rule: &str, place: &str) {
    let entry = format!("[[accept]]\nrule = \"{rule}\"\nplace = \"{place}\"\nreason = \"it never worked\"\n");
    fs::write(root.join("proto/breaking.toml"), entry).expect("a list");
}

const POWER: &str = "jumpstarter.driver.power.v1";

fn a_method_more(released: &mut Record) {
    let power = released.interfaces.get_mut(POWER).expect("power");
    let mut method = power.methods.first().expect("a method").clone();
    "gone_method".clone_into(&mut method.export);
    "GoneMethod".clone_into(&mut method.rpc);
    method.renamed_from = Vec::new();
    power.methods.push(method);
}

#[test]
fn a_break_fails_with_its_remedy_and_passes_once_it_is_accepted() {
    let root = project(a_method_more);
    let root = root.path();
    let (code, said) = check(root);
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "breaking for native and legacy clients: power.gone_method: the method is gone; ",
        "    place = \"interfaces/jumpstarter.driver.power.v1/gone_method\"\n",
        "help: docs/changing-an-interface.md says how",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    let refused = run(root, &["--release"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");

    accept(root, "method-removed", &format!("interfaces/{POWER}/gone_method"));
    let (code, said) = check(root);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "accepted: power.gone_method: the method is gone: it never worked\n")
    );
    let released = run(root, &["--release"]);
    assert!(released.status.success(), "{released:?}");
    let list = fs::read_to_string(root.join("proto/breaking.toml")).expect("a list");
    assert_eq!(list, "", "what was accepted is part of the record now");
    assert_eq!(check(root), (Some(0), String::new()));
}

#[test]
fn an_entry_that_accepts_nothing_fails() {
    let root = project(|_| {});
    accept(root.path(), "method-removed", &format!("interfaces/{POWER}/on"));
    let (code, said) = check(root.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("error: accepted break `method-removed` of interfaces/jumpstarter.driver.power.v1/on: nothing breaks there; remove the entry\n"),
        "{said}"
    );
}

#[test]
fn a_record_that_lost_a_part_is_neither_compared_nor_written_over() {
    let root = project(|_| {});
    let folder = root.path().join("schemas/released");
    for part in ["exporter-config.json", "drivers/tcp-network.json", "proto", "interfaces", "manifest.json"] {
        let record = files::read(&folder).expect("a record");
        let lost = folder.join(part);
        if lost.is_dir() { fs::remove_dir_all(&lost) } else { fs::remove_file(&lost) }.expect("a part");
        for mode in ["--check", "--release"] {
            let output = run(root.path(), &[mode]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{mode} without {part}: {said}");
            assert!(
                said.contains(part) && said.contains("restore it from the commit of that release"),
                "{said}"
            );
        }
        assert!(!lost.exists(), "{part} was written");
        files::write(&folder, &record).expect("restored");
    }
}
