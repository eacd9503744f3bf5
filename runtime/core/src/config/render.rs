//! Problems as plain text: headline, place, excerpt with the place underlined, help.

use std::fmt::Write as _;

use super::problem::{Problem, Problems, Severity};
use super::source::{Source, Span};
use super::suggest::harmless;

pub(super) fn render(problems: &Problems) -> String {
    let mut text = String::new();
    let mut file = None;
    for (index, problem) in problems.iter().enumerate() {
        if index == 0 || file != Some(problem.file()) {
            file = Some(problem.file());
            if index > 0 {
                text.push('\n');
            }
            headline(&mut text, problems, problem.file());
        }
        text.push('\n');
        block(&mut text, problem);
    }
    if problems.omitted() > 0 {
        let _ = writeln!(text, "\n… and {}", counted(problems.omitted(), "more problem"));
    }
    text.truncate(text.trim_end().len());
    text
}

fn headline(text: &mut String, problems: &Problems, file: Option<&str>) {
    let of_file = problems.iter().filter(|problem| problem.file() == file);
    let warnings = of_file.clone().filter(|problem| problem.severity() == Severity::Warning).count();
    let errors = of_file.count() - warnings;
    if let Some(file) = file {
        let _ = write!(text, "{}: ", harmless(file));
    }
    let _ = match (errors, warnings) {
        (errors, 0) => writeln!(text, "{}", counted(errors, "problem")),
        (0, warnings) => writeln!(text, "{}", counted(warnings, "warning")),
        (errors, warnings) => {
            writeln!(text, "{}, {}", counted(errors, "problem"), counted(warnings, "warning"))
        }
    };
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn block(text: &mut String, problem: &Problem) {
    let _ = writeln!(text, "{}: {}", problem.severity(), problem.message());
    let width = problem.span().map_or(1, |span| span.line.to_string().len()).max(2);
    let gutter = " ".repeat(width + 1);
    match (problem.file(), problem.span()) {
        (Some(file), Some(span)) => {
            let _ = writeln!(text, "{gutter}┌ {}:{}:{}", harmless(file), span.line, span.column);
        }
        (None, Some(span)) => {
            let _ = writeln!(text, "{gutter}┌ {}:{}", span.line, span.column);
        }
        (_, None) if !problem.tree_path().is_empty() => {
            let _ = writeln!(text, "{gutter}┌ {}", problem.tree_path());
        }
        (_, None) => {}
    }
    if let (Some(source), Some(span)) = (problem.source_text(), problem.span()) {
        excerpt(text, source, span, problem, width);
    }
    if let Some(help) = problem.help_text() {
        for (index, line) in help.lines().enumerate() {
            let lead = if index == 0 { "help: " } else { "      " };
            let _ = writeln!(text, "{gutter}{lead}{line}");
        }
    }
}

fn excerpt(text: &mut String, source: &Source, span: Span, problem: &Problem, width: usize) {
    let Some(view) = source.view(span) else { return };
    if let Some(context) = problem.context_span().filter(|context| context.line < span.line)
        && let Some(earlier) = source.view(context)
    {
        let _ = writeln!(text, "{:>width$} │ {}", context.line, earlier.shown);
        if context.line + 1 < span.line {
            let _ = writeln!(text, "{:>width$} ⋮", "");
        }
    }
    let _ = writeln!(text, "{:>width$} │ {}", span.line, view.shown);
    let words = match (problem.tree_path(), problem.label_text()) {
        (path, None) => path.to_owned(),
        ("", Some(label)) => label.to_owned(),
        (path, Some(label)) => format!("{path}: {label}"),
    };
    let underline =
        format!("{:>width$} │ {}{} {words}", "", " ".repeat(view.offset), "^".repeat(view.length));
    let _ = writeln!(text, "{}", underline.trim_end());
}
