//! Label selectors: which of many labelled things are meant.
//!
//! The grammar is that of Kubernetes (`k=v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, `k`, `!k`, joined by commas that mean
//! *and*). What does not fit it is an error, never dropped: a selector of which half is lost selects too much.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use crate::{Error, Result};

/// Labels of something: keys and values.
pub type Labels = BTreeMap<String, String>;

/// Longest name of a key and longest value, in characters (Kubernetes, "Labels and Selectors").
const LONGEST: usize = 63;

/// Longest prefix of a key, in characters (a DNS subdomain, RFC 1123).
const LONGEST_PREFIX: usize = 253;

/// What one part of a selector asks of one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The value is one of these.
    In(BTreeSet<String>),
    /// The key is absent, or its value is none of these.
    NotIn(BTreeSet<String>),
    /// The key is there.
    Exists,
    /// The key is absent.
    Absent,
    /// The value is a whole number greater than this one. Lists take it, leases and policies do not.
    Above(i64),
    /// The value is a whole number less than this one. Lists take it, leases and policies do not.
    Below(i64),
}

/// All of these must hold. The empty selector selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// `k=v`: one value per key.
    equal: BTreeMap<String, String>,
    /// Everything else, as written; those with `!=` of one key are one.
    other: Vec<(String, Requirement)>,
}

impl Selector {
    /// Selects everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// From parts that were not written as text: `equal` are those of the form `k=v`.
    pub fn from_parts(equal: BTreeMap<String, String>, others: Vec<(String, Requirement)>) -> Result<Self> {
        let values = others.iter().flat_map(|(_, requirement)| match requirement {
            Requirement::In(values) | Requirement::NotIn(values) => values.iter().collect::<Vec<_>>(),
            Requirement::Exists | Requirement::Absent | Requirement::Above(_) | Requirement::Below(_) => {
                Vec::new()
            }
        });
        if let Some(value) = equal.values().chain(values).find(|value| !is_label_value(value)) {
            return Err(wrong(format_args!("`{value}` is not the value of a label")));
        }
        let keys = equal.keys().chain(others.iter().map(|(key, _)| key));
        if let Some(key) = keys.into_iter().find(|key| !is_label_key(key)) {
            return Err(wrong(format_args!("`{key}` is not the key of a label")));
        }
        Ok(Self { equal, other: others })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.equal.is_empty() && self.other.is_empty()
    }

    /// The parts of the form `k=v`.
    pub fn equal(&self) -> &BTreeMap<String, String> {
        &self.equal
    }

    /// All other parts.
    pub fn others(&self) -> &[(String, Requirement)] {
        &self.other
    }

    /// Whether something with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.equal.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.other.iter().all(|(key, requirement)| requirement.holds(labels.get(key)))
    }

    fn add(&mut self, key: String, part: Part) -> Result<()> {
        match part {
            Part::Equal(value) => {
                if let Some(known) = self.equal.get(&key)
                    && *known != value
                {
                    return Err(wrong(format_args!("`{key}` cannot be both `{known}` and `{value}`")));
                }
                self.equal.insert(key, value);
            }
            Part::Unequal(value) => {
                let merged = self.other.iter_mut().find_map(|(known, requirement)| match requirement {
                    Requirement::NotIn(merged) if *known == key => Some(merged),
                    _ => None,
                });
                match merged {
                    Some(merged) => drop(merged.insert(value)),
                    None => self.other.push((key, Requirement::NotIn(BTreeSet::from([value])))),
                }
            }
            Part::Other(requirement) => self.other.push((key, requirement)),
        }
        Ok(())
    }
}

/// One part as it was written.
enum Part {
    Equal(String),
    Unequal(String),
    Other(Requirement),
}

impl Requirement {
    fn holds(&self, value: Option<&String>) -> bool {
        match self {
            Self::In(values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::Above(than) => number(value).is_some_and(|number| number > *than),
            Self::Below(than) => number(value).is_some_and(|number| number < *than),
        }
    }
}

/// What is absent, or no whole number, is neither greater nor less than any (Kubernetes: `Gt` and `Lt`).
fn number(value: Option<&String>) -> Option<i64> {
    value?.parse().ok()
}

fn wrong(what: fmt::Arguments<'_>) -> Error {
    Error::usage(format!("invalid selector: {what}"))
}

/// Whether this can be the key of a label: an optional DNS prefix with a slash, and a name.
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_prefix)
}

/// Whether this can be the value of a label: empty, or at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit
/// at both ends.
pub fn is_label_value(value: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    bytes.len() <= LONGEST
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && ends(bytes.first())
        && ends(bytes.last())
}

fn is_prefix(prefix: &str) -> bool {
    prefix.len() <= LONGEST_PREFIX
        && prefix.split('.').all(|part| {
            let bytes = part.as_bytes();
            let good = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            bytes.first().is_some_and(good)
                && bytes.last().is_some_and(good)
                && bytes.iter().all(|byte| good(byte) || *byte == b'-')
        })
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut selector = Self::default();
        if text.trim().is_empty() {
            return Ok(selector);
        }
        for part in parts(text)? {
            let (key, part) = part_of(part.trim())?;
            selector.add(key, part)?;
        }
        Ok(selector)
    }
}

/// Cuts at the commas that are not inside of parentheses.
fn parts(text: &str) -> Result<Vec<&str>> {
    let (mut parts, mut begin, mut inside) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' if inside => return Err(wrong(format_args!("`(` inside of parentheses"))),
            ')' if !inside => return Err(wrong(format_args!("`)` without `(`"))),
            '(' => inside = true,
            ')' => inside = false,
            ',' if !inside => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err(wrong(format_args!("`(` without `)`")));
    }
    parts.push(&text[begin..]);
    Ok(parts)
}

fn part_of(part: &str) -> Result<(String, Part)> {
    if part.is_empty() {
        return Err(wrong(format_args!("there is nothing between two commas, or at an end")));
    }
    if let Some(key) = part.strip_prefix('!') {
        return Ok((checked_key(key)?, Part::Other(Requirement::Absent)));
    }
    if let Some(operator) = [">=", "<="].into_iter().find(|operator| part.contains(operator)) {
        return Err(wrong(format_args!("`{part}`: there is no `{operator}`, only `>` and `<`")));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok((checked_key(key)?, Part::Unequal(checked_value(value)?)));
    }
    if let Some((key, value)) = part.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Ok((checked_key(key)?, Part::Equal(checked_value(value)?)));
    }
    if let Some((before, list)) = part.split_once('(') {
        let list = list.strip_suffix(')').ok_or_else(|| {
            wrong(format_args!("`{part}`: something stands behind the closing parenthesis"))
        })?;
        let values = list.split(',').map(checked_value).collect::<Result<BTreeSet<_>>>()?;
        let mut words = before.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => Ok((checked_key(key)?, Part::Other(Requirement::In(values)))),
            (Some(key), Some("notin"), None) => {
                Ok((checked_key(key)?, Part::Other(Requirement::NotIn(values))))
            }
            _ => Err(wrong(format_args!("`{part}`: write `KEY in (A,B)` or `KEY notin (A,B)`"))),
        };
    }
    for (operator, requirement) in [('>', Requirement::Above as fn(i64) -> _), ('<', Requirement::Below)] {
        if let Some((key, than)) = part.split_once(operator) {
            let than = than.trim();
            let than =
                than.parse().map_err(|_| wrong(format_args!("`{part}`: `{than}` is not a whole number")))?;
            return Ok((checked_key(key)?, Part::Other(requirement(than))));
        }
    }
    Ok((checked_key(part)?, Part::Other(Requirement::Exists)))
}

fn checked_key(key: &str) -> Result<String> {
    let key = key.trim();
    if is_label_key(key) {
        Ok(key.to_owned())
    } else {
        Err(wrong(format_args!("`{key}` is not the key of a label")))
    }
}

fn checked_value(value: &str) -> Result<String> {
    let value = value.trim();
    if is_label_value(value) {
        Ok(value.to_owned())
    } else {
        Err(wrong(format_args!("`{value}` is not the value of a label")))
    }
}

impl fmt::Display for Selector {
    /// The form in which leases carry it, which clients compare as text: sorted by key, without blanks between parts;
    /// `<none>` for everything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("<none>");
        }
        let equal = self.equal.iter().map(|(key, value)| (key, format!("{key}={value}")));
        let other = self.other.iter().map(|(key, requirement)| {
            let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(",");
            let text = match requirement {
                Requirement::In(values) => format!("{key} in ({})", list(values)),
                Requirement::NotIn(values) => format!("{key} notin ({})", list(values)),
                Requirement::Exists => key.clone(),
                Requirement::Absent => format!("!{key}"),
                Requirement::Above(than) => format!("{key}>{than}"),
                Requirement::Below(than) => format!("{key}<{than}"),
            };
            (key, text)
        });
        let mut parts: Vec<_> = equal.chain(other).collect();
        parts.sort();
        let parts: Vec<_> = parts.into_iter().map(|(_, text)| text).collect();
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn selector(text: &str) -> Selector {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn each_form_selects_what_kubernetes_selects() {
        let rig = labels(&[
            ("board", "rpi4"),
            ("lab.example.com/room", "2"),
            ("spare", ""),
            ("most", "9223372036854775807"),
            ("more", "9223372036854775808"),
        ]);
        for (text, wanted) in [
            ("", true),
            ("  ", true),
            ("board=rpi4", true),
            ("board==rpi4", true),
            (" board = rpi4 , spare ", true),
            ("board=rpi5", false),
            ("missing=", false),
            ("spare=", true),
            ("board!=rpi5", true),
            ("board!=rpi4", false),
            ("missing!=x", true),
            ("board in (rpi4, rpi5)", true),
            ("board in (rpi5)", false),
            ("missing in (x)", false),
            ("board notin (rpi5,rpi3)", true),
            ("missing notin (x)", true),
            ("board", true),
            ("missing", false),
            ("!missing", true),
            ("! board", false),
            ("lab.example.com/room=2,board", true),
            ("board=rpi4,room=2", false),
            ("lab.example.com/room>1", true),
            ("lab.example.com/room > 2", false),
            ("lab.example.com/room<3", true),
            ("lab.example.com/room<2", false),
            // By size, and not as text.
            ("lab.example.com/room<10", true),
            ("lab.example.com/room>-1,lab.example.com/room<3", true),
            ("lab.example.com/room>1,lab.example.com/room<2", false),
            // Neither what is absent nor what is no number is greater or less than anything.
            ("missing>1", false),
            ("missing<1", false),
            ("board>1", false),
            ("board<1", false),
            ("spare<1", false),
            ("most>9223372036854775806", true),
            ("more>1", false),
        ] {
            assert_eq!(selector(text).matches(&rig), wanted, "{text}");
        }
    }

    #[test]
    fn nothing_is_dropped_silently() {
        for (text, says) in [
            ("board=a,board=b", "`board` cannot be both `a` and `b`"),
            ("=v", "`` is not the key of a label"),
            ("k>x", "`k>x`: `x` is not a whole number"),
            ("k<", "`k<`: `` is not a whole number"),
            ("k>1.5", "`k>1.5`: `1.5` is not a whole number"),
            ("k>9223372036854775808", "`k>9223372036854775808`: `9223372036854775808` is not a whole number"),
            ("k>1<2", "`k>1<2`: `1<2` is not a whole number"),
            (">1", "`` is not the key of a label"),
            ("k>=1", "`k>=1`: there is no `>=`, only `>` and `<`"),
            ("k<=1", "`k<=1`: there is no `<=`, only `>` and `<`"),
            ("k in x", "`k in x` is not the key of a label"),
            ("k in (a", "`(` without `)`"),
            ("k in a)", "`)` without `(`"),
            ("k in (a) b", "`k in (a) b`: something stands behind the closing parenthesis"),
            ("k of (a)", "`k of (a)`: write `KEY in (A,B)` or `KEY notin (A,B)`"),
            ("a,,b", "there is nothing between two commas, or at an end"),
            ("a,", "there is nothing between two commas, or at an end"),
            ("-a", "`-a` is not the key of a label"),
            ("a/b/c", "`a/b/c` is not the key of a label"),
            ("UPPER/x", "`UPPER/x` is not the key of a label"),
            ("k=a b", "`a b` is not the value of a label"),
        ] {
            let error = text.parse::<Selector>().expect_err(text);
            assert_eq!(error.message(), format!("invalid selector: {says}"), "{text}");
        }
        assert!(format!("k={}", "v".repeat(64)).parse::<Selector>().is_err());
        assert!(format!("k={}", "v".repeat(63)).parse::<Selector>().is_ok());
    }

    #[test]
    fn parts_are_held_against_the_same_rules_as_text() {
        let one = |text: &str| BTreeSet::from([text.to_owned()]);
        let from = |equal: &[(&str, &str)], others: &[(&str, Requirement)]| {
            let others = others.iter().map(|(key, part)| ((*key).to_owned(), part.clone())).collect();
            Selector::from_parts(labels(equal), others)
        };
        let made = from(&[("b", "1")], &[("a", Requirement::NotIn(one("x"))), ("c", Requirement::Exists)]);
        assert_eq!(made.expect("a selector"), selector("b=1,a!=x,c"));
        for (bad, says) in [
            (from(&[("b ", "1")], &[]), "`b ` is not the key of a label"),
            (from(&[("b", "1,c")], &[]), "`1,c` is not the value of a label"),
            (from(&[], &[("a", Requirement::In(one("x),b")))]), "`x),b` is not the value of a label"),
            (from(&[], &[("", Requirement::Absent)]), "`` is not the key of a label"),
        ] {
            assert_eq!(bad.expect_err(says).message(), format!("invalid selector: {says}"));
        }
    }

    #[test]
    fn the_text_is_the_one_that_clients_compare() {
        for (text, wanted) in [
            ("", "<none>"),
            ("z=1,a=2", "a=2,z=1"),
            ("b, !c , a in (y,x)", "a in (x,y),b,!c"),
            ("k!=b,k!=a", "k notin (a,b)"),
            ("k in (one)", "k in (one)"),
            ("k > 1, k<07", "k<7,k>1"),
        ] {
            assert_eq!(selector(text).to_string(), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_selects_the_same(
            parts in prop::collection::vec("[ab](=[xy]|!=[xy]| in \\([xy],[xyz]\\)| notin \\([xy]\\)|[<>][1-3])?|![ab]", 1..5),
            have in prop::collection::btree_map("[abc]", "[xyz1-3]", 0..3),
        ) {
            if let Ok(one) = parts.join(",").parse::<Selector>() {
                let again = selector(&one.to_string());
                prop_assert_eq!(one.matches(&have), again.matches(&have));
                prop_assert_eq!(one.to_string(), again.to_string());
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[ab=!,() inot<>/.-]{0,30}|.{0,40}") {
            let _ = text.parse::<Selector>();
        }
    }
}
