//! Crates outside of the workspace, whose text is on pages.
//!
//! They lie below the target directory, in a workspace of their own, with paths to ours and the same versions of everything
//! else. Nothing is fetched.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    console::{self, Surroundings, cargo, programs, target},
    page::{Page, root, scratch},
};

const TUTORIAL: &str = "docs/writing-a-driver.md";
const README: &str = "README.md";

/// How the pages spell the way to this repository.
const REPOSITORY: &str = "../jumpstarter-rust/";

/// A crate that a page describes.
struct Outside {
    /// Of the crate and of its folder.
    name: &'static str,
    page: &'static str,
    /// Files that the page leaves to the reader: name and text.
    own: Vec<(String, String)>,
}

fn crates() -> Vec<Outside> {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let manifest = |name: &str| {
        file(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
                 jumpstarter = {{ path = \"{REPOSITORY}runtime\" }}\njumpstarter-cli = {{ path = \"{REPOSITORY}cli\" }}\n"
            ),
        )
    };
    let readme = Page::read(README).files().remove("src/cage.rs").unwrap_or_default();
    let main = "\n#[allow(dead_code)]\nmod lamp;\n\nfn main() -> std::process::ExitCode {\n    \
                jumpstarter_cli::main(&[jumpstarter_cli::DRIVERS, &[DemoCage::DRIVER]])\n}\n";
    let lamp = Page::read("docs/expansion.md").files().remove("lamp.rs").unwrap_or_default();
    vec![
        Outside { name: "climate", page: TUTORIAL, own: vec![] },
        Outside {
            name: "device",
            page: "docs/using-a-device.md",
            own: vec![file("src/lib.rs", "//! Tests of a device.\n")],
        },
        Outside {
            name: "cage",
            page: README,
            own: vec![
                manifest("cage"),
                file("src/main.rs", &(readme + main)),
                file("src/lamp.rs", &lamp),
                file("cage.yaml", "export:\n  cage:\n    type: demo-cage\n"),
            ],
        },
    ]
}

/// Writes what has changed only, so that little is built again.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a writable target directory");
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The folder with the crates, all of which were built.
pub(crate) fn built() -> PathBuf {
    static BUILT: OnceLock<(PathBuf, fs::File)> = OnceLock::new();
    let (folder, _) = BUILT.get_or_init(|| {
        let folder = scratch("outside");
        fs::create_dir_all(&folder).expect("a writable target directory");
        // Two runs of this test at once would use the same files. The lock goes with the process.
        let lock = fs::File::create(folder.join("lock")).expect("a writable target directory");
        lock.lock().expect("a lock");
        let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace");
        // With the same profiles, what was built for the workspace can be used.
        let profiles = manifest.split("\n[").filter(|section| section.starts_with("profile."));
        let profiles: String = profiles.flat_map(|section| ["\n[", section, "\n"]).collect();
        let members: Vec<_> = crates().iter().map(|outside| outside.name).collect();
        write(
            &folder.join("Cargo.toml"),
            &format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n{profiles}"),
        );
        let versions = fs::read_to_string(root().join("Cargo.lock")).expect("the workspace's versions");
        write(&folder.join("Cargo.lock"), &versions);
        let repository = format!("{}/", root().display());
        for Outside { name, page, own } in crates() {
            let files = Page::read(page).files().into_iter().chain(own);
            for (file, text) in files {
                write(&folder.join(name).join(file), &text.replace(REPOSITORY, &repository));
            }
            for shared in ["examples", "schemas"].map(Path::new).into_iter().filter(|_| name == "device") {
                let link = folder.join(name).join(shared);
                if !link.exists() {
                    symlink(root().join(shared), &link).expect("a link");
                }
            }
        }
        let said = cargo(&folder, &["build", "--quiet", "--workspace", "--all-targets"]);
        // Warnings about our own crates are somebody else's business, and have absolute paths.
        let ours =
            |line: &str| members.iter().any(|name| line.trim_start().starts_with(&format!("--> {name}/")));
        assert!(!said.lines().any(ours), "what is on the pages has to be free of warnings:\n{said}");
        (folder, lock)
    });
    folder.clone()
}

fn surroundings(name: &str, opened: &'static [(&'static str, &'static str)]) -> Surroundings {
    let cargo = Path::new(env!("CARGO")).parent().map(Path::to_owned);
    Surroundings {
        folder: built().join(name),
        // Without our own `j` in `PATH`, the program of the page puts itself there.
        fallback: cargo.into_iter().chain([only("cage")]).collect(),
        opened,
        ..Surroundings::default()
    }
}

/// A folder with nothing but this program in it: beside it in the target directory lies another `j`.
fn only(program: &str) -> PathBuf {
    let folder = built().join("bin");
    fs::create_dir_all(&folder).expect("a writable target directory");
    let link = folder.join(program);
    if !link.exists() {
        symlink(target().join("debug").join(program), &link).expect("a link");
    }
    folder
}

/// The keys of these tables of a manifest.
fn dependencies(manifest: &str, tables: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut listed = false;
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            listed = tables.contains(&header);
            let single = header.split_once('.').filter(|(table, _)| tables.contains(table));
            found.extend(single.map(|(_, name)| name.to_owned()));
        } else if listed {
            found.extend(line.split_once('=').map(|(name, _)| name.trim().to_owned()));
        }
    }
    found
}

#[test]
fn the_crate_of_the_tutorial_depends_on_nothing_but_jumpstarter() {
    let manifest = Page::read(TUTORIAL).files().remove("Cargo.toml").expect("the page shows it");
    assert_eq!(dependencies(&manifest, &["dependencies"]), ["jumpstarter", "jumpstarter-cli"]);
    assert_eq!(dependencies(&manifest, &["dev-dependencies"]), ["jumpstarter-testing"]);
}

#[test]
fn the_tests_of_the_tutorial_pass() {
    let text = cargo(&built(), &["test", "--package", "climate"]);
    let passed: usize = text
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<usize>().ok())
        .sum();
    assert!(passed >= 5, "only {passed} tests ran:\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_tutorial_does_what_the_page_says() {
    console::run(&Page::read(TUTORIAL), &surroundings("climate", &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_of_the_readme_has_the_commands_that_it_shows() {
    let around = surroundings("cage", &[("cage", "cage shell --exporter-config cage.yaml")]);
    console::run(&Page::read(README), &around).await;
}

#[test]
fn the_driver_of_the_readme_is_as_short_as_promised() {
    let driver = Page::read(README).files().remove("src/cage.rs").expect("the page shows it");
    assert!(driver.lines().count() <= 25, "{} lines", driver.lines().count());
}

/// The main job, on a real file, as the first page tells everybody to try it.
#[test]
fn the_first_command_of_the_readme_flashes_and_boots() {
    let page = Page::read(README);
    let command = &page.of(&["sh"]).next().expect("a command").text;
    let words: Vec<_> = command.split_whitespace().collect();
    let ["cargo", arguments @ ..] = words.as_slice() else { panic!("not a cargo command: {command}") };
    let text = cargo(&root(), arguments);
    assert!(text.contains("done: the board booted what was flashed"), "{text}");
}

/// What the exporter says about an interface is enough for programs that have never heard of it.
#[test]
fn a_program_without_the_interface_has_its_commands_all_the_same() {
    let folder = built().join("climate");
    let program = target().join("debug/climate");
    let j = |words: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command
            .current_dir(&folder)
            .args(["shell", "--exporter-config", "rig.yaml", "--"])
            .arg(programs().join("j"));
        command.args(words).env("NO_COLOR", "1");
        for name in jumpstarter_tests::python::FOREIGN {
            command.env_remove(name);
        }
        let output = command.output().expect("it runs");
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "j {words:?}: {text}");
        text
    };
    let help = j(&["chamber", "--help"]);
    assert!(help.contains("aim") && help.contains("Aim for a temperature."), "{help}");
    assert!(
        !help.contains("soak"),
        "only programs that know the client have the commands that it adds:\n{help}"
    );
    let watched = j(&["chamber", "watch", "--count", "1"]);
    assert!(watched.contains("temperature=20.0 °C"), "{watched}");
}
