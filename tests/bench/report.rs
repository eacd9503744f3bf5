//! Rounds, medians, and the table.

use std::fmt::Write as _;

use crate::Outcome;

/// What has to hold.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// Ours divided by the bare one is at most this.
    AtMostBare(f64),
    /// Ours divided by the bare one is at least this.
    AtLeastBare(f64),
    /// Ours divided by upstream's is at least this.
    AtLeastUpstream(f64),
    /// Ours is at most this, in the row's unit.
    AtMost(f64),
    /// Ours is at least this, in the row's unit.
    AtLeast(f64),
    /// None was set: the number is for information.
    None,
}

/// One measured quantity.
pub(crate) struct Row {
    /// The name by which it is chosen, and what exactly it is.
    pub(crate) figure: &'static str,
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Option<f64>,
    pub(crate) bare: Option<f64>,
    pub(crate) upstream: Option<f64>,
    /// Median of the rounds' ratios of ours to the bare one, which is steadier than the ratio of the medians.
    pub(crate) to_bare: Option<f64>,
    pub(crate) goal: Goal,
}

impl Row {
    pub(crate) fn new(figure: &'static str, what: impl Into<String>, unit: &'static str, goal: Goal) -> Self {
        Self { figure, what: what.into(), unit, ours: None, bare: None, upstream: None, to_bare: None, goal }
    }

    /// With the numbers of rounds that were taken in turns.
    pub(crate) fn of(mut self, pairs: &[(f64, f64)]) -> Self {
        self.ours = median(pairs.iter().map(|pair| pair.0));
        self.bare = median(pairs.iter().map(|pair| pair.1));
        self.to_bare = median(pairs.iter().filter(|pair| pair.1 != 0.0).map(|pair| pair.0 / pair.1));
        self
    }

    /// The same quantity once more, for a second goal.
    pub(crate) fn again(&self, goal: Goal) -> Self {
        let what = "the same, for its other goal";
        Self { ours: self.ours, ..Self::new(self.figure, what, self.unit, goal) }
    }

    fn to_upstream(&self) -> Option<f64> {
        Some(self.ours? / self.upstream.filter(|value| *value != 0.0)?)
    }

    /// Whether the goal is met, where there is one and what it needs was measured.
    fn met(&self) -> Option<bool> {
        match self.goal {
            Goal::AtMostBare(limit) => Some(self.to_bare? <= limit),
            Goal::AtLeastBare(limit) => Some(self.to_bare? >= limit),
            Goal::AtLeastUpstream(limit) => Some(self.to_upstream()? >= limit),
            Goal::AtMost(limit) => Some(self.ours? <= limit),
            Goal::AtLeast(limit) => Some(self.ours? >= limit),
            Goal::None => None,
        }
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::AtMostBare(limit) => format!("≤ {limit} × bare"),
            Goal::AtLeastBare(limit) => format!("≥ {limit} × bare"),
            Goal::AtLeastUpstream(limit) => format!("≥ {limit} × Python"),
            Goal::AtMost(limit) => format!("≤ {limit} {}", self.unit),
            Goal::AtLeast(limit) => format!("≥ {limit} {}", self.unit),
            Goal::None => String::new(),
        }
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Takes rounds in turns: ours, bare, bare, ours, and so on, so that neither is always the one that comes after the other.
/// One round of each before them warms up and does not count.
pub(crate) async fn in_turns(
    rounds: usize,
    mut ours: impl AsyncFnMut() -> Outcome<f64>,
    mut bare: impl AsyncFnMut() -> Outcome<f64>,
) -> Outcome<Vec<(f64, f64)>> {
    let mut pairs = Vec::with_capacity(rounds);
    ours().await?;
    bare().await?;
    for round in 0..rounds {
        pairs.push(if round % 2 == 0 {
            let first = ours().await?;
            (first, bare().await?)
        } else {
            let first = bare().await?;
            (ours().await?, first)
        });
    }
    Ok(pairs)
}

const HEAD: [&str; 8] = ["Figure", "Unit", "Ours", "Bare gRPC", "Python", "÷ bare", "÷ Python", "Goal"];

/// A table that is Markdown as well.
pub(crate) fn table(rows: &[Row]) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), plain);
    let ratio = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
    let lines = rows.iter().map(|row| {
        let verdict = match row.met() {
            Some(true) => format!("{}: met", row.goal()),
            Some(false) => format!("{}: **missed**", row.goal()),
            None => row.goal(),
        };
        [
            format!("{}: {}", row.figure, row.what),
            row.unit.to_owned(),
            number(row.ours),
            number(row.bare),
            number(row.upstream),
            ratio(row.to_bare),
            ratio(row.to_upstream()),
            verdict,
        ]
    });
    let lines: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(lines).collect();
    let mut widths = [0; HEAD.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            let numeric = (2..7).contains(&column) && index > 0;
            let (left, right) = if numeric { (padding.as_str(), "") } else { ("", padding.as_str()) };
            let _ = write!(text, "| {left}{cell}{right} ");
        }
        text.push_str("|\n");
        if index == 0 {
            for (column, width) in widths.into_iter().enumerate() {
                let numeric = (2..7).contains(&column);
                let _ = write!(text, "|{}{}", "-".repeat(width + 1), if numeric { ":" } else { "-" });
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Three digits that mean something.
fn plain(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The same for programs.
pub(crate) fn json(rows: &[Row], rounds: usize) -> serde_json::Value {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "figure": row.figure,
                "what": row.what,
                "unit": row.unit,
                "ours": row.ours,
                "bare": row.bare,
                "upstream": row.upstream,
                "ours_to_bare": row.to_bare,
                "ours_to_upstream": row.to_upstream(),
                "goal": row.goal(),
                "met": row.met(),
            })
        })
        .collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    serde_json::json!({"rounds": rounds, "processors": threads, "rows": rows})
}
