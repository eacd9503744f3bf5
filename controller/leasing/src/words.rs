//! Reasons and messages of conditions. The reasons are those that clients know; the messages are for people.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::{GoDuration, time};

use crate::class::{Class, Counts};

/// Why a lease waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Because {
    /// No exporter that will do is online.
    Offline,
    /// All are leased.
    NotAvailable,
    /// Those that are not leased are busy.
    NotReady,
}

impl Because {
    /// As conditions have it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Offline => "Offline",
            Self::NotAvailable => "NotAvailable",
            Self::NotReady => "NotReady",
        }
    }

    pub(crate) fn of(counts: &Counts) -> Self {
        match counts {
            Counts { online: 0, .. } => Self::Offline,
            Counts { idle: 0, .. } => Self::NotAvailable,
            _ => Self::NotReady,
        }
    }
}

/// Every condition that a lease can have: type, status, reason.
pub const CATALOGUE: [(&str, bool, &str); 16] = [
    ("Pending", true, "Offline"),
    ("Pending", true, "NotAvailable"),
    ("Pending", true, "NotReady"),
    ("Ready", true, "Ready"),
    ("Ready", false, "Released"),
    ("Ready", false, "Expired"),
    ("Ready", false, "ExporterLost"),
    ("Ready", false, "ExporterDeleted"),
    ("Ready", false, "ClientLost"),
    ("Unsatisfiable", true, "ExporterNotFound"),
    ("Unsatisfiable", true, "SelectorMismatch"),
    ("Unsatisfiable", true, "ExporterDisabled"),
    ("Unsatisfiable", true, "AllDisabled"),
    ("Unsatisfiable", true, "NoAccess"),
    ("Unsatisfiable", true, "SpotAccess"),
    ("Invalid", true, "InvalidSelector"),
];

/// A reason and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

pub(crate) fn words(reason: &'static str, message: impl Into<String>) -> Words {
    Words { reason, message: message.into() }
}

/// What is said of a lease whose client has gone.
pub(crate) fn abandoned(client: &str, heard: Timestamp) -> String {
    let heard = time::whole(heard).0;
    format!("client `{client}` held the lease, was last heard of at {heard}, and has not given it back")
}

/// `1 exporter matches`, `3 exporters match`.
fn matching(count: usize) -> String {
    if count == 1 { "1 exporter matches".to_owned() } else { format!("{count} exporters match") }
}

/// Why a lease waits, without what changes from minute to minute. `own` says that the only exporter there is belongs to the
/// client that waits, by another lease.
pub(crate) fn pending(counts: &Counts, own: bool) -> Words {
    let because = Because::of(counts);
    let rest = match because {
        Because::Offline if counts.usable == 1 => "but it is offline".to_owned(),
        Because::Offline => "but all are offline".to_owned(),
        // Not "to you": others read it as well.
        Because::NotAvailable if counts.online == 1 && own => "leased to the same client".to_owned(),
        Because::NotAvailable if counts.online == 1 => "leased to another".to_owned(),
        Because::NotAvailable if counts.online < counts.usable => {
            format!("{} online, all leased", counts.online)
        }
        Because::NotAvailable => "all leased".to_owned(),
        Because::NotReady => "but none are ready".to_owned(),
    };
    words(because.reason(), format!("{}, {rest}", matching(counts.usable)))
}

/// Longest list of what policies say, in bytes.
const LONGEST_ADVICE: usize = 4096;

/// Why no exporter of a class will do, if none does.
pub(crate) fn refusal(
    class: &Class,
    exists: bool,
    longest: impl FnOnce() -> Option<GoDuration>,
    advice: impl FnOnce() -> BTreeSet<String>,
) -> Option<Words> {
    let counts = &class.counts;
    if counts.usable > 0 {
        return None;
    }
    if let Some(wanted) = &class.key.exporter {
        if !exists {
            return Some(words("ExporterNotFound", format!("exporter `{wanted}` does not exist")));
        }
        if counts.matched == 0 {
            let selector = class.key.selector.to_selector().map(|selector| selector.to_string());
            let selector = selector.unwrap_or_default();
            let message = format!(
                "exporter `{wanted}` exists, but the selector `{selector}` does not match its labels"
            );
            return Some(words("SelectorMismatch", message));
        }
        if counts.enabled == 0 {
            let message = format!("exporter `{wanted}` is disabled; --allow-disabled leases it all the same");
            return Some(words("ExporterDisabled", message));
        }
    } else if counts.matched > 0 && counts.enabled == 0 {
        let rest = if counts.matched == 1 { "but it is disabled" } else { "but all are disabled" };
        return Some(words("AllDisabled", format!("{}, {rest}", matching(counts.matched))));
    }
    if counts.matched == 0 {
        let selector = class.key.selector.to_selector().map(|selector| selector.to_string());
        let message = format!("no exporter matches the selector `{}`", selector.unwrap_or_default());
        return Some(words("NoAccess", message));
    }
    if counts.approved > 0 {
        let message =
            "the only access is on the spot, until somebody else needs the exporter, and that is not given";
        return Some(words("SpotAccess", format!("{}, but {message}", matching(counts.enabled))));
    }
    let it = if counts.enabled == 1 { "it" } else { "one" };
    // Who could have one for less long should not look for another reason.
    let why = match class.key.duration.and_then(|asked| Some((asked, longest()?))) {
        Some((asked, longest)) => {
            format!("{asked} is too long: access policies let this client have {it} for {longest} at most")
        }
        None => format!("no access policy lets this client have {it}"),
    };
    let mut message = format!("{}, but {why}", matching(counts.enabled));
    let advice = advice().into_iter().collect::<Vec<_>>().join("; ");
    if !advice.is_empty() {
        message.push_str(". Matching policies: ");
        message.push_str(&cut(&advice, LONGEST_ADVICE));
    }
    Some(words("NoAccess", message))
}

/// At most so many bytes, the last three of which say that there was more.
fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = (0..=longest - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// A while, for people: never more exact than anybody can know.
pub fn about(while_: SignedDuration) -> String {
    // Rounded up: who is told "3 min" should not still wait after three minutes.
    let minutes = u64::try_from(while_.as_secs()).unwrap_or(0).div_ceil(60);
    match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
        (0, 0, 0 | 1) => "1 min".to_owned(),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiles_are_rounded_up_and_short() {
        for (seconds, text) in [
            (-5, "1 min"),
            (0, "1 min"),
            (59, "1 min"),
            (61, "2 min"),
            (240, "4 min"),
            (3600, "1 h"),
            (3601, "1 h 1 min"),
            (86_400, "1 d"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(about(SignedDuration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn long_advice_is_cut_at_a_character() {
        let long = "é".repeat(3000);
        let short = cut(&long, LONGEST_ADVICE);
        assert!(short.len() <= LONGEST_ADVICE && short.ends_with("é..."));
        assert_eq!(cut("short", LONGEST_ADVICE), "short");
    }
}
