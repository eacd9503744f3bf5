//! What this implementation costs, figure by figure, beside the least that gRPC costs and beside the Python one.
//!
//! ```text
//! cargo bench -p jumpstarter-tests                       every figure
//! cargo bench -p jumpstarter-tests -- unary bytes        those whose names begin so
//! cargo bench -p jumpstarter-tests -- --json             the results as JSON on standard output, the table on standard error
//! cargo bench -p jumpstarter-tests -- --quick            fewer and smaller rounds: is it still running at all?
//! cargo bench -p jumpstarter-tests -- --rounds=5         as large, but fewer of them than 15
//! ```
//!
//! Every figure is taken in rounds, ours and its counterpart in turns, so that whatever else the machine does meets both;
//! what is printed is the median of the rounds, and for ratios the median of the rounds' ratios. Servers are processes of
//! their own, this same program started with `--serve`. `docs/performance.md` tells how to read the table.
//!
//! | Module | Figures |
//! |---|---|
//! | `dispatch` | a call within one process |
//! | `calls` | unary calls one after the other and many at once, streaming calls |
//! | `streams` | byte streams, and the memory of idle ones |
//! | `forward` | a local port that leads to a device |
//! | `serial` | a serial port that echoes |
//! | `upload` | an image on its way to storage, with its digest |
//! | `storage` | a large image to a directory and back, and the memory for it |
//! | `programs` | start-up of programs and exporters |
//! | `idle` | what an exporter costs that does nothing |
//! | `router` | bytes between two callers, through our router |
//! | `controller` | leases in a lab, and what its exporters cost it |
//! | `leased` | what somebody waits for who leases an exporter |
//! | `ours`, `bare` | the two servers and how to call them |
//! | `relays` | our router, and what it is compared with |
//! | `process`, `report` | other processes; rounds, medians and the table |

#![forbid(unsafe_code)]
#![expect(clippy::cast_precision_loss, reason = "no figure has more digits than a double")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints results")]

mod bare;
mod calls;
mod controller;
mod dispatch;
mod forward;
mod idle;
mod leased;
mod ours;
mod process;
mod programs;
mod relays;
mod report;
mod router;
mod serial;
mod storage;
mod streams;
mod upload;

use std::process::ExitCode;

use report::Row;

/// Nothing here is handled, everything is shown.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How much is done per round.
#[derive(Clone, Copy)]
struct Effort {
    /// Rounds of each side.
    rounds: usize,
    /// What numbers of calls, bytes and runs are divided by.
    divisor: usize,
}

impl Effort {
    /// So many, or fewer when it has to be quick.
    fn of(self, full: usize) -> usize {
        (full / self.divisor).max(1)
    }
}

/// Every figure in the order of the table.
const FIGURES: &[&str] = &[
    "dispatch",
    "unary",
    "callers",
    "stream",
    "bytes",
    "memory",
    "forward",
    "upload",
    "storage",
    "serial",
    "help",
    "j",
    "shell",
    "start",
    "idle",
    "router",
    "controller",
    "lease",
];

/// Figures that need the programs.
const OF_PROGRAMS: &[&str] =
    &["forward", "storage", "serial", "help", "j", "shell", "start", "idle", "lease"];

/// Figures that the Python implementation has no part in.
const WITHOUT_PYTHON: &[&str] =
    &["dispatch", "unary", "callers", "stream", "bytes", "memory", "router", "controller"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let mut wanted = Vec::new();
    let (mut json, mut quick, mut rounds) = (false, false, 15);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo says this to every benchmark.
            "--bench" => {}
            "--serve" => return serve(&arguments.next().unwrap_or_default()),
            "--json" => json = true,
            "--quick" => quick = true,
            // Medians need at least two.
            some if some.starts_with("--rounds=") => {
                rounds = some["--rounds=".len()..].parse::<usize>()?.max(2);
            }
            "--list" => {
                println!("{}", FIGURES.join("\n"));
                return Ok(());
            }
            name if FIGURES.iter().any(|figure| figure.starts_with(name)) => wanted.push(name.to_owned()),
            other => return Err(format!("{other:?} is none of the figures: {}", FIGURES.join(", ")).into()),
        }
    }
    let effort = if quick { Effort { rounds: 2, divisor: 20 } } else { Effort { rounds, divisor: 1 } };
    let figures: Vec<_> = FIGURES
        .iter()
        .copied()
        .filter(|figure| wanted.is_empty() || wanted.iter().any(|name| figure.starts_with(name.as_str())))
        .collect();
    let runtime = runtime()?;
    let rows = runtime.block_on(take(&figures, effort))?;
    let table = report::table(&rows);
    if json {
        eprintln!("{table}");
        println!("{}", serde_json::to_string_pretty(&report::json(&rows, effort.rounds))?);
    } else {
        println!("{table}");
    }
    Ok(())
}

/// The same for both sides, clients and servers.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

async fn take(figures: &[&str], effort: Effort) -> Outcome<Vec<Row>> {
    let programs = if figures.iter().any(|figure| OF_PROGRAMS.contains(figure)) {
        process::programs().map_err(|problem| eprintln!("left out: ours of {OF_PROGRAMS:?}: {problem}")).ok()
    } else {
        None
    };
    let with_python = figures.iter().any(|figure| !WITHOUT_PYTHON.contains(figure));
    let python = if with_python { process::python_if_there() } else { None };
    let programs = programs::Programs { ours: programs, upstream: python };
    let mut rows = Vec::new();
    for figure in figures {
        eprintln!("{figure} …");
        let taken = match *figure {
            "dispatch" => dispatch::take(effort).await,
            "unary" => calls::unary(effort).await,
            "callers" => calls::callers(effort).await,
            "stream" => calls::stream(effort).await,
            "bytes" => streams::throughput(effort).await,
            "memory" => streams::memory(effort).await,
            "forward" => forward::take(effort, &programs).await,
            "upload" => upload::take(effort, programs.upstream.as_ref()).await,
            "storage" => storage::take(effort, &programs).await,
            "help" => programs.help(effort).await,
            "j" => programs.j(effort).await,
            "shell" => programs.shell(effort).await,
            "start" => programs.start(effort).await,
            "serial" => serial::take(effort, &programs).await,
            "router" => router::take(effort).await,
            "controller" => controller::take(effort).await,
            "lease" => leased::take(effort, &programs).await,
            _ => idle::take(effort, &programs).await,
        };
        rows.extend(taken.map_err(|error| format!("{figure}: {error}"))?);
    }
    Ok(rows)
}

fn serve(whose: &str) -> Outcome<()> {
    match whose {
        "ours" => runtime()?.block_on(ours::serve()),
        "bare" => runtime()?.block_on(bare::serve()),
        "router" => runtime()?.block_on(relays::serve_router()),
        "relay" => runtime()?.block_on(relays::serve_relay()),
        "pump" => runtime()?.block_on(relays::serve_pump()),
        "lab" => runtime()?.block_on(controller::serve()),
        other => Err(format!("there is no server {other:?}").into()),
    }
}
