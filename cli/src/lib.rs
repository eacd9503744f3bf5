//! The commands `jmp` and `j`: one program, which looks at the name it was started under.
//!
//! `jmp` starts exporters and shells around them; `j`, inside of such a shell, is built from what the exporter reports. A
//! crate with drivers of its own builds its own `jmp` in one line:
//!
//! ```no_run
//! # mod my_drivers { pub const DRIVERS: &[&dyn jumpstarter_core::driver::DriverFactory] = &[]; }
//! fn main() -> std::process::ExitCode {
//!     jumpstarter_cli::main(&[jumpstarter_cli::DRIVERS, my_drivers::DRIVERS])
//! }
//! ```
//!
//! Such a program is linked or copied to the name `j` as well; where `PATH` has no `j`, `jmp shell` does that by itself.
//! Commands that an interface of one's own adds to its client come in through [`Program::with_clients`]; without them, `j`
//! still has every method of the interface.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `words` | from the first word to the command that is meant, and its arguments |
//! | `help`, `report`, `style` | what people read: help, errors with their exit codes, colour and width |
//! | `output`, `logging` | results on standard output, everything else on standard error |
//! | `known` | which drivers there are, whether this program has them or not |
//! | `files` | where configuration files are |
//! | `client`, `tokens` | which client speaks with a controller, and what proves it |
//! | `values`, `table` | lengths of time, moments, selectors, pairs; leases and exporters as rows |
//! | `waiting`, `prompt` | what is waited for, and why; questions |
//! | [`reference`](mod@reference) | help texts for pages |
//! | `complete` | the protocol of the completion scripts |
//! | `commands` | the commands of `jmp`, one file each |
//! | `child`, `terminal`, `keys`, `signals` | the command that `jmp shell` runs |
//! | `line`, `orphans` | between the two processes of an exporter; processes that have lost their parents |
//! | `runtime`, `relay`, `about`, `notify` | what exporters need: threads, a way for their log, what it is about, and a word to the service manager |
//! | `tunnel` | a private socket that leads to a port |
//! | `j` | the commands of `j`, from reports |

#![deny(unsafe_code)]

mod about;
mod child;
mod client;
mod commands;
mod complete;
mod files;
mod fit;
mod help;
mod j;
mod keys;
mod known;
mod line;
mod logging;
mod notify;
mod orphans;
mod output;
mod prompt;
pub mod reference;
mod relay;
mod renewal;
mod report;
mod runtime;
mod signals;
mod style;
mod table;
mod terminal;
mod tokens;
mod tunnel;
mod values;
mod waiting;
mod words;

use std::{ffi::OsString, path::Path, process::ExitCode};

use jumpstarter_core::{command::ClientEntry, driver::DriverFactory};
use jumpstarter_exporter::Registry;

use crate::report::Outcome;

/// Lists of drivers, in the order in which they are registered.
#[cfg(any(
    feature = "board",
    feature = "composite",
    feature = "network",
    feature = "power",
    feature = "serial",
    feature = "shell",
    feature = "storage"
))]
const FAMILIES: &[&[&dyn DriverFactory]] = &[
    #[cfg(feature = "board")]
    jumpstarter_driver_board::DRIVERS,
    #[cfg(feature = "composite")]
    jumpstarter_driver_composite::DRIVERS,
    #[cfg(feature = "network")]
    jumpstarter_driver_network::DRIVERS,
    #[cfg(feature = "power")]
    jumpstarter_driver_power::DRIVERS,
    #[cfg(feature = "serial")]
    jumpstarter_driver_serial::DRIVERS,
    #[cfg(feature = "shell")]
    jumpstarter_driver_shell::DRIVERS,
    #[cfg(feature = "storage")]
    jumpstarter_driver_storage::DRIVERS,
];

/// Every driver of this project that was chosen by features.
pub const DRIVERS: &[&dyn DriverFactory] = joined::ALL;

/// The interfaces of this project, with the commands that their clients add.
pub const CLIENTS: &[ClientEntry] = jumpstarter_interfaces::CLIENTS;

#[cfg(any(
    feature = "board",
    feature = "composite",
    feature = "network",
    feature = "power",
    feature = "serial",
    feature = "shell",
    feature = "storage"
))]
mod joined {
    use super::{DriverFactory, FAMILIES};

    const COUNT: usize = {
        let (mut count, mut family) = (0, 0);
        while family < FAMILIES.len() {
            count += FAMILIES[family].len();
            family += 1;
        }
        count
    };

    pub(super) const ALL: &[&dyn DriverFactory] = &{
        let mut all = [FAMILIES[0][0]; COUNT];
        let (mut count, mut family) = (0, 0);
        while family < FAMILIES.len() {
            let mut driver = 0;
            while driver < FAMILIES[family].len() {
                all[count] = FAMILIES[family][driver];
                count += 1;
                driver += 1;
            }
            family += 1;
        }
        all
    };
}

#[cfg(not(any(
    feature = "board",
    feature = "composite",
    feature = "network",
    feature = "power",
    feature = "serial",
    feature = "shell",
    feature = "storage"
)))]
mod joined {
    pub(super) const ALL: &[&dyn super::DriverFactory] = &[];
}

/// Runs this process as `jmp` or `j`, with these drivers and the clients of this project.
///
/// Where two drivers have the same name, the one in the later list is used.
pub fn main(drivers: &[&[&'static dyn DriverFactory]]) -> ExitCode {
    Program::new(drivers).main()
}

/// What a program is built with.
#[derive(Clone, Debug)]
pub struct Program {
    drivers: Registry,
    clients: Vec<ClientEntry>,
}

impl Program {
    /// A program with these drivers and the clients of this project.
    pub fn new(drivers: &[&[&'static dyn DriverFactory]]) -> Self {
        Self { drivers: Registry::new(drivers).knowing(known::KNOWN), clients: CLIENTS.to_vec() }
    }

    /// Adds interfaces with the commands of their clients. They hide those that are there under the same name.
    #[must_use]
    pub fn with_clients(mut self, clients: &[ClientEntry]) -> Self {
        self.clients.splice(0..0, clients.iter().copied());
        self
    }

    /// Runs this process: as `j` if it was started under that name, as `jmp` otherwise.
    pub fn main(&self) -> ExitCode {
        let mut words = std::env::args_os();
        let name = words.next().unwrap_or_default();
        self.run(&name, words.collect())
    }

    /// Runs with this name and these words.
    fn run(&self, name: &OsString, words: Vec<OsString>) -> ExitCode {
        let base =
            Path::new(name).file_name().map(|base| base.to_string_lossy().into_owned()).unwrap_or_default();
        let outcome = match base.as_str() {
            "j" => j::main(self, words),
            _ if line::Role::named(&base).is_some() => self.started_by_supervisor(&base, words),
            // Packages link these names to the groups of the same name.
            "jmp-driver" => self.jmp([OsString::from("driver")].into_iter().chain(words).collect()),
            "jmp-admin" => self.jmp([OsString::from("admin")].into_iter().chain(words).collect()),
            _ => self.jmp(words),
        };
        ExitCode::from(match outcome {
            Ok(code) => code,
            Err(stop) => {
                stop.print();
                stop.code()
            }
        })
    }

    /// A part of an exporter that another process supervises.
    fn started_by_supervisor(&self, name: &str, words: Vec<OsString>) -> Outcome {
        if let Some(role) = line::Role::named(name) {
            line::open(role)?;
        }
        self.jmp(words)
    }

    fn jmp(&self, words: Vec<OsString>) -> Outcome {
        if let Some(request) = complete::Request::from_env("jmp", files::environment) {
            return request.answer(&commands::JMP);
        }
        if words.first().is_some_and(|word| word == keys::LISTENER) {
            return keys::listen();
        }
        let found = words::find(&commands::JMP, "jmp", words)?;
        commands::execute(self, &found)
    }

    /// Its drivers, and what it knows of others.
    pub fn registry(&self) -> Registry {
        let clients = self.clients.clone();
        self.drivers.clone().with_commands(move |driver| reference::commands(driver, &clients))
    }
}
