//! Breaks that were accepted: `proto/breaking.toml`.

use serde::Deserialize;

use crate::{
    Error,
    change::{Change, Verdict},
};

/// The list of accepted breaks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    #[serde(default)]
    accept: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    rule: String,
    place: String,
    #[serde(default)]
    reason: String,
}

impl Accepted {
    /// Reads the list. An empty text is an empty list.
    pub fn parse(text: &str) -> Result<Self, Error> {
        toml::from_str(text)
            .map_err(|error| Error::new(format!("the list of accepted breaks cannot be read: {error}")))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.accept.len()
    }

    /// Whether nothing was accepted.
    pub fn is_empty(&self) -> bool {
        self.accept.is_empty()
    }

    /// The text without its entries: comments at the top stay.
    pub fn emptied(text: &str) -> String {
        let head: Vec<_> =
            text.lines().take_while(|line| line.trim().is_empty() || line.starts_with('#')).collect();
        let head = head.join("\n");
        if head.trim().is_empty() { String::new() } else { format!("{}\n", head.trim_end()) }
    }

    /// Takes accepted breaks off the list of changes. Entries that are wrong are problems: without a reason, for
    /// nothing, twice, or for what cannot be accepted.
    pub(crate) fn take_off(&self, changes: Vec<Change>) -> (Vec<Change>, Vec<(Change, String)>, Vec<String>) {
        let (mut left, mut accepted, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let mut used = vec![false; self.accept.len()];
        for (i, entry) in self.accept.iter().enumerate() {
            let Entry { rule, place, reason } = entry;
            let named = format!("accepted break `{rule}` of {place}");
            let says_nothing = reason.trim().is_empty() || reason.starts_with("why nobody is hurt");
            if says_nothing {
                problems.push(format!(
                    "{named}: the reason is missing; say why nobody is hurt, or why it has to be"
                ));
            }
            if self.accept[..i].iter().any(|earlier| earlier.rule == *rule && earlier.place == *place) {
                problems.push(format!("{named}: the entry is there twice; remove one"));
            }
        }
        for change in changes {
            let at =
                self.accept.iter().position(|entry| entry.rule == change.rule && entry.place == change.place);
            let Some(at) = at.filter(|_| change.verdict >= Verdict::Breaking) else {
                left.push(change);
                continue;
            };
            used[at] = true;
            let entry = &self.accept[at];
            if change.verdict == Verdict::Corrupting {
                let Entry { rule, place, .. } = entry;
                problems.push(format!(
                    "accepted break `{rule}` of {place}: this cannot be accepted; {}",
                    change.remedy
                ));
                left.push(change);
            } else {
                accepted.push((change, entry.reason.clone()));
            }
        }
        for (i, entry) in self.accept.iter().enumerate() {
            let first = !self.accept[..i]
                .iter()
                .any(|earlier| earlier.rule == entry.rule && earlier.place == entry.place);
            if !used[i] && first {
                let Entry { rule, place, .. } = entry;
                problems.push(format!(
                    "accepted break `{rule}` of {place}: nothing breaks there; remove the entry"
                ));
            }
        }
        (left, accepted, problems)
    }
}
