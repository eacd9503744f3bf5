//! What holds when somebody fails: each of client, exporter, router and controller, in each of four ways, in each of six phases
//! of a lease. Everybody is a process of its own, as people start them.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `expected` | what has to hold in each cell, as the documentation promises it |
//! | `page` | the same as `docs/faults.md` |
//! | `lab` | controller, router, exporter and users |
//! | `process` | programs, and what they say |
//! | `proxy` | connections that can be cut off and slow, by whose they are |
//! | `gate` | points at which hooks and calls stand |
//! | `phases` | bringing a user to a phase, and letting it go on |
//! | `faults` | how a party fails |
//! | `cell` | one cell from its begin to its end |
//! | `leftovers` | that nothing is left |
//! | `sample` | which cells are tried when nobody names any |
//!
//! ```sh
//! cargo test -p jumpstarter-tests --test matrix                             # the sample of the day; its seed is printed
//! cargo test -p jumpstarter-tests --test matrix router_killed               # cells by name
//! JUMPSTARTER_MATRIX=all cargo test -p jumpstarter-tests --test matrix      # all of them
//! JUMPSTARTER_MATRIX_SEED=7 cargo test -p jumpstarter-tests --test matrix   # that sample again
//! ```

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a harness says what it tries")]

mod cell;
mod expected;
mod faults;
mod gate;
mod lab;
mod leftovers;
mod page;
mod phases;
mod process;
mod proxy;
mod sample;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Failed, Trial};

/// How many cells at a time, where nobody says.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait more than they work.
    arguments.test_threads.get_or_insert(THREADS);
    let cells = expected::cells();
    let chosen = sample::chosen(&cells, arguments.filter.is_some());
    if !arguments.list {
        println!("{chosen}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let runtime = Arc::new(runtime);
    // The list of all names is how one finds the name of a cell.
    let mut trials: Vec<_> = cells
        .iter()
        .filter(|cell| arguments.list || chosen.has(**cell))
        .map(|cell| {
            let (runtime, cell) = (runtime.clone(), *cell);
            Trial::test(cell.to_string(), move || runtime.block_on(cell::run(cell)).map_err(Failed::from))
        })
        .collect();
    let page = || page::check().map_err(Failed::from);
    trials.push(Trial::test("the_page_about_faults_is_printed_from_the_table", page));
    let samples = || sample::check().map_err(Failed::from);
    trials.push(Trial::test("every_cell_has_its_turn_in_some_sample", samples));
    libtest_mimic::run(&arguments, trials).exit_code()
}
