//! Which cells are tried when nobody names any: others each day.

use std::{
    collections::HashSet,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::SystemTime,
};

use crate::expected::{Cell, FAULTS, PARTIES, PHASES, cells};

/// Asks for all cells.
const ALL: &str = "JUMPSTARTER_MATRIX";
/// Repeats a sample.
const SEED: &str = "JUMPSTARTER_MATRIX_SEED";

/// The cells that run.
pub(crate) struct Chosen {
    cells: Vec<Cell>,
    seed: Option<u64>,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seed {
            Some(seed) => write!(
                f,
                "a sample of {} cells, {SEED}={seed} repeats it; {ALL}=all tries every one",
                self.cells.len()
            ),
            None => write!(f, "every cell that fits what was asked for"),
        }
    }
}

impl Chosen {
    /// Whether it runs.
    pub(crate) fn has(&self, cell: Cell) -> bool {
        self.cells.contains(&cell)
    }
}

/// All cells if somebody wants them or names some, else a sample of them: each party with each fault, in a phase by chance.
pub(crate) fn chosen(cells: &[Cell], named: bool) -> Chosen {
    if named || std::env::var(ALL).is_ok_and(|value| value == "all") {
        return Chosen { cells: cells.to_vec(), seed: None };
    }
    let given = std::env::var(SEED).ok();
    let seed = given.map_or_else(of_the_day, |text| {
        text.parse().unwrap_or_else(|_| panic!("{SEED}={text:?}: write a number such as 7"))
    });
    Chosen { cells: sample(seed), seed: Some(seed) }
}

/// Another one each day, and the same for everybody who tries it on that day: a run that fails is easily had again.
fn of_the_day() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_secs() / (24 * 60 * 60)
}

/// Each party with each fault once, in phases by chance, none of which is left out.
fn sample(seed: u64) -> Vec<Cell> {
    let mut pairs: Vec<_> = PARTIES.iter().flat_map(|party| FAULTS.map(|fault| (*party, fault))).collect();
    pairs.sort_by_key(|pair| {
        let mut hasher = DefaultHasher::new();
        (seed, pair).hash(&mut hasher);
        hasher.finish()
    });
    let phases = PHASES.iter().cycle();
    pairs
        .into_iter()
        .zip(phases)
        .map(|((party, fault), phase)| Cell { party, fault, phase: *phase })
        .collect()
}

/// What can be known of samples without trying them.
pub(crate) fn check() -> Result<(), String> {
    for seed in 0..100 {
        let cells = sample(seed);
        if sample(seed) != cells {
            return Err(format!("seed {seed} is not repeated"));
        }
        let missing = PARTIES
            .iter()
            .flat_map(|party| FAULTS.map(|fault| (*party, fault)))
            .find(|pair| cells.iter().filter(|cell| (cell.party, cell.fault) == *pair).count() != 1);
        if let Some((party, fault)) = missing {
            return Err(format!("seed {seed} tries {party} {fault} not once"));
        }
        if let Some(phase) = PHASES.iter().find(|phase| cells.iter().all(|cell| cell.phase != **phase)) {
            return Err(format!("seed {seed} leaves out {phase}"));
        }
    }
    let all: HashSet<_> = PHASES
        .iter()
        .flat_map(|phase| {
            (0..1000).flat_map(sample).filter(move |cell| cell.phase == *phase).map(|cell| cell.to_string())
        })
        .collect();
    // So every cell has its turn.
    if all.len() == cells().len() { Ok(()) } else { Err(format!("only {} cells are ever tried", all.len())) }
}
