//! `jmp config schema`.

use clap::{Arg, Command, builder::PossibleValuesParser};
use jumpstarter_core::{config::nearest, schemas};
use jumpstarter_exporter::Registry;

use crate::{commands::Invocation, output, report::Outcome, style::printable};

pub(crate) const ABOUT: &str = "Print the JSON Schema of a configuration file, for editors and validators";

const FILES: &[&str] = &[
    "client",
    "exporter",
    #[cfg(feature = "lab")]
    "lab",
    "user",
];

pub(crate) fn arguments(command: Command) -> Command {
    command
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .value_parser(PossibleValuesParser::new(FILES))
                .ignore_case(true)
                .required(true)
                .help("Which file: client, exporter, lab or user"),
        )
        .arg(
            Arg::new("driver")
                .value_name("DRIVER")
                .help("Only what may stand under `config` for this driver of an exporter file"),
        )
}

/// Prints the same text as `cargo schemas` writes, for the drivers of this program.
pub(crate) fn run(invocation: &Invocation<'_>) -> Outcome {
    let file = invocation.text("file").unwrap_or_default().to_ascii_lowercase();
    let registry = invocation.program.registry();
    let schema = match (file.as_str(), invocation.text("driver")) {
        ("exporter", None) => {
            // A driver that another one of the same name hides cannot be meant.
            let meant = registry.iter().filter(|driver| {
                let spec = driver.spec();
                registry.get(spec.type_name).is_some_and(|used| std::ptr::eq(used.spec(), spec))
            });
            schemas::exporter(&meant.collect::<Vec<_>>())
        }
        ("exporter", Some(name)) => match registry.get(name) {
            Some(driver) => schemas::configuration(driver),
            None => return Err(invocation.place.wrong(unknown(name, &registry))),
        },
        (file, Some(_)) => {
            let message = format!("A driver has settings in an exporter file only, not in a {file} file.");
            return Err(invocation.place.wrong(message));
        }
        ("client", None) => schemas::client(),
        #[cfg(feature = "lab")]
        ("lab", None) => jumpstarter_lab::config::schema(),
        (_, None) => schemas::user(),
    };
    output::text(&schemas::text(&schema))?;
    Ok(0)
}

fn unknown(name: &str, registry: &Registry) -> String {
    let shown = printable(name);
    match nearest(name, registry.names()) {
        Some(near) => format!("Unknown driver '{shown}'. Did you mean '{near}'?"),
        None => format!("Unknown driver '{shown}'. `jmp driver list` shows all."),
    }
}
