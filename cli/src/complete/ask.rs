//! What only a lab knows, for completion: its exporters, their labels, and leases.
//!
//! Somebody is typing: a lab that does not answer at once, or a client that is none, is no place for an error. Nothing is
//! written, so a token that has expired stays that.

use std::{collections::BTreeSet, time::Duration};

use jumpstarter_core::Result;
use jumpstarter_lease::{
    Access, Choice, Controller, choose,
    controller::{Exporters, Leases, short},
};

use crate::{commands::leases::PAGE, files::environment, runtime};

/// How long somebody who has pressed a key may wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// The client that was named before, else the default one.
fn choice(before: &[String]) -> Choice {
    let value = |option: &str| {
        before.iter().enumerate().rev().find_map(|(at, word)| {
            let rest = word.strip_prefix(option)?;
            if let Some(value) = rest.strip_prefix('=') {
                return Some(value.to_owned());
            }
            // bash takes an equals sign for a word of its own.
            let mut behind = before[at + 1..].iter().filter(|word| *word != "=");
            rest.is_empty().then(|| behind.next().cloned()).flatten()
        })
    };
    match (value("--client"), value("--client-config")) {
        (_, Some(file)) => Choice::File(file.into()),
        (Some(alias), None) => Choice::Alias(alias),
        (None, None) => Choice::Default,
    }
}

/// What a lab says, if it does.
fn asked<T: Default>(before: &[String], what: impl AsyncFnOnce(&Controller) -> Result<T>) -> T {
    let Ok(chosen) = choose(&choice(before), &environment) else { return T::default() };
    let Ok(access) = Access::new(&chosen, &environment) else { return T::default() };
    let Ok(runtime) = runtime::single() else { return T::default() };
    let answer = runtime.block_on(async {
        let answer = async { what(&Controller::connect(access).await?).await };
        tokio::time::timeout(PATIENCE, answer).await
    });
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

/// The names of exporters, sorted.
pub(crate) fn exporters(before: &[String]) -> Vec<String> {
    asked(before, async |controller| {
        let found = controller.exporters(&Exporters { page: PAGE, ..Exporters::default() }).await?;
        let names: BTreeSet<_> = found.iter().map(|exporter| short(&exporter.name).to_owned()).collect();
        Ok(names.into_iter().collect())
    })
}

/// The labels that exporters have, `KEY=VALUE`, sorted.
pub(crate) fn labels(before: &[String]) -> Vec<String> {
    asked(before, async |controller| {
        let found = controller.exporters(&Exporters { page: PAGE, ..Exporters::default() }).await?;
        let labels = found.iter().flat_map(|exporter| &exporter.labels);
        let labels: BTreeSet<_> = labels.map(|(key, value)| format!("{key}={value}")).collect();
        Ok(labels.into_iter().collect())
    })
}

/// The client's own leases that are not over, sorted.
pub(crate) fn leases(before: &[String]) -> Vec<String> {
    asked(before, async |controller| {
        let found = controller.leases(&Leases { page: PAGE, ..Leases::default() }).await?;
        let me = &controller.access().name;
        let mine = found.into_iter().filter(|lease| lease.client == *me && lease.over().is_none());
        let names: BTreeSet<_> = mine.map(|lease| lease.name).collect();
        Ok(names.into_iter().collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_one_that_was_named_before() {
        for (words, expected) in [
            ("shell -n", Choice::Default),
            ("shell --client lab -n", Choice::Alias("lab".to_owned())),
            ("shell --client=lab -n", Choice::Alias("lab".to_owned())),
            ("shell --client = lab -n", Choice::Alias("lab".to_owned())),
            ("shell --client one --client two", Choice::Alias("two".to_owned())),
            ("shell --client-config a.yaml", Choice::File("a.yaml".into())),
            ("shell --client", Choice::Default),
        ] {
            let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
            assert_eq!(choice(&words), expected, "{words:?}");
        }
    }
}
