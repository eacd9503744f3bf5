//! The page about faults shows the table as it is.

use std::{fmt::Write as _, path::Path};

use crate::expected::{
    Cell, Expected, FAULTS, Fault, PARTIES, PHASES, Party, Phase, Then, When, Work, expected,
};

/// Set to `1`, this writes the table instead of comparing it.
const UPDATE: &str = "JUMPSTARTER_UPDATE_DOCS";

const BEGIN: &str = "<!-- faults: begin -->\n";
const END: &str = "<!-- faults: end -->\n";

fn told(want: &Expected) -> String {
    let Some(told) = want.told else { return "nothing".to_owned() };
    let also = if want.exporter_says { "; the exporter's log says it as well" } else { "" };
    format!("“{} …”, within {} s{also}", told.words.join(" … "), told.within.as_secs())
}

fn becomes(cell: Cell, want: &Expected) -> &'static str {
    match (want.work, cell.phase) {
        (Work::Dropped, Phase::Waiting) => "its lease waits on, for nobody",
        (Work::Dropped, Phase::Before) => "the hook runs to its end, for nobody",
        (Work::Dropped, Phase::Idle) => "its command finds out with its next `j`",
        (Work::Dropped, Phase::Using) => "the call is ended at the exporter",
        (Work::Dropped, _) => "what has come of the image is removed",
        (Work::Lost, Phase::Flashing) => "the command fails; what has come of the image is removed",
        (Work::Lost, _) => "the command fails; the next one works",
        (Work::Back, _) => "the connection is made again, and the log goes on",
        (Work::Again, _) => "the hook runs once more; the lease is the same",
        (Work::Done, Phase::Waiting) => "the lease is got in its turn",
        (Work::Done, Phase::Before) => "the hook runs once, then the shell opens",
        (Work::Done, Phase::Idle) => "the shell stays open",
        (Work::Done, Phase::Using) => "the call goes on",
        (Work::Done, Phase::Flashing) => "the image is written",
        (Work::Done, Phase::After) => "the hook runs once, then the lease is given back",
    }
}

fn when(want: &Expected) -> &'static str {
    if want.when == When::During { "while it lasts: " } else { "" }
}

fn ends(cell: Cell) -> &'static str {
    if (cell.party, cell.fault) == (Party::Client, Fault::Killed) { "killed" } else { "0" }
}

fn then(want: &Expected) -> &'static str {
    match want.then {
        Then::Free => "within 10 s",
        Then::Held => {
            "when the client has not been heard of for 5 min, or the lease is deleted; the next one is told when it ends"
        }
    }
}

/// The table.
fn table() -> String {
    let mut table = String::from(
        "| Who | What | In which phase | The user is told | What was going on | `jmp shell` ends with | Usable again |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for party in PARTIES {
        for fault in FAULTS {
            for phase in PHASES {
                let cell = Cell { party, fault, phase };
                let want = expected(cell);
                let (told, becomes, when) = (told(&want), becomes(cell, &want), when(&want));
                let (ends, then) = (ends(cell), then(&want));
                let row =
                    format!("| {party} | {fault} | {phase} | {told} | {when}{becomes} | {ends} | {then} |");
                let _ = writeln!(table, "{row}");
            }
        }
    }
    table
}

/// Whether the page shows it.
pub(crate) fn check() -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (before, rest) = text.split_once(BEGIN).ok_or("the page has no place for the table")?;
    let (shown, after) = rest.split_once(END).ok_or("the table on the page has no end")?;
    let table = table();
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        return std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}"))
            .map_err(|error| error.to_string());
    }
    if shown == table {
        return Ok(());
    }
    Err(format!("docs/faults.md is not fresh: run this test with {UPDATE}=1 and read what has changed"))
}
