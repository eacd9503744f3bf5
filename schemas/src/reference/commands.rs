//! The page of the commands.

use std::fmt::Write as _;

use super::words::{summary, table};

pub(super) fn page() -> String {
    let commands = jumpstarter_cli::reference::jmp();
    let mut text =
        "# Commands\n\n`jmp` starts exporters and shells around them. `j`, inside of such a shell, uses the \
                    devices; its commands follow from the devices' interfaces, whose pages show them \
                    ([all interfaces](README.md#interfaces)).\n\n"
            .to_owned();
    let rows: Vec<_> = commands
        .iter()
        .filter(|command| !command.group)
        .map(|command| {
            let anchor = command.path.replace(' ', "-");
            [format!("[`{}`](#{anchor})", command.path), summary(&command.about)]
        })
        .collect();
    text.push_str(&table(["Command", "Meaning"], &rows));
    for command in &commands {
        let _ = write!(text, "\n## {}\n\n", command.path);
        if !command.aliases.is_empty() {
            let names: Vec<_> = command.aliases.iter().map(|name| format!("`{name}`")).collect();
            let _ = write!(text, "Also {}.\n\n", names.join(", "));
        }
        let _ = write!(text, "```text\n{}```\n", command.help);
    }
    text
}
