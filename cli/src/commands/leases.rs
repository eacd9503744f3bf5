//! `jmp create lease`, `get leases`, `update lease`, `delete leases`.

use std::{io::IsTerminal as _, time::Duration};

use clap::{Arg, ArgAction, Command};
use jumpstarter_core::{Selector, selector::Requirement};
use jumpstarter_lease::{
    Acquiring, Lease, Standing, Wanted,
    controller::{Changes, Leases},
};
use serde_json::json;

use crate::{
    client,
    commands::Invocation,
    output::{self, Format},
    prompt,
    report::{Outcome, Stop},
    runtime,
    signals::Signals,
    style::{self, printable},
    table::{self, Shown},
    values,
    waiting::Waiting,
    words::{Place, flag, option},
};

pub(crate) const CREATE: &str = "Ask for a lease of an exporter\n\n\
    It is there for every command that names it with --lease or JMP_LEASE, until its time is over or it is deleted. An \
    exporter that is free is leased at once; otherwise the lease waits, and --wait waits for it.";

pub(crate) const GET: &str = "Show leases\n\n\
    Without options, your own that have not ended.";

pub(crate) const UPDATE: &str =
    "Change when a lease begins and how long it lasts, or hand it to another client";

pub(crate) const DELETE: &str = "End leases";

/// Default of `--page-size`.
pub(crate) const PAGE: i32 = 100;

pub(crate) fn page() -> Arg {
    option("page-size", "N", "How many to ask for at a time; all are shown in any case")
        .value_parser(clap::value_parser!(i32).range(1..))
        .allow_hyphen_values(false)
}

pub(crate) fn page_of(invocation: &Invocation<'_>) -> i32 {
    invocation.matches.get_one::<i32>("page-size").copied().unwrap_or(PAGE)
}

fn selector(help: &'static str) -> Arg {
    option("selector", "SELECTOR", help).short('l').action(ArgAction::Append)
}

pub(crate) fn create_arguments(command: Command) -> Command {
    client::options(command)
        .arg(selector("Which exporters will do, by their labels; can be repeated"))
        .arg(option("name", "EXPORTER", "The only exporter that will do").short('n'))
        .arg(option("duration", "TIME", "How long it lasts, from its begin; 30m if nothing is said"))
        .arg(option("begin-time", "TIME", "Not before"))
        .arg(option("lease-id", "NAME", "What it is to be called"))
        .arg(option("tag", "KEY=VALUE", "A tag to find it by; can be repeated").action(ArgAction::Append))
        .arg(
            option("context", "KEY=VALUE", "What it is for, for the exporter; can be repeated")
                .action(ArgAction::Append),
        )
        .arg(flag("allow-disabled", "An exporter that is disabled will do, if it is named"))
        .arg(
            Arg::new("wait")
                .long("wait")
                .value_name("TIME")
                .num_args(0..=1)
                .help("Wait until it has its exporter; after TIME it is given back and this fails"),
        )
        .args(output::options(&["json", "yaml", "name"]))
}

pub(crate) fn get_arguments(command: Command) -> Command {
    client::options(command)
        .arg(selector("Only those that ask for these labels; can be repeated"))
        .arg(flag("all", "Also those that have ended").short('a'))
        .arg(flag("all-clients", "Those of all clients").short('A'))
        .arg(option("tag-filter", "SELECTOR", "Only those with these tags"))
        .arg(page())
        .args(output::options(&["json", "yaml", "name", "wide"]))
}

fn lease_name() -> Arg {
    Arg::new("lease").value_name("NAME").required(true).help("Which lease")
}

pub(crate) fn update_arguments(command: Command) -> Command {
    client::options(command)
        .arg(lease_name())
        .arg(option("duration", "TIME", "How long it lasts, from its begin"))
        .arg(option("begin-time", "TIME", "When it begins, if it has not begun"))
        .arg(option("to-client", "CLIENT", "Whose it is to be"))
        .args(output::options(&["json", "yaml", "name"]))
}

pub(crate) fn delete_arguments(command: Command) -> Command {
    client::options(command)
        .arg(Arg::new("lease").value_name("NAME").num_args(0..).help("Which leases"))
        .arg(selector("Your own that ask for these labels; can be repeated"))
        .arg(flag("all", "All your own").short('a'))
        .arg(flag("all-clients", "Those of all clients").short('A'))
        .arg(flag("yes", "Do not ask").short('y'))
        .arg(output::option(&["name"]))
}

pub(crate) fn create(invocation: &Invocation<'_>) -> Outcome {
    let (matches, place) = (invocation.matches, invocation.place);
    let choice = client::choice(matches, place)?;
    let wanted = Wanted {
        selector: values::selector_of(matches, place, "selector")?.unwrap_or_default(),
        exporter: invocation.text("name").filter(|name| !name.is_empty()).map(str::to_owned),
        duration: values::lease_duration(matches, place)?,
        begin: values::begin_of(matches, place)?,
        tags: values::pairs(matches, place, "tag")?,
        context: context(invocation)?,
        allow_disabled: invocation.flag("allow-disabled"),
        name: invocation.text("lease-id").filter(|name| !name.is_empty()).map(str::to_owned),
    };
    if wanted.selector.is_empty() && wanted.exporter.is_none() {
        return Err(place.wrong("one of --selector/-l or --name/-n is required"));
    }
    if let Some(begin) = wanted.begin
        && begin.checked_add(wanted.lasts()).is_ok_and(|end| end <= jiff::Timestamp::now())
    {
        return Err(place.wrong(format!(
            "Invalid value for '--begin-time': a lease from {} on for {} is over already",
            table::local(begin),
            table::span(wanted.lasts())
        )));
    }
    let wait = matches.value_source("wait").is_some();
    let limit = values::duration_of(matches, place, "wait", Duration::ZERO)?;
    let format = Format::of(matches);
    invocation.log.start();
    if wait {
        return create_and_wait(invocation, &wanted, limit, format);
    }
    let lease = client::with(&choice, async |controller| {
        let name = wanted.name.clone().unwrap_or_default();
        Ok(controller.create_lease(&name, wanted.to_wire()).await?)
    })?;
    if let Standing::Unsatisfiable(why) | Standing::Invalid(why) = lease.standing() {
        output::notice(&format!("{} the lease cannot be satisfied: {}", style::warning(), printable(&why)));
    }
    table::begins(&lease);
    table::lease(&lease, format)?;
    Ok(0)
}

fn create_and_wait(
    invocation: &Invocation<'_>,
    wanted: &Wanted,
    limit: Option<Duration>,
    format: Format,
) -> Outcome {
    let choice = client::choice(invocation.matches, invocation.place)?;
    let waited = runtime::single()?.block_on(async {
        let mut signals = Signals::listen()?;
        let access = client::access(&choice).await?;
        let limit = limit.unwrap_or(Duration::from_secs(access.limits.acquisition_timeout));
        let controller = tokio::select! {
            controller = client::connect(access) => controller?,
            signal = signals.next() => return Err(Stop::Signal(signal)),
        };
        let waiting = Waiting::new();
        let mut acquiring = Acquiring::start(controller, wanted.clone(), limit, waiting.observer())?;
        let kept = async { acquiring.wait().await?.keep().await };
        tokio::select! {
            kept = kept => Ok(kept?),
            signal = signals.next() => {
                drop(waiting);
                // Whoever insists need not wait for the controller.
                tokio::select! {
                    () = acquiring.cancel() => {}
                    _ = signals.next() => {}
                }
                Err(Stop::Signal(signal))
            }
        }
    });
    table::lease(&waited?, format)?;
    Ok(0)
}

/// What a lease is for; a controller would refuse more than this.
fn context(invocation: &Invocation<'_>) -> Result<std::collections::BTreeMap<String, String>, Stop> {
    const MOST: usize = 8;
    const KEY: usize = 32;
    const VALUE: usize = 64;
    let place = invocation.place;
    let context = values::pairs(invocation.matches, place, "context")?;
    if context.len() > MOST {
        return Err(place.wrong(format!("Invalid value for '--context': at most {MOST} of them.")));
    }
    if let Some((key, _)) =
        context.iter().find(|(key, value)| key.chars().count() > KEY || value.chars().count() > VALUE)
    {
        return Err(place.wrong(format!(
            "Invalid value for '--context': '{key}': a key has at most {KEY} characters, a value {VALUE}."
        )));
    }
    Ok(context)
}

/// What is asked of a list of leases.
struct Filter {
    selector: Selector,
    mine: Option<String>,
}

impl Filter {
    /// The part that a controller evaluates: labels that leases ask for by value.
    fn text(&self) -> String {
        let parts: Vec<_> =
            self.selector.equal().iter().map(|(key, value)| format!("{key}={value}")).collect();
        parts.join(",")
    }

    /// Whether a lease asks for what was named: literally, or by a value that fits.
    fn takes(&self, lease: &Lease) -> bool {
        if self.mine.as_ref().is_some_and(|me| *me != lease.client) {
            return false;
        }
        if self.selector.is_empty() {
            return true;
        }
        let Ok(asked) = lease.selector.parse::<Selector>() else { return false };
        let equal = self.selector.equal().iter().all(|(key, value)| asked.equal().get(key) == Some(value));
        let holds = |part: &(String, Requirement)| {
            let alone = Selector::from_parts(std::collections::BTreeMap::new(), vec![part.clone()]);
            asked.others().contains(part)
                || (asked.equal().contains_key(&part.0)
                    && alone.is_ok_and(|alone| alone.matches(asked.equal())))
        };
        equal && self.selector.others().iter().all(holds)
    }
}

fn filter(place: &Place, selector: Option<&str>, mine: Option<String>) -> Result<Filter, Stop> {
    let selector = selector.map(|text| values::parsed(text, place, "selector")).transpose()?;
    Ok(Filter { selector: selector.unwrap_or_default(), mine })
}

pub(crate) fn get(invocation: &Invocation<'_>) -> Outcome {
    let (matches, place) = (invocation.matches, invocation.place);
    let choice = client::choice(matches, place)?;
    let selector = values::selector_of(matches, place, "selector")?;
    let tags = invocation.text("tag-filter").unwrap_or_default().to_owned();
    values::parsed(&tags, place, "tag-filter")?;
    invocation.log.start();
    let leases = client::with(&choice, async |controller| {
        let me = (!invocation.flag("all-clients")).then(|| controller.access().name.clone());
        let filter = filter(place, selector.as_deref(), me)?;
        let wanted =
            Leases { selector: filter.text(), tags, all: invocation.flag("all"), page: page_of(invocation) };
        let mut leases = controller.leases(&wanted).await?;
        leases.retain(|lease| filter.takes(lease));
        Ok(leases)
    })?;
    table::deprecated(&leases);
    let format = Format::of(matches);
    match format {
        Format::Json | Format::Yaml => {
            let shown = json!({ "leases": leases.iter().map(Shown::of).collect::<Vec<_>>() });
            if format == Format::Yaml {
                output::sorted_yaml(&shown)?;
            } else {
                output::json(&List { leases: leases.iter().map(Shown::of).collect() })?;
            }
        }
        Format::Name => output::lines(leases.iter().map(|lease| lease.name.as_str()))?,
        Format::Table(room) => table::leases(&leases, output::asks_for(matches, "wide"), room)?,
    }
    Ok(0)
}

#[derive(serde::Serialize)]
struct List<'a> {
    leases: Vec<Shown<'a>>,
}

pub(crate) fn update(invocation: &Invocation<'_>) -> Outcome {
    let (matches, place) = (invocation.matches, invocation.place);
    let choice = client::choice(matches, place)?;
    let changes = Changes {
        begin: values::begin_of(matches, place)?,
        duration: values::lease_duration(matches, place)?,
        to: invocation.text("to-client").filter(|client| !client.is_empty()).map(str::to_owned),
        ..Changes::default()
    };
    if changes.begin.is_none() && changes.duration.is_none() && changes.to.is_none() {
        return Err(place.wrong("at least one of --duration, --begin-time or --to-client is required"));
    }
    invocation.log.start();
    let name = invocation.text("lease").unwrap_or_default();
    let lease = client::with(&choice, async |controller| {
        let mut changes = changes;
        // Controllers take another begin only with a duration: the one that it has is to stay.
        if changes.begin.is_some() && changes.duration.is_none() {
            let known = controller.lease(name).await?.duration;
            changes.duration = known.and_then(|lasts| Duration::try_from(lasts).ok());
        }
        Ok(controller.update_lease(name, changes).await?)
    })?;
    table::begins(&lease);
    table::lease(&lease, Format::of(matches))?;
    Ok(0)
}

pub(crate) fn delete(invocation: &Invocation<'_>) -> Outcome {
    let (matches, place) = (invocation.matches, invocation.place);
    let choice = client::choice(matches, place)?;
    let mut names: Vec<String> = matches.get_many::<String>("lease").unwrap_or_default().cloned().collect();
    let selector = values::selector_of(matches, place, "selector")?.filter(|text| !text.is_empty());
    let (all, everybody) = (invocation.flag("all"), invocation.flag("all-clients"));
    if names.is_empty() && selector.is_none() && !all && !everybody {
        return Err(Stop::usage("One of NAMES, --selector, --all or --all-clients must be specified"));
    }
    invocation.log.start();
    client::with(&choice, async |controller| {
        if names.is_empty() {
            let me = (!everybody).then(|| controller.access().name.clone());
            let filter = filter(place, selector.as_deref(), me)?;
            let wanted = Leases { selector: filter.text(), page: PAGE, ..Leases::default() };
            let found = controller.leases(&wanted).await?;
            names.extend(found.into_iter().filter(|lease| filter.takes(lease)).map(|lease| lease.name));
            if names.is_empty() {
                return Err(Stop::usage("no leases found matching the criteria"));
            }
            if everybody && std::io::stdin().is_terminal() && !invocation.flag("yes") {
                let count = names.len();
                prompt::confirm(&format!(
                    "This ends {count} leases, also those of other clients. Continue?"
                ))?;
            }
        }
        // Of the first one that failed.
        let mut failed = None;
        for name in &names {
            match controller.delete_lease(name).await {
                Ok(()) if Format::of(matches) == Format::Name => output::line(name)?,
                Ok(()) => output::line(&format!("lease \"{name}\" deleted"))?,
                Err(error) => {
                    let stop = Stop::from(error);
                    stop.print();
                    failed.get_or_insert(stop.code());
                }
            }
        }
        Ok(failed.unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(filter: &str, asked: &str) -> bool {
        let filter = Filter { selector: filter.parse().unwrap(), mine: None };
        filter.takes(&Lease { selector: asked.to_owned(), ..Lease::default() })
    }

    #[test]
    fn a_lease_is_found_by_what_it_asks_for() {
        for (filter, asked, expected) in [
            ("", "board=x", true),
            ("board=x", "board=x,site=a", true),
            ("board=x", "board=y", false),
            ("board=x", "board in (x)", false),
            ("board in (x,y)", "board=x", true),
            ("board in (y,x)", "board in (x,y)", true),
            ("board in (x)", "board in (x,y)", false),
            ("board notin (z)", "board=x", true),
            ("board notin (z)", "site=a", false),
            ("!board", "!board", true),
            ("!board", "site=a", false),
            ("board", "board=x", true),
            ("board!=x", "board=x", false),
        ] {
            assert_eq!(takes(filter, asked), expected, "{filter:?} of {asked:?}");
        }
    }
}
