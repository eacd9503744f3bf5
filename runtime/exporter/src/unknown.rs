//! What to tell somebody who named a driver that this program does not have.

use jumpstarter_core::config::{nearest, suggest::listed};

use crate::{Known, Registry};

/// What to write instead of a name that is none.
pub(crate) fn help(wanted: &str, registry: &Registry) -> String {
    if wanted.ends_with(".Proxy") {
        return "write `ref: NAME` without `type` to give a device another name".to_owned();
    }
    let absent: Vec<&Known> = registry.absent().collect();
    if let Some(known) = absent.iter().find(|known| known.name == wanted || known.aliases.contains(&wanted)) {
        return reason(known, registry);
    }
    let here: Vec<&str> = registry.names().collect();
    if let Some(near) = meant(wanted, &here) {
        return format!("did you mean `{near}`?");
    }
    let providers = registry.providing_by_name(wanted);
    if !providers.is_empty() {
        return format!("drivers that provide {wanted}: {}", listed(&providers));
    }
    let elsewhere = |known: &&&Known| {
        let names: Vec<&str> = std::iter::once(known.name).chain(known.aliases.iter().copied()).collect();
        meant(wanted, &names).is_some()
    };
    if let Some(known) = absent.iter().find(elsewhere) {
        let names: Vec<&str> = std::iter::once(known.name).chain(known.aliases.iter().copied()).collect();
        let near = meant(wanted, &names).unwrap_or(known.name);
        return format!("did you mean `{near}`? {}", reason(known, registry));
    }
    if wanted.contains('.') {
        format!("this version does not run drivers that are written in Python\n{}", all(registry))
    } else {
        all(registry)
    }
}

fn all(registry: &Registry) -> String {
    let mut names: Vec<_> = registry.iter().map(|driver| driver.spec().type_name).collect();
    names.sort_unstable();
    if names.is_empty() {
        "this program has no drivers".to_owned()
    } else {
        format!("this program has: {}", listed(&names))
    }
}

/// Why a driver is not here, and what could be used in its place.
fn reason(known: &Known, registry: &Registry) -> String {
    let why = match known.feature {
        Some(feature) => format!("this program was built without feature `{feature}`"),
        None => "this version does not have that driver yet".to_owned(),
    };
    let mut providers: Vec<&str> =
        known.provides.iter().flat_map(|interface| registry.providing_by_name(interface)).collect();
    providers.dedup();
    if providers.is_empty() {
        // Whoever can build the program with a feature needs no list of other drivers.
        if known.feature.is_some() { why } else { format!("{why}\n{}", all(registry)) }
    } else {
        format!("{why}\ndrivers that provide {}: {}", known.provides.join(", "), listed(&providers))
    }
}

/// Longest name that may be a mistyped one, in bytes. A file can hold megabytes of it, and they are compared with every name.
const LONGEST: usize = 200;

/// The nearest of these names. Of a class path, its last part is what people remember.
fn meant<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
    if wanted.len() > LONGEST {
        return None;
    }
    let class = folded(last(wanted));
    let by_class = || {
        let names = || names.iter().copied();
        names()
            .find(|name| folded(name) == class)
            .or_else(|| names().find(|name| wanted.contains('.') && folded(last(name)) == class))
    };
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    nearest(wanted, sorted).or_else(by_class)
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn folded(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
