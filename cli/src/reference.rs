//! What the commands say about themselves, for reference pages: the same definitions that the command line is read with.

use jumpstarter_core::{command::ClientEntry, describe::Interface, driver::DriverSpec};
use jumpstarter_exporter::Commands;

use crate::{
    commands::JMP,
    help, j,
    words::{self, Word},
};

/// Width of help texts on pages.
const WIDTH: usize = 100;

/// One command.
#[derive(Clone, Debug)]
pub struct Command {
    /// As it is typed: `jmp config exporter check`.
    pub path: String,
    /// Other names of its last word.
    pub aliases: Vec<String>,
    /// What it does.
    pub about: String,
    /// Its help text.
    pub help: String,
    /// Whether others follow it.
    pub group: bool,
}

/// Every command of `jmp`, groups before what they hold.
pub fn jmp() -> Vec<Command> {
    let mut found = Vec::new();
    collect("jmp", &JMP, &mut found);
    found
}

fn collect<W: Word>(path: &str, word: &W, found: &mut Vec<Command>) {
    found.push(Command {
        path: path.to_owned(),
        aliases: word.aliases().iter().map(ToString::to_string).collect(),
        about: word.about(),
        help: words::help_of(path, word, WIDTH),
        group: word.words().is_some(),
    });
    let mut known: Vec<_> = word.words().unwrap_or_default().iter().collect();
    known.sort_by(|a, b| a.name().cmp(b.name()));
    for word in known {
        collect(&format!("{path} {}", word.name()), word, found);
    }
}

/// The commands of a device with this driver, for clients that know these interfaces.
pub(crate) fn commands(driver: &'static DriverSpec, clients: &[ClientEntry]) -> Commands {
    let entries: Vec<_> = driver
        .provides
        .iter()
        .map(|interface| {
            let mut known = clients.iter();
            let known = known.find(|entry| entry.interface.full_service() == interface.full_service());
            known.copied().unwrap_or_else(|| ClientEntry::new(interface))
        })
        .collect();
    let configured = entries.iter().any(|entry| is_configured(entry.interface));
    let commands = j::tree::commands(&entries, driver.client_label()).into_iter();
    let names = commands.map(|(name, ..)| name).filter(|name| !configured || name != j::tree::CONFIGURED);
    Commands { names: names.collect(), configured: configured.then_some("methods") }
}

/// Whether the names of a device's commands are in its configuration, so that `METHOD` stands for them here.
pub fn is_configured(interface: &Interface) -> bool {
    j::tree::is_shell(interface)
}

/// The commands of `j` for a device with these interfaces, in the order of the interfaces. `client` is the class of its
/// Python client, which says more than the interfaces in some cases; `device` is its name.
pub fn device(entries: &[ClientEntry], client: &str, device: &str) -> Vec<Command> {
    let commands = j::tree::commands(entries, client).into_iter();
    commands
        .map(|(name, about, command)| {
            let path = format!("j {device} {name}");
            let command = command.arg(words::help_option());
            let help = help::text_within(WIDTH, &path, &command, about, None);
            Command { path, aliases: Vec::new(), about: about.to_owned(), help, group: false }
        })
        .collect()
}
