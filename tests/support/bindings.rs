//! What differs between any two runs, and how the recorded run's names map to those of the live one.
//!
//! Instances, resource handles and open files are named by random UUIDs. A [`Bindings`] learns pairs: two texts are the
//! same when they differ in UUIDs only, and each recorded UUID stands for one live UUID throughout, and the reverse.
//! UUIDs keep their length in every spelling, so requests are rewritten in place, byte for byte.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use regex::bytes::Regex as BytesRegex;

const UUID: &str =
    "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|\\b[0-9a-fA-F]{32}\\b";

static IN_TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(UUID).ok());
static IN_BYTES: LazyLock<Option<BytesRegex>> =
    LazyLock::new(|| BytesRegex::new(&format!("(?-u){UUID}")).ok());

/// Text that differs by chance, with what stands for it. Sockets lie in folders with random names, and ours are named so
/// that gRPC libraries accept the authority that clients make of the path; pydantic shows only the ends of long values, which cuts UUIDs.
static BY_CHANCE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (
            r"/(?:[\w.-]+/)*jumpstarter-(?:run-)?\w+/(?:socket|hook)\b(?:@localhost)?",
            "/tmp/jumpstarter-XXXXXXXX/socket",
        ),
        (r"input_value=[^\n]*?\.\.\.[^\n]*?, input_type", "input_value=..., input_type"),
    ]
    .into_iter()
    .filter_map(|(pattern, instead)| Some((Regex::new(pattern).ok()?, instead)))
    .collect()
});

fn without_chance(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, instead) in BY_CHANCE.iter() {
        text = pattern.replace_all(&text, *instead).into_owned();
    }
    text
}

/// The pairs learned so far.
#[derive(Debug, Default, Clone)]
pub struct Bindings {
    live: HashMap<String, String>,
    recorded: HashMap<String, String>,
    replacements: Vec<(String, String)>,
}

/// A UUID in one spelling of many: its digits, in lower case.
pub fn canonical(spelling: &str) -> String {
    spelling.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase()
}

/// Positions of UUIDs in a text.
pub fn uuids(text: &str) -> Vec<(usize, usize)> {
    IN_TEXT
        .as_ref()
        .map(|pattern| pattern.find_iter(text).map(|m| (m.start(), m.end())).collect())
        .unwrap_or_default()
}

impl Bindings {
    /// Other text that differs: an address of a helper, say. Must be of one length, as it is replaced in place.
    #[must_use]
    pub fn replacing(mut self, recorded: &str, live: &str) -> Self {
        assert_eq!(recorded.len(), live.len(), "{recorded:?} and {live:?} must have one length");
        self.replacements.push((recorded.to_owned(), live.to_owned()));
        self
    }

    /// Notes that the two name the same; `false` when either already stands for something else.
    pub fn bind(&mut self, recorded: &str, live: &str) -> bool {
        let (recorded, live) = (canonical(recorded), canonical(live));
        match (self.live.get(&recorded), self.recorded.get(&live)) {
            (Some(known), _) => *known == live,
            (None, Some(_)) => false,
            (None, None) => {
                self.live.insert(recorded.clone(), live.clone());
                self.recorded.insert(live, recorded);
                true
            }
        }
    }

    /// A recorded request as it has to be sent to the live peer. A UUID that is not known stands for itself from now on.
    pub fn rewrite(&mut self, recorded: &[u8]) -> Vec<u8> {
        let mut out = recorded.to_vec();
        for (from, to) in &self.replacements {
            let (from, to) = (from.as_bytes(), to.as_bytes());
            let mut at = 0;
            while at + from.len() <= out.len() {
                if out[at..].starts_with(from) {
                    out[at..at + from.len()].copy_from_slice(to);
                    at += from.len();
                } else {
                    at += 1;
                }
            }
        }
        let places: Vec<_> = IN_BYTES
            .as_ref()
            .map(|pattern| pattern.find_iter(recorded).map(|m| m.range()).collect())
            .unwrap_or_default();
        for place in places {
            let spelling = String::from_utf8_lossy(&recorded[place.clone()]).into_owned();
            let live = if let Some(known) = self.live.get(&canonical(&spelling)) {
                respell(known, &spelling)
            } else {
                self.bind(&spelling, &spelling);
                spelling
            };
            out[place].copy_from_slice(live.as_bytes());
        }
        out
    }

    /// Whether two texts mean the same. Learns the pairs of UUIDs that are new.
    pub fn same(&mut self, recorded: &str, live: &str) -> bool {
        let mut recorded = recorded.to_owned();
        for (from, to) in &self.replacements {
            recorded = recorded.replace(from, to);
        }
        let (recorded, live) = (without_chance(&recorded), without_chance(live));
        let (ours, theirs) = (uuids(&recorded), uuids(&live));
        if ours.len() != theirs.len() {
            return false;
        }
        let (mut at, mut live_at) = (0, 0);
        for ((start, end), (live_start, live_end)) in ours.into_iter().zip(theirs) {
            if recorded[at..start] != live[live_at..live_start]
                || !self.bind(&recorded[start..end], &live[live_start..live_end])
            {
                return false;
            }
            (at, live_at) = (end, live_end);
        }
        recorded[at..] == live[live_at..]
    }
}

/// A UUID without dashes in the manner of an example: with or without dashes, in upper case if that has any.
fn respell(digits: &str, like: &str) -> String {
    let mut rest = digits.chars();
    let spelled: String =
        like.chars().map(|c| if c == '-' { '-' } else { rest.next().unwrap_or('0') }).collect();
    if like.chars().any(|c| c.is_ascii_uppercase()) { spelled.to_ascii_uppercase() } else { spelled }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "e326f904-3d0e-4194-bf6e-63103a99b66d";
    const B: &str = "00000000-1111-2222-3333-abcdefabcdef";

    #[test]
    fn a_recorded_uuid_stands_for_one_live_uuid() {
        let mut bindings = Bindings::default();
        assert!(bindings.same(&format!("UUID('{A}')"), &format!("UUID('{B}')")));
        assert!(bindings.same(A, B));
        assert!(!bindings.same(A, A), "bound to another one");
        assert!(!bindings.same(B, B), "taken by another one");
        assert!(!bindings.same(&format!("no {A}"), &format!("on {B}")));
        assert!(!bindings.same(A, "no uuid"));
    }

    #[test]
    fn names_of_temporary_folders_differ_by_chance() {
        let mut bindings = Bindings::default();
        let text = |socket| format!("started on 127.0.0.1:1 and unix://{socket}");
        let (recorded, live) =
            ("/tmp/jumpstarter-zsdo7pfe/socket", "/run/user/0/jumpstarter-abc_def0/socket");
        assert!(bindings.same(&text(recorded), &text(live)));
        assert!(bindings.same(&text(recorded), &text("/tmp/jumpstarter-run-abcdefgh/hook@localhost")));
        assert!(!bindings.same(&text(recorded), &text("/tmp/jumpstarter-zsdo7pfe/other")));
    }

    #[test]
    fn requests_keep_the_spelling() {
        let mut bindings = Bindings::default().replacing("127.0.0.1:18081", "127.0.0.1:45678");
        assert!(bindings.bind(A, B));
        let rewrite = |bindings: &mut Bindings, text: &str| {
            String::from_utf8(bindings.rewrite(text.as_bytes())).expect("text")
        };
        assert_eq!(rewrite(&mut bindings, &format!("\x0a\x24{A}!")), format!("\x0a\x24{B}!"));
        assert_eq!(rewrite(&mut bindings, &A.to_uppercase()), B.to_uppercase());
        assert_eq!(rewrite(&mut bindings, &A.replace('-', "")), B.replace('-', ""));
        assert_eq!(rewrite(&mut bindings, "http://127.0.0.1:18081/"), "http://127.0.0.1:45678/");
    }
}
