//! No content makes a check panic, hang, or use more than 64 MiB.
//!
//! The same entry as the fuzzer's, run over its corpus, over the galleries, over files made to hurt, and over a bounded
//! number of random changes to all of these. The seed is printed; `JUMPSTARTER_FUZZ_SEED` repeats a run.

use std::{
    fmt::Write as _,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use crate::{
    entry::exporter_file,
    memory::{LIMIT, most},
};

/// How many changed files are tried.
const ROUNDS: usize = 2_000;

/// After this, a check does not end. The slowest of these files takes about a second in an unoptimised program; one that
/// takes this long makes work that grows with the square of its size, or does not end at all.
const HANGS: Duration = Duration::from_mins(2);

/// In a thread, so that a check that does not end is told from one that does, and by name.
fn survive(what: &str, bytes: &[u8]) {
    let (tell, told) = mpsc::sync_channel(1);
    let copy = bytes.to_vec();
    let check = thread::spawn(move || {
        let used = most(|| exporter_file(&copy));
        let _ = tell.send(used);
    });
    match told.recv_timeout(HANGS) {
        Ok(used) => assert!(used <= LIMIT, "{what} used {used} bytes"),
        Err(RecvTimeoutError::Timeout) => {
            panic!("{what} hangs: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]))
        }
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(check.join().expect_err("it panicked"))
        }
    }
}

/// The corpus and every gallery.
fn files() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = [
        "fuzz/corpus/exporter_file",
        "cli/tests/files/bad",
        "cli/tests/files/good",
        "runtime/core/tests/config/bad",
        "runtime/core/tests/config/good",
        "tests/files/bad",
        "tests/files/good",
        "tests/files/beyond",
        "examples",
    ];
    let mut files: Vec<_> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("a readable file")))
        .collect();
    files.sort();
    files
}

#[test]
fn the_corpus_and_every_gallery_do_no_harm() {
    let files = files();
    assert!(files.len() > 150, "only {} files", files.len());
    for (name, bytes) in files {
        survive(&name, &bytes);
    }
}

#[test]
fn files_made_to_hurt_do_no_harm() {
    const LONG: usize = 4 * 1024 * 1024 - 1_000;
    let long = "x".repeat(LONG);
    let mut laughs = String::from("export: &a0 {x: {type: mock-power}}\n");
    for level in 1..60 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        let _ = writeln!(laughs, "a{level}: &a{level} [{below}]");
    }
    for (what, text) in [
        ("an alias bomb", laughs),
        ("a scalar of 10 MiB", format!("description: {}", "x".repeat(10 * 1024 * 1024))),
        ("a scalar as long as a file may be", format!("description: {long}\n")),
        ("a number as long as a file may be", format!("description: {}\n", "9".repeat(LONG))),
        (
            "a long scalar in a configuration",
            format!("export: {{a: {{type: tcp-network, config: {{host: {long}}}}}}}\n"),
        ),
        ("a long key", format!("{long}: 1\n")),
        (
            "a long key in a configuration",
            format!("export: {{a: {{type: mock-power, config: {{? {long} : 1}}}}}}\n"),
        ),
        ("a long type", format!("export: {{a: {{type: {long}}}}}\n")),
        ("a long reference", format!("export: {{a: {{ref: {}}}}}\n", "a.".repeat(LONG / 2))),
        ("a long anchor that is used", format!("a: &a {}\nb: *a\nc: *a\n", &long[..LONG / 2])),
        (
            "a long text below names that are none",
            format!(
                "export: {}{{\"\": {{type: mock-power, description: {}}}}}{}\n",
                "{\"\": {children: ".repeat(28),
                &long[..LONG - 2_000],
                "}}".repeat(28)
            ),
        ),
        (
            "many aliases of a text that has no name",
            format!("a: &a {{\"\": {}}}\nb: [{}]\n", &long[..LONG / 10], "*a, ".repeat(500)),
        ),
        ("10,000 levels of lists", "[".repeat(10_000)),
        ("10,000 levels of mappings", "{a: ".repeat(10_000)),
        ("10,000 levels of dashes", "- ".repeat(10_000)),
        ("10,000 levels of questions", "? ".repeat(10_000)),
        ("nothing but line ends", "\n".repeat(LONG)),
        ("nothing but comments", "#\n".repeat(LONG / 2)),
        ("line ends and a quote", format!("{}\"", "\n".repeat(LONG))),
        ("line ends and a bracket", format!("{}{{", "\n".repeat(LONG))),
        ("line ends and what begins no value", format!("{}@", "\n".repeat(LONG))),
        ("line ends and a tab", format!("{}\ta: b: c", "\n".repeat(LONG))),
        ("carriage returns and a quote", format!("{}\"", "\r".repeat(LONG))),
        ("comments and a quote", format!("{}\"", "#\n".repeat(LONG / 2))),
        ("nothing but lines that begin with tabs", "\ta\n".repeat(LONG / 3)),
        ("nothing but tabs", "\t\n".repeat(LONG / 2)),
        ("nothing but keys without values", "a:\n".repeat(LONG / 3)),
        ("nothing but quotes", "a: \"\n".repeat(10_000)),
        ("nothing but errors", "a: b: c\n".repeat(5_000)),
        ("nothing but carriage returns", "\r".repeat(LONG)),
        (
            "many problems",
            (0..40_000).fold(String::new(), |mut text, key| {
                let _ = writeln!(text, "k{key}: 1");
                text
            }),
        ),
        (
            "many nodes with problems",
            (0..4_900).fold(String::from("export:\n"), |mut text, key| {
                let _ = writeln!(text, "  k{key}: {{type: tcp-network, config: {{hots: 1, prt: 2}}}}");
                text
            }),
        ),
    ] {
        survive(what, text.as_bytes());
    }
}

/// Numbers that look random (SplitMix64, public domain, Steele and others 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or_default()
    }
}

const PIECES: &[&str] = &[
    "\n",
    "\n  ",
    "\n    ",
    "\t",
    "\r",
    ": ",
    ":",
    "- ",
    "? ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "'",
    "|",
    ">",
    "&a ",
    "*a",
    "<<: *a",
    "!x ",
    "#",
    " #",
    "---\n",
    "...\n",
    "%",
    "@",
    "`",
    "\\",
    "~",
    "null",
    "017",
    "1e999",
    "\u{feff}",
    "\u{202e}",
    "type: ",
    "ref: ",
    "config:",
    "children:",
    "export:",
    "hooks:",
    "mock-power",
    "tcp-network",
    "=======\n",
];

/// A few changes of the kind that people and broken programs make.
fn change(bytes: &mut Vec<u8>, others: &[(String, Vec<u8>)], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.truncate(at),
            2 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            4 => {
                let other = &others[random.below(others.len())].1;
                let from = random.below(other.len() + 1);
                bytes.splice(at..end, other[from..(from + 200).min(other.len())].iter().copied());
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())].bytes();
                bytes.splice(at..at, piece);
            }
        }
    }
}

#[test]
fn random_changes_do_no_harm() {
    let given = std::env::var("JUMPSTARTER_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = given.unwrap_or_else(|| u64::from(clock.subsec_nanos()) ^ clock.as_secs());
    println!("JUMPSTARTER_FUZZ_SEED={seed}");
    let files = files();
    let mut random = Random(seed);
    for round in 0..ROUNDS {
        let mut bytes = files[random.below(files.len())].1.clone();
        change(&mut bytes, &files, &mut random);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let outcome = std::panic::catch_unwind(|| survive(&format!("round {round}"), &bytes));
        assert!(outcome.is_ok(), "JUMPSTARTER_FUZZ_SEED={seed}, round {round}:\n{shown}");
    }
}
