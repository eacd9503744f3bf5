//! What strangers send to a lab and a router: the entries of the fuzzer over its corpora, and over a bounded number of random
//! changes of them. The seed is printed; `JUMPSTARTER_FUZZ_SEED` repeats a run.

#![forbid(unsafe_code)]

#[path = "../../fuzz/lab.rs"]
mod lab;

use std::{fs, panic, path::Path};

/// How many changed inputs are tried with each entry.
const ROUNDS: usize = 20_000;

/// Pieces that inputs of these kinds are made of.
const PIECES: &[&[u8]] = &[
    b".",
    b",",
    b"=",
    b"!=",
    b"!",
    b"/",
    b" in (",
    b" notin (",
    b")",
    b" ",
    b"namespaces/",
    b"leases/",
    b"eyJ",
    b"AAAA",
    b"\0",
    b"\0\0\0\0\x01",
    b"\x01\0\0\0\x02",
    b"\xff\xff\xff\xff",
    b"\x0a",
    b"\x10\x07",
    "\u{e9}".as_bytes(),
];

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a file")))
        .collect();
    files.sort();
    files
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

fn change(bytes: &mut Vec<u8>, others: &[(String, Vec<u8>)], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(20)).min(bytes.len());
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
                bytes.splice(at..end, other[from..(from + 100).min(other.len())].iter().copied());
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())].iter().copied();
                bytes.splice(at..at, piece);
            }
        }
    }
}

#[test]
fn the_corpora_do_no_harm() {
    for (name, entry) in lab::ENTRIES {
        let files = corpus(name);
        assert!(files.len() >= 8, "only {} inputs of {name}", files.len());
        for (file, bytes) in files {
            println!("{file}");
            entry(&bytes);
        }
    }
}

#[test]
fn random_changes_of_them_do_no_harm_either() {
    let given = std::env::var("JUMPSTARTER_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    let seed = given.unwrap_or_else(|| u64::from(clock.subsec_nanos()) ^ clock.as_secs());
    println!("JUMPSTARTER_FUZZ_SEED={seed}");
    for (name, entry) in lab::ENTRIES {
        let files = corpus(name);
        let mut random = Random(seed);
        for _ in 0..ROUNDS {
            let mut bytes = files[random.below(files.len())].1.clone();
            change(&mut bytes, &files, &mut random);
            let run = panic::catch_unwind(panic::AssertUnwindSafe(|| entry(&bytes)));
            assert!(run.is_ok(), "{name} with {:?} ({bytes:02x?})", String::from_utf8_lossy(&bytes));
        }
    }
}
