//! `jmp get exporters`.

use std::collections::{BTreeMap, BTreeSet};

use clap::{ArgAction, Command};
use jumpstarter_lease::{
    Lease, Standing,
    controller::{Exporters, Leases, short},
};
use jumpstarter_protocol::{client::v1 as wire, v1::ExporterStatus};
use serde::Serialize;

use crate::{
    client,
    commands::{
        Invocation,
        leases::{PAGE, page, page_of},
    },
    output::{self, Format},
    report::{Outcome, Stop},
    style::{self, printable},
    table::{self, Shown},
    values,
    words::{flag, option},
};

pub(crate) const ABOUT: &str = "Show the exporters of a lab";

/// What `--with` can ask for.
const FIELDS: [&str; 3] = ["leases", "online", "status"];

pub(crate) fn arguments(command: Command) -> Command {
    client::options(command)
        .arg(
            option("selector", "SELECTOR", "Only those with these labels; can be repeated")
                .short('l')
                .action(ArgAction::Append),
        )
        .arg(
            option("with", "FIELDS", "Also show these, of leases, online, status; commas between them")
                .action(ArgAction::Append),
        )
        .arg(flag("allow-disabled", "Also those that are disabled"))
        .arg(flag("show-hidden-labels", "Also show labels that the lab hides"))
        .arg(page())
        .args(output::options(&["json", "yaml", "name"]))
}

/// What else is shown of each.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column")]
struct With {
    leases: bool,
    online: bool,
    status: bool,
    disabled: bool,
}

impl With {
    fn of(invocation: &Invocation<'_>) -> Result<Self, Stop> {
        let all = invocation.matches.get_many::<String>("with").unwrap_or_default();
        let fields: BTreeSet<_> = all
            .flat_map(|list| list.split(','))
            .map(|field| field.trim().to_lowercase())
            .filter(|field| !field.is_empty())
            .collect();
        let unknown: Vec<_> = fields.iter().filter(|field| !FIELDS.contains(&field.as_str())).collect();
        if !unknown.is_empty() {
            let list: Vec<_> = unknown.iter().map(|field| format!("'{}'", printable(field))).collect();
            return Err(invocation.place.wrong(format!(
                "Invalid value(s) [{}]. Allowed values are: {}",
                list.join(", "),
                FIELDS.join(", ")
            )));
        }
        Ok(Self {
            leases: fields.contains("leases"),
            online: fields.contains("online"),
            status: fields.contains("status"),
            disabled: invocation.flag("allow-disabled"),
        })
    }

    fn titles(self) -> Vec<&'static str> {
        let mut titles = vec!["NAME"];
        let mut add = |wanted: bool, title: &[&'static str]| {
            if wanted {
                titles.extend(title);
            }
        };
        add(self.disabled, &["ENABLED"]);
        add(self.online, &["ONLINE"]);
        add(self.status, &["STATUS"]);
        add(true, &["LABELS"]);
        add(self.leases, &["LEASED BY", "LEASE STATUS", "RELEASE TIME"]);
        titles
    }
}

pub(crate) fn get(invocation: &Invocation<'_>) -> Outcome {
    let (matches, place) = (invocation.matches, invocation.place);
    let choice = client::choice(matches, place)?;
    let with = With::of(invocation)?;
    let selector = values::selector_of(matches, place, "selector")?.unwrap_or_default();
    invocation.log.start();
    let (mut exporters, leases) = client::with(&choice, async |controller| {
        let wanted = Exporters {
            selector,
            hidden_labels: invocation.flag("show-hidden-labels"),
            page: page_of(invocation),
        };
        let exporters = controller.exporters(&wanted).await?;
        let leases = if with.leases {
            controller.leases(&Leases { page: PAGE, ..Leases::default() }).await?
        } else {
            Vec::new()
        };
        Ok((exporters, leases))
    })?;
    exporters.retain(|exporter| with.disabled || exporter.enabled.unwrap_or(true));
    exporters.sort_by(|a, b| a.name.cmp(&b.name));
    let leases: BTreeMap<&str, &Lease> = leases
        .iter()
        .filter(|lease| lease.standing() == Standing::Ready)
        .map(|lease| (lease.exporter.as_str(), lease))
        .collect();
    for exporter in &exporters {
        deprecated(exporter);
    }
    let shown = || {
        let exporters = exporters.iter().map(|exporter| ShownExporter::of(exporter, with, &leases)).collect();
        List { exporters }
    };
    match Format::of(matches) {
        Format::Json => output::json(&shown())?,
        Format::Yaml => output::sorted_yaml(&shown())?,
        Format::Name => output::lines(exporters.iter().map(|exporter| short(&exporter.name)))?,
        Format::Table(room) => {
            let rows: Vec<_> = exporters.iter().map(|exporter| row(exporter, with, &leases)).collect();
            output::resources(&with.titles(), &rows, room)?;
        }
    }
    Ok(0)
}

fn deprecated(exporter: &wire::Exporter) {
    let mut labels: Vec<_> = exporter.deprecated_labels.iter().collect();
    labels.sort();
    for (label, instead) in labels {
        output::notice(&format!(
            "{} label '{}' on exporter '{}' is deprecated: {}",
            style::warning(),
            printable(label),
            printable(short(&exporter.name)),
            printable(instead)
        ));
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// The name of a status without its prefix.
fn status(exporter: &wire::Exporter) -> String {
    match ExporterStatus::try_from(exporter.status) {
        Ok(ExporterStatus::Unspecified) | Err(_) => "UNKNOWN".to_owned(),
        Ok(status) => status.as_str_name().trim_start_matches("EXPORTER_STATUS_").to_owned(),
    }
}

fn row(exporter: &wire::Exporter, with: With, leases: &BTreeMap<&str, &Lease>) -> Vec<String> {
    let name = short(&exporter.name);
    let mut row = vec![printable(name)];
    if with.disabled {
        row.push(yes(exporter.enabled.unwrap_or(true)));
    }
    if with.online {
        row.push(yes(exporter.online));
    }
    if with.status {
        row.push(status(exporter));
    }
    row.push(table::pairs(&exporter.labels));
    if with.leases {
        match leases.get(name) {
            Some(lease) => row.extend([
                printable(&lease.client),
                "In-Use".to_owned(),
                lease.ends().map(table::local).unwrap_or_default(),
            ]),
            None => row.extend([String::new(), "Available".to_owned(), String::new()]),
        }
    }
    row
}

#[derive(Serialize)]
struct List<'a> {
    exporters: Vec<ShownExporter<'a>>,
}

/// An exporter for programs, with the keys of existing clients, and what was asked for besides.
#[derive(Serialize)]
struct ShownExporter<'a> {
    namespace: &'a str,
    name: &'a str,
    labels: BTreeMap<&'a String, &'a String>,
    deprecated_labels: BTreeMap<&'a String, &'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<Holder<'a>>,
}

/// Who has an exporter; null if nobody has.
#[derive(Serialize)]
#[serde(untagged)]
enum Holder<'a> {
    Nobody(()),
    Lease(Box<Shown<'a>>),
}

impl<'a> ShownExporter<'a> {
    fn of(exporter: &'a wire::Exporter, with: With, leases: &BTreeMap<&str, &'a Lease>) -> Self {
        let name = short(&exporter.name);
        Self {
            namespace: exporter.name.split('/').nth(1).unwrap_or_default(),
            name,
            labels: exporter.labels.iter().collect(),
            deprecated_labels: exporter.deprecated_labels.iter().collect(),
            online: with.online.then_some(exporter.online),
            status: with.status.then_some(exporter.status),
            status_name: with.status.then(|| status(exporter)),
            enabled: with.disabled.then_some(exporter.enabled.unwrap_or(true)),
            lease: with.leases.then(|| match leases.get(name) {
                Some(lease) => Holder::Lease(Box::new(Shown::of(lease))),
                None => Holder::Nobody(()),
            }),
        }
    }
}
