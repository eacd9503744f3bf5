//! Names of labels and annotations, and what may stand in them.

use std::collections::BTreeMap;

use jumpstarter_core::{
    Error,
    selector::{Labels, is_label_key, is_label_value},
};

use crate::LabelSelector;

/// On a lease: it is over. What is active has no such label.
pub const LEASE_ENDED: &str = "jumpstarter.dev/lease-ended";

/// The value of [`LEASE_ENDED`].
pub const LEASE_ENDED_VALUE: &str = "true";

/// On a lease, in front of each of its tags.
pub const TAG_PREFIX: &str = "metadata.jumpstarter.dev/";

/// What belongs to the framework: labels of this kind on an exporter are those that it registered with.
pub const OWN_PREFIX: &str = "jumpstarter.dev/";

/// On an exporter, an annotation: how often it has been given to a lease. It is raised by the very write that gives it.
pub const LEASE_EPOCH: &str = "jumpstarter.dev/lease-epoch";

/// On an exporter, an annotation: the lease that it was last given to, `NAME/UID`.
pub const LEASE_HOLDER: &str = "jumpstarter.dev/lease-holder";

/// On a lease, an annotation: its client holds it, and looks at it until it gives it back. Its value is `true`.
pub const LEASE_HELD: &str = "jumpstarter.dev/lease-held";

/// On a client or exporter, an annotation: the namespace in the subject of its token, if it has moved.
pub const MIGRATED_NAMESPACE: &str = "jumpstarter.dev/migrated-namespace";

/// On a client or exporter, an annotation: the UID in the subject of its token, if it has moved.
pub const MIGRATED_UID: &str = "jumpstarter.dev/migrated-uid";

/// What the value of a label may be, and its key without a prefix; for people.
pub const RULE: &str =
    "use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";

/// How many tags a lease may have unless the lab says less.
pub const MOST_TAGS: usize = 10;

/// Whether a lease may have these tags.
pub fn check_tags(tags: &BTreeMap<String, String>, most: usize) -> Result<(), Error> {
    let wrong = |what: String| Err(Error::usage(format!("invalid lease tags: {what}")));
    if tags.len() > most {
        return wrong(format!("{} are too many: at most {most} are allowed", tags.len()));
    }
    for (key, value) in tags {
        if key.starts_with(TAG_PREFIX) || key.starts_with(OWN_PREFIX) {
            return wrong(format!("`{key}`: keys that start with {OWN_PREFIX} or {TAG_PREFIX} are reserved"));
        }
        if key.contains('/') {
            return wrong(format!("`{key}`: a key has no `/`"));
        }
        if !is_label_key(&format!("{TAG_PREFIX}{key}")) {
            return wrong(format!("`{key}` is not the key of a label: {RULE}"));
        }
        if !is_label_value(value) {
            return wrong(format!("`{key}`: `{value}` is not the value of a label"));
        }
    }
    Ok(())
}

/// The labels of a new lease: those that its selector asks for, by which people list leases, and its tags.
///
/// Never the one that says that it is over: a selector with that key would hide its lease from the start.
pub fn of_lease(selector: &LabelSelector, tags: &BTreeMap<String, String>) -> Labels {
    let copied = selector
        .match_labels
        .iter()
        .filter(|(key, _)| !key.starts_with(TAG_PREFIX) && *key != LEASE_ENDED)
        .map(|(key, value)| (key.clone(), value.clone()));
    copied.chain(tags.iter().map(|(key, value)| (format!("{TAG_PREFIX}{key}"), value.clone()))).collect()
}

/// The labels of an exporter that registers with `told`: its own are replaced, those that an administrator gave stay, and
/// it cannot give itself any of those.
pub fn of_exporter(present: &Labels, told: &Labels) -> Labels {
    let own = |key: &String| key.starts_with(OWN_PREFIX);
    let kept = present.iter().filter(|(key, _)| !own(key));
    let told = told.iter().filter(|(key, _)| own(key));
    kept.chain(told).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn bad_tags_are_refused_with_the_reason() {
        assert!(check_tags(&map(&[("build", "12"), ("team", ""), ("a.b_c-d", "x")]), MOST_TAGS).is_ok());
        for (key, value, says) in [
            (
                "jumpstarter.dev/x",
                "",
                "keys that start with jumpstarter.dev/ or metadata.jumpstarter.dev/ are reserved",
            ),
            (
                "metadata.jumpstarter.dev/x",
                "",
                "keys that start with jumpstarter.dev/ or metadata.jumpstarter.dev/ are reserved",
            ),
            ("a/b", "", "a key has no `/`"),
            ("-a", "", "`-a` is not the key of a label"),
            ("", "", "`` is not the key of a label"),
            ("a", "b c", "`b c` is not the value of a label"),
        ] {
            let error = check_tags(&map(&[(key, value)]), MOST_TAGS).expect_err(key);
            assert!(error.message().starts_with("invalid lease tags: "), "{error}");
            assert!(error.message().contains(says), "{error}");
        }
        let error = check_tags(&map(&[("a", ""), ("b", "")]), 1).expect_err("too many");
        assert_eq!(error.message(), "invalid lease tags: 2 are too many: at most 1 are allowed");
    }

    #[test]
    fn a_selector_cannot_hide_its_lease() {
        let selector = LabelSelector {
            match_labels: map(&[
                ("board", "rpi4"),
                (LEASE_ENDED, "true"),
                ("metadata.jumpstarter.dev/team", "forged"),
            ]),
            ..LabelSelector::default()
        };
        let labels = of_lease(&selector, &map(&[("build", "12")]));
        assert_eq!(labels, map(&[("board", "rpi4"), ("metadata.jumpstarter.dev/build", "12")]));
    }

    #[test]
    fn an_exporter_replaces_its_own_labels_and_no_others() {
        let present = map(&[("room", "2"), ("jumpstarter.dev/old", "1")]);
        let told = map(&[("room", "9"), ("jumpstarter.dev/new", "1")]);
        assert_eq!(of_exporter(&present, &told), map(&[("room", "2"), ("jumpstarter.dev/new", "1")]));
    }
}
