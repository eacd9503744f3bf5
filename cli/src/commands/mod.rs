//! The commands of `jmp`: one file per verb, one table that lists them.

#[cfg(feature = "lab")]
pub(crate) mod admin;
pub(crate) mod auth;
pub(crate) mod client;
pub(crate) mod completion;
pub(crate) mod config;
mod credentials;
pub(crate) mod driver;
pub(crate) mod exporter;
pub(crate) mod exporters;
pub(crate) mod leases;
pub(crate) mod login;
pub(crate) mod run;
pub(crate) mod schema;
#[cfg(feature = "lab")]
pub(crate) mod serve;
#[cfg(feature = "lab")]
pub(crate) mod share;
pub(crate) mod shell;
pub(crate) mod version;

use clap::{ArgMatches, Command};

use crate::{
    Program,
    complete::ask,
    logging,
    report::Outcome,
    words::{self, Found, Place, Word},
};

/// One command of `jmp`, or a group of them.
pub(crate) struct Verb {
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    arguments: fn(Command) -> Command,
    does: Does,
}

enum Does {
    Group(&'static [Verb]),
    Run(fn(&Invocation<'_>) -> Outcome),
}

/// A command that is to be carried out.
pub(crate) struct Invocation<'a> {
    /// What this program was built with.
    pub(crate) program: &'a Program,
    /// Its arguments.
    pub(crate) matches: &'a ArgMatches,
    /// How it was typed.
    pub(crate) place: &'a Place,
    /// The options of the groups above it, outermost first.
    pub(crate) groups: &'a [ArgMatches],
    /// Which log lines are wanted.
    pub(crate) log: logging::Wanted,
}

impl Invocation<'_> {
    /// The value of an option. The empty text is a value.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.matches.get_one::<String>(name).map(String::as_str)
    }

    /// The value of an option of a group.
    #[cfg(feature = "lab")]
    pub(crate) fn group(&self, name: &str) -> Option<&str> {
        let all = self.groups.iter().rev();
        all.filter_map(|matches| matches.try_get_one::<String>(name).ok().flatten())
            .map(String::as_str)
            .next()
    }

    /// Whether a flag of a group was given.
    #[cfg(feature = "lab")]
    pub(crate) fn group_flag(&self, name: &str) -> bool {
        self.groups.iter().any(|matches| matches!(matches.try_get_one::<bool>(name), Ok(Some(true))))
    }

    /// Whether a flag was given.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.matches.get_flag(name)
    }
}

/// `jmp` itself.
pub(crate) static JMP: Verb = Verb {
    name: "jmp",
    aliases: &[],
    about: "Test software on real and virtual hardware",
    arguments: |command| {
        command.args(logging::options()).arg(words::flag("version", "Show the version and exit.").short('V'))
    },
    does: Does::Group(&[
        #[cfg(feature = "lab")]
        admin::ADMIN,
        Verb {
            name: "auth",
            aliases: &[],
            about: "The token of a client",
            arguments: |command| command,
            does: Does::Group(&[
                Verb {
                    name: "refresh",
                    aliases: &[],
                    about: auth::REFRESH,
                    arguments: auth::arguments,
                    does: Does::Run(auth::refresh),
                },
                Verb {
                    name: "rotate",
                    aliases: &[],
                    about: auth::ROTATE,
                    arguments: auth::arguments,
                    does: Does::Run(auth::rotate),
                },
                Verb {
                    name: "status",
                    aliases: &[],
                    about: auth::STATUS,
                    arguments: auth::status_arguments,
                    does: Does::Run(auth::status),
                },
            ]),
        },
        Verb {
            name: "completion",
            aliases: &[],
            about: completion::ABOUT,
            arguments: completion::arguments,
            does: Does::Run(completion::run),
        },
        Verb {
            name: "config",
            aliases: &["conf"],
            about: "Configuration files",
            arguments: |command| command,
            does: Does::Group(&[
                CLIENT,
                EXPORTER,
                Verb {
                    name: "schema",
                    aliases: &["schemas"],
                    about: schema::ABOUT,
                    arguments: schema::arguments,
                    does: Does::Run(schema::run),
                },
            ]),
        },
        Verb {
            name: "create",
            aliases: &["c"],
            about: "Ask a lab for something",
            arguments: |command| command,
            does: Does::Group(&[Verb {
                name: "lease",
                aliases: &["leases", "l"],
                about: leases::CREATE,
                arguments: leases::create_arguments,
                does: Does::Run(leases::create),
            }]),
        },
        Verb {
            name: "delete",
            aliases: &["del", "d"],
            about: "End something in a lab",
            arguments: |command| command,
            does: Does::Group(&[Verb {
                name: "leases",
                aliases: &["lease", "l"],
                about: leases::DELETE,
                arguments: leases::delete_arguments,
                does: Does::Run(leases::delete),
            }]),
        },
        Verb {
            name: "driver",
            aliases: &["drivers"],
            about: "Drivers of this program",
            arguments: |command| command.args(logging::options()),
            does: Does::Group(&[
                Verb {
                    name: "list",
                    aliases: &["ls"],
                    about: driver::ABOUT,
                    arguments: driver::arguments,
                    does: Does::Run(driver::list),
                },
                VERSION,
            ]),
        },
        Verb {
            name: "get",
            aliases: &["g"],
            about: "Look at what is in a lab",
            arguments: |command| command,
            does: Does::Group(&[
                Verb {
                    name: "exporters",
                    aliases: &["exporter", "e"],
                    about: exporters::ABOUT,
                    arguments: exporters::arguments,
                    does: Does::Run(exporters::get),
                },
                Verb {
                    name: "leases",
                    aliases: &["lease", "l"],
                    about: leases::GET,
                    arguments: leases::get_arguments,
                    does: Does::Run(leases::get),
                },
            ]),
        },
        Verb {
            name: "login",
            aliases: &[],
            about: login::ABOUT,
            arguments: login::arguments,
            does: Does::Run(login::run),
        },
        Verb {
            name: "run",
            aliases: &[],
            about: run::ABOUT,
            arguments: run::arguments,
            does: Does::Run(run::run),
        },
        #[cfg(feature = "lab")]
        Verb {
            name: "serve",
            aliases: &[],
            about: serve::ABOUT,
            arguments: serve::arguments,
            does: Does::Run(serve::run),
        },
        Verb {
            name: "shell",
            aliases: &["sh", "s"],
            about: shell::ABOUT,
            arguments: shell::arguments,
            does: Does::Run(shell::run),
        },
        Verb {
            name: "update",
            aliases: &[],
            about: "Change something in a lab",
            arguments: |command| command,
            does: Does::Group(&[Verb {
                name: "lease",
                aliases: &["leases", "l"],
                about: leases::UPDATE,
                arguments: leases::update_arguments,
                does: Does::Run(leases::update),
            }]),
        },
        VERSION,
    ]),
};

/// The user's clients.
const CLIENT: Verb = Verb {
    name: "client",
    aliases: &["c", "clients"],
    about: "Files of clients, and which one is the default",
    arguments: |command| command,
    does: Does::Group(&[
        Verb {
            name: "create",
            aliases: &["c"],
            about: client::CREATE,
            arguments: client::create_arguments,
            does: Does::Run(client::create),
        },
        Verb {
            name: "delete",
            aliases: &["del", "d", "rm"],
            about: client::DELETE,
            arguments: client::delete_arguments,
            does: Does::Run(client::delete),
        },
        Verb {
            name: "list",
            aliases: &["ls", "get"],
            about: client::LIST,
            arguments: client::list_arguments,
            does: Does::Run(client::list),
        },
        Verb {
            name: "use",
            aliases: &[],
            about: client::USE,
            arguments: client::use_arguments,
            does: Does::Run(client::choose_default),
        },
    ]),
};

/// The files of exporters.
const EXPORTER: Verb = Verb {
    name: "exporter",
    aliases: &["e", "exporters"],
    about: "Exporter files",
    arguments: |command| command,
    does: Does::Group(&[
        Verb {
            name: "check",
            aliases: &[],
            about: config::ABOUT,
            arguments: config::arguments,
            does: Does::Run(config::check),
        },
        Verb {
            name: "create",
            aliases: &["c"],
            about: exporter::CREATE,
            arguments: exporter::create_arguments,
            does: Does::Run(exporter::create),
        },
        Verb {
            name: "delete",
            aliases: &["del", "d", "rm"],
            about: exporter::DELETE,
            arguments: exporter::delete_arguments,
            does: Does::Run(exporter::delete),
        },
        Verb {
            name: "edit",
            aliases: &[],
            about: exporter::EDIT,
            arguments: exporter::edit_arguments,
            does: Does::Run(exporter::edit),
        },
        Verb {
            name: "list",
            aliases: &["ls", "get"],
            about: exporter::LIST,
            arguments: exporter::list_arguments,
            does: Does::Run(exporter::list),
        },
    ]),
};

const VERSION: Verb = Verb {
    name: "version",
    aliases: &["ver", "v"],
    about: version::ABOUT,
    arguments: version::arguments,
    does: Does::Run(version::run),
};

impl Word for Verb {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> String {
        self.about.to_owned()
    }

    fn aliases(&self) -> &[&str] {
        self.aliases
    }

    fn words(&self) -> Option<&[Self]> {
        match self.does {
            Does::Group(words) => Some(words),
            Does::Run(_) => None,
        }
    }

    #[cfg(feature = "lab")]
    fn refused(&self, typed: &str) -> Option<String> {
        admin::refused_word(self, typed)
    }

    fn values(&self, argument: &str, before: &[String]) -> Vec<String> {
        match (argument, self.name) {
            ("exporter", _) | ("file", "check") => crate::files::exporters(),
            ("driver", "schema") => {
                crate::DRIVERS.iter().map(|driver| driver.spec().type_name.to_owned()).collect()
            }
            ("client", _) | ("name", "use") => client::aliases(),
            // Of the commands with this name, one removes a client.
            ("name", "delete") if self.about == client::DELETE => client::aliases(),
            // `create lease` and `shell`; what is called a lease elsewhere has no name of an exporter.
            ("name", "lease" | "shell") => ask::exporters(before),
            ("lease", _) => ask::leases(before),
            ("selector", "lease" | "leases" | "shell" | "exporters") => ask::labels(before),
            _ => Vec::new(),
        }
    }

    fn arguments(&self) -> Command {
        (self.arguments)(Command::new(self.name))
    }
}

/// Carries out what was found.
pub(crate) fn execute(program: &Program, found: &Found<'_, Verb>) -> Outcome {
    let log = logging::Wanted::from_options(found.common("log-level"), found.common("log-format"));
    match found.word.does {
        Does::Run(run) => run(&Invocation {
            program,
            matches: &found.matches,
            place: &found.place,
            groups: &found.groups,
            log,
        }),
        // The only way to end at a group is its version flag.
        Does::Group(_) => version::print_line(),
    }
}
