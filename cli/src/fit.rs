//! Tables as text: as wide as they are, or as a terminal that has less room. Nothing is cut, and no name is broken: whoever
//! reads one types it again.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Blanks between columns.
const BETWEEN: usize = 2;

/// A column that has more to say than fits into this is of no use to anybody.
const NARROW: usize = 8;

/// Columns that stay whole.
const WHOLE: [&str; 2] = ["NAME", "ALIAS"];

/// A table with two blanks between columns. Where there is less room, cells go on below, at blanks and commas if they can;
/// where even that cannot be read, each row is a list of its own.
pub(crate) fn table(titles: &[&str], rows: &[Vec<String>], room: Option<usize>) -> String {
    // A cell is one line, whatever a peer writes into it.
    let cells: Vec<Vec<String>> = std::iter::once(titles.iter().map(ToString::to_string).collect())
        .chain(rows.iter().map(|row| row.iter().map(|cell| cell.replace(['\n', '\t'], " ")).collect()))
        .collect();
    let mut natural = vec![0; titles.len()];
    for row in &cells {
        for (width, cell) in natural.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let gaps = BETWEEN * titles.len().saturating_sub(1);
    match room.filter(|room| natural.iter().sum::<usize>() + gaps > *room) {
        None => columns(&cells, &natural),
        Some(room) => match widths(titles, &natural, room.saturating_sub(gaps)) {
            Some(widths) => columns(&cells, &widths),
            None => lists(titles, cells.get(1..).unwrap_or_default(), room),
        },
    }
}

/// How wide each column may be, for so much room without the gaps: those that need little have it, the others share the
/// rest. `None` if they could not be read then.
fn widths(titles: &[&str], natural: &[usize], room: usize) -> Option<Vec<usize>> {
    let least = |(title, natural): (&&str, &usize)| {
        let word = title.split(' ').map(str::len).max().unwrap_or_default();
        if WHOLE.contains(title) { *natural } else { (*natural).min(word.max(NARROW)) }
    };
    let least: Vec<usize> = titles.iter().zip(natural).map(least).collect();
    let capped = |cap: usize| {
        let each = least.iter().zip(natural);
        each.map(|(least, natural)| (*natural).min(cap).max(*least)).collect::<Vec<_>>()
    };
    let fits = |widths: &Vec<usize>| widths.iter().sum::<usize>() <= room;
    let mut widths = (0..=room).rev().map(capped).find(fits)?;
    // What is left over is less than one for each that could use it.
    let mut left = room - widths.iter().sum::<usize>();
    for (width, natural) in widths.iter_mut().zip(natural) {
        if left > 0 && *width < *natural {
            *width += 1;
            left -= 1;
        }
    }
    Some(widths)
}

/// Rows with columns of these widths.
fn columns(rows: &[Vec<String>], widths: &[usize]) -> String {
    let mut out = String::new();
    for row in rows {
        let folded: Vec<_> = row.iter().zip(widths).map(|(cell, width)| fold(cell, *width)).collect();
        let height = folded.iter().map(Vec::len).max().unwrap_or_default();
        for line in 0..height {
            for (at, (cell, width)) in folded.iter().zip(widths).enumerate() {
                if at > 0 {
                    out.push_str(&" ".repeat(BETWEEN));
                }
                let text = cell.get(line).copied().unwrap_or_default();
                out.push_str(text);
                out.push_str(&" ".repeat(width.saturating_sub(text.width())));
            }
            out.push('\n');
        }
    }
    out
}

/// Rows as lists: a title and what there is on each line, an empty line between them.
fn lists(titles: &[&str], rows: &[Vec<String>], room: usize) -> String {
    let left = titles.iter().map(|title| title.len()).max().unwrap_or_default();
    let right = room.saturating_sub(left + BETWEEN).max(NARROW);
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        for (title, cell) in titles.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
            let lines = if WHOLE.contains(title) { vec![cell.as_str()] } else { fold(cell, right) };
            for (line, text) in lines.into_iter().enumerate() {
                let title = if line == 0 { title } else { "" };
                // Writing to a text cannot fail.
                let _ = writeln!(out, "{title:left$}{:BETWEEN$}{text}", "");
            }
        }
    }
    out
}

/// The lines of a cell of this width. Words that are longer are broken.
fn fold(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.width() > width {
        let mut used = 0;
        let mut behind = rest.char_indices().skip_while(|(_, character)| {
            used += character.width().unwrap_or_default();
            used <= width
        });
        let end = behind.next().map_or(rest.len(), |(at, _)| at);
        // A character that is wider than its column is there all the same.
        let end = if end == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { end };
        let (fits, after) = rest.split_at(end);
        let at = if after.starts_with(' ') { end } else { fits.rfind([' ', ',']).map_or(end, |at| at + 1) };
        let (line, more) = rest.split_at(at);
        lines.push(line.trim_end_matches(' '));
        rest = more.trim_start_matches(' ');
    }
    if !rest.is_empty() || lines.is_empty() {
        lines.push(rest);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLES: [&str; 7] = ["NAME", "SELECTOR", "EXPIRES AT", "REMAINING", "CLIENT", "EXPORTER", "TAGS"];

    fn leases(name: &str) -> Vec<Vec<String>> {
        let row = |cells: [&str; 7]| cells.map(str::to_owned).to_vec();
        vec![
            row([
                name,
                "board=rpi4",
                "2026-11-20 22:43:48",
                "1h 49m",
                "alice",
                "rig-02",
                "build=4711,team=bsp",
            ]),
            row(["sched-1", "board=rpi4", "2026-11-21 23:53:48", "1d 2h 59m", "alice", "", ""]),
        ]
    }

    fn lines(text: &str) -> Vec<&str> {
        text.lines().map(str::trim_end).collect()
    }

    #[test]
    fn a_table_that_has_room_is_as_wide_as_it_is() {
        let whole = [
            "NAME     SELECTOR    EXPIRES AT           REMAINING  CLIENT  EXPORTER  TAGS",
            "ci-4711  board=rpi4  2026-11-20 22:43:48  1h 49m     alice   rig-02    build=4711,team=bsp",
            "sched-1  board=rpi4  2026-11-21 23:53:48  1d 2h 59m  alice",
        ];
        for room in [None, Some(90), Some(200)] {
            let text = table(&TITLES, &leases("ci-4711"), room);
            assert_eq!(lines(&text), whole, "{room:?}");
            assert!(text.lines().all(|line| line.width() == 90), "{text}");
        }
    }

    #[test]
    fn cells_go_on_below_where_a_terminal_is_narrower() {
        let text = table(&TITLES, &leases("ci-4711"), Some(80));
        assert_eq!(
            lines(&text),
            [
                "NAME     SELECTOR    EXPIRES AT      REMAINING  CLIENT  EXPORTER  TAGS",
                "ci-4711  board=rpi4  2026-11-20      1h 49m     alice   rig-02    build=4711,",
                "                     22:43:48                                     team=bsp",
                "sched-1  board=rpi4  2026-11-21      1d 2h 59m  alice",
                "                     23:53:48",
            ]
        );
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    }

    #[test]
    fn a_row_is_a_list_where_columns_could_not_be_read() {
        let name = "019ac8a0-7a3c-7d52-b2d4-0d3f6c1b9a77";
        let text = table(&TITLES, &leases(name), Some(30));
        assert_eq!(
            lines(&text),
            [
                "NAME        019ac8a0-7a3c-7d52-b2d4-0d3f6c1b9a77",
                "SELECTOR    board=rpi4",
                "EXPIRES AT  2026-11-20",
                "            22:43:48",
                "REMAINING   1h 49m",
                "CLIENT      alice",
                "EXPORTER    rig-02",
                "TAGS        build=4711,",
                "            team=bsp",
                "",
                "NAME        sched-1",
                "SELECTOR    board=rpi4",
                "EXPIRES AT  2026-11-21",
                "            23:53:48",
                "REMAINING   1d 2h 59m",
                "CLIENT      alice",
            ]
        );
    }

    #[test]
    fn nothing_is_lost_and_no_name_is_broken_however_narrow_it_is() {
        for name in ["rig", "019ac8a0-7a3c-7d52-b2d4-0d3f6c1b9a77"] {
            let rows = leases(name);
            for room in 0..120 {
                let text = table(&TITLES, &rows, Some(room));
                assert!(text.lines().any(|line| line.split(' ').any(|word| word == name)), "{room}\n{text}");
                // Whatever it looks like, every character of every cell is there.
                let count = |text: &str, letter: char| text.matches(letter).count();
                for letter in ['=', ':', '4', ','] {
                    let all: usize = rows.iter().flatten().map(|cell| count(cell, letter)).sum();
                    assert_eq!(count(&text, letter), all, "{letter} {room}\n{text}");
                }
                let longest =
                    text.lines().map(unicode_width::UnicodeWidthStr::width).max().unwrap_or_default();
                assert!(longest <= room.max(name.len().max(9) + 12), "{room}\n{text}");
            }
        }
    }

    #[test]
    fn characters_count_as_wide_as_they_are_shown() {
        let rows = [vec!["台北".to_owned(), "x".to_owned()], vec!["rig".to_owned(), "é".to_owned()]];
        assert_eq!(lines(&table(&["NAME", "LABELS"], &rows, None)), ["NAME  LABELS", "台北  x", "rig   é"]);
        assert_eq!(fold("台北台北", 5), ["台北", "台北"]);
        assert_eq!(fold("台北", 1), ["台", "北"]);
        assert_eq!(fold("a b,c  d", 3), ["a", "b,c", "d"]);
        assert_eq!(fold("", 3), [""]);
    }
}
