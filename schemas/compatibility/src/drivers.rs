//! Drivers: their names, what they provide, their children and their configuration.

use std::collections::BTreeSet;

use crate::{
    Record,
    change::{Breaks, Change, Changes},
    record::{Child, Driver},
    schema,
};

pub(crate) fn compare(released: &Record, today: &Record, changes: &mut Changes) {
    for (name, old) in &released.drivers {
        let place = format!("drivers/{name}");
        if let Some(new) = today.drivers.get(name) {
            driver(name, old, new, changes);
        } else if let Some((now, new)) = today.drivers.iter().find(|(_, new)| new.aliases.contains(name)) {
            let what = format!("driver {name}: it is called `{now}` now, and its old name still works");
            changes.push(Change::compatible("driver-renamed", place, what));
            driver(name, old, new, changes);
        } else {
            // Another name with the same configuration and the same interfaces is the same driver, most likely.
            let new = today.drivers.iter().find(|(candidate, new)| {
                !released.drivers.contains_key(*candidate)
                    && new.provides == old.provides
                    && new.config == old.config
            });
            let (rule, what, remedy) = match new {
                Some((now, _)) => (
                    "driver-renamed",
                    format!("driver {name}: it is called `{now}` now"),
                    format!("keep the old name: `aliases(\"{name}\")` on `{now}`"),
                ),
                None => (
                    "driver-removed",
                    format!("driver {name}: it is gone"),
                    "bring it back, or let another driver take its name with `aliases(…)`".to_owned(),
                ),
            };
            changes.push(Change::breaking(rule, Breaks::FILES, place, what, remedy));
        }
    }
    for name in today.drivers.keys().filter(|name| !released.drivers.contains_key(*name)) {
        changes.push(Change::compatible(
            "driver-added",
            format!("drivers/{name}"),
            format!("driver {name}: it is new"),
        ));
    }
    for (name, old) in &released.schemas {
        let place = format!("schemas/{name}");
        match today.schemas.get(name) {
            Some(new) => schema::compare(&place, name, old, new, changes),
            None => changes.push(Change::breaking(
                "schema-removed",
                Breaks::FILES,
                place,
                format!("{name}: nothing says any more what these files hold"),
                "bring the schema back",
            )),
        }
    }
}

fn driver(name: &str, old: &Driver, new: &Driver, changes: &mut Changes) {
    let place = |part: String| format!("drivers/{name}/{part}");
    for alias in old.aliases.iter().filter(|alias| !new.aliases.contains(alias)) {
        let what = format!("driver {name}: it does not answer to `{alias}` any more");
        let remedy = format!("keep `aliases(\"{alias}\")`");
        changes.push(Change::breaking(
            "driver-alias-removed",
            Breaks::FILES,
            place(format!("aliases/{alias}")),
            what,
            remedy,
        ));
    }
    for interface in old.provides.iter().filter(|interface| !new.provides.contains(interface)) {
        let what = format!("driver {name}: it does not provide {interface} any more");
        let remedy = "keep it in `provides(…)`, beside a newer version if there is one";
        let change = Change::breaking(
            "interface-not-provided",
            Breaks::BOTH,
            place(format!("provides/{interface}")),
            what,
            remedy,
        );
        changes.push(change.in_proto(false));
    }
    if old.client != new.client {
        let what = format!("driver {name}: Python clients get {} in place of {}", new.client, old.client);
        let remedy = "make sure that the class has what scripts use";
        changes.push(Change::warning(
            "python-class-changed",
            Breaks::LEGACY,
            place("client".to_owned()),
            what,
            remedy,
        ));
    }
    children(name, old, new, changes);
    schema::compare(
        &place("config".to_owned()),
        &format!("driver {name}"),
        &old.config,
        &new.config,
        changes,
    );
}

fn children(name: &str, old: &Driver, new: &Driver, changes: &mut Changes) {
    let rest = |driver: &Driver| driver.children.values().any(|child| child.need == "rest");
    let mut known = BTreeSet::new();
    for (child, before) in &old.children {
        let place = format!("drivers/{name}/children/{child}");
        let now = new
            .children
            .get_key_value(child)
            .or_else(|| new.children.iter().find(|(_, new)| new.also.contains(child)));
        let Some((called, after)) = now else {
            match before.need.as_str() {
                "made" => changes.push(
                    Change::breaking(
                        "child-removed",
                        Breaks::BOTH,
                        place,
                        format!("driver {name}: it does not make the child `{child}` any more"),
                        "keep making it: clients reach it by this name",
                    )
                    .in_proto(false),
                ),
                "rest" => changes.push(Change::breaking(
                    "child-removed",
                    Breaks::FILES,
                    place,
                    format!("driver {name}: it takes no children with names of their own any more"),
                    "keep the field with `#[child(rest)]`",
                )),
                _ if rest(new) => changes.push(Change::compatible(
                    "child-removed",
                    place,
                    format!(
                        "driver {name}: it does not ask for the child `{child}` any more, and still takes it"
                    ),
                )),
                _ => changes.push(Change::breaking(
                    "child-removed",
                    Breaks::FILES,
                    place,
                    format!("driver {name}: it takes no child `{child}` any more"),
                    "keep it, as an `Option`, and leave it alone",
                )),
            }
            continue;
        };
        known.insert(called.clone());
        one(name, child, before, after, changes);
    }
    for (child, after) in new.children.iter().filter(|(child, _)| !known.contains(*child)) {
        let place = format!("drivers/{name}/children/{child}");
        changes.push(if after.need == "required" {
            Change::breaking(
                "child-required",
                Breaks::FILES,
                place,
                format!("driver {name}: the child `{child}` is new and required"),
                "make it an `Option`",
            )
        } else if after.need == "made" && rest(old) {
            Change::breaking(
                "child-made",
                Breaks::FILES,
                place,
                format!("driver {name}: it makes the child `{child}` itself now, and files may have one of that name"),
                "give it a name that nobody uses",
            )
        } else {
            Change::compatible("child-added", place, format!("driver {name}: the child `{child}` is new"))
        });
    }
}

fn one(name: &str, child: &str, before: &Child, after: &Child, changes: &mut Changes) {
    let place = format!("drivers/{name}/children/{child}");
    if before.need != after.need {
        let breaks = match (before.need.as_str(), after.need.as_str()) {
            ("required", "optional") => None,
            ("made", _) => Some(Breaks::BOTH),
            _ => Some(Breaks::FILES),
        };
        let words = |need: &str| match need {
            "required" => "is required",
            "optional" => "is optional",
            "made" => "is made by the driver",
            _ => "stands for all others",
        };
        let (now, then) = (words(&after.need), words(&before.need));
        let what = format!(
            "driver {name}: the child `{child}` {now} now, and {} before",
            then.replace("is ", "was ").replace("stands", "stood")
        );
        changes.push(match breaks {
            None => Change::compatible("child-loosened", place.clone(), what),
            Some(breaks) => {
                let rule = if after.need == "required" { "child-required" } else { "child-need-changed" };
                let remedy = if after.need == "required" { "make it an `Option`" } else { "change it back" };
                Change::breaking(rule, breaks, place.clone(), what, remedy).in_proto(false)
            }
        });
    }
    if before.interface != after.interface {
        let kind = |interface: &Option<String>| interface.clone().unwrap_or_else(|| "anything".to_owned());
        let what = format!(
            "driver {name}: the child `{child}` must provide {} where it had to provide {}",
            kind(&after.interface),
            kind(&before.interface)
        );
        let place = format!("{place}/interface");
        changes.push(if after.interface.is_none() {
            Change::compatible("child-kind-changed", place, what)
        } else {
            Change::breaking(
                "child-kind-changed",
                Breaks::FILES,
                place,
                what,
                "take a child with another name for it",
            )
        });
    }
    for alias in before.also.iter().filter(|alias| !after.also.contains(alias)) {
        let what = format!("driver {name}: the child `{child}` cannot be called `{alias}` any more");
        let remedy = format!("keep `#[child(also(\"{alias}\"))]`");
        changes.push(Change::breaking(
            "child-alias-removed",
            Breaks::FILES,
            format!("{place}/also/{alias}"),
            what,
            remedy,
        ));
    }
}
