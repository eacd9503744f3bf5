//! One change: what it is, who it breaks, and what to do instead.

use std::{collections::BTreeMap, fmt};

/// How bad a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nobody notices.
    Compatible,
    /// Somebody may notice, and has to be told.
    Warning,
    /// Something that worked stops working. Can be accepted, with a reason.
    Breaking,
    /// Something that worked means something else from now on, silently. Cannot be accepted.
    Corrupting,
}

/// Who a change breaks.
#[allow(clippy::struct_excessive_bools)] // Four answers to four questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaks {
    /// Clients of the interface's own gRPC service.
    pub native: bool,
    /// Clients that send positional values: upstream's `DriverCall`.
    pub legacy: bool,
    /// Exporter files.
    pub files: bool,
    /// Drivers of other people, which no longer compile.
    pub source: bool,
}

impl Breaks {
    pub(crate) const NATIVE: Self = Self { native: true, legacy: false, files: false, source: false };
    pub(crate) const LEGACY: Self = Self { native: false, legacy: true, files: false, source: false };
    pub(crate) const BOTH: Self = Self { native: true, legacy: true, files: false, source: false };
    pub(crate) const FILES: Self = Self { native: false, legacy: false, files: true, source: false };
    pub(crate) const SOURCE: Self = Self { native: false, legacy: false, files: false, source: true };
    pub(crate) const NOBODY: Self = Self { native: false, legacy: false, files: false, source: false };

    pub(crate) fn wires(native: bool, legacy: bool) -> Self {
        Self { native, legacy, ..Self::NOBODY }
    }

    fn and(self, other: Self) -> Self {
        Self {
            native: self.native || other.native,
            legacy: self.legacy || other.legacy,
            files: self.files || other.files,
            source: self.source || other.source,
        }
    }
}

impl fmt::Display for Breaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self { native: true, legacy: true, .. } => "native and legacy clients",
            Self { native: true, .. } => "native clients",
            Self { legacy: true, .. } => "legacy clients",
            Self { files: true, .. } => "YAML files",
            Self { source: true, .. } => "the source of other drivers",
            Self { .. } => "nobody",
        })
    }
}

/// One change between two records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How bad it is.
    pub verdict: Verdict,
    /// Which rule found it, for example `parameter-moved`.
    pub rule: &'static str,
    /// Who it breaks.
    pub breaks: Breaks,
    /// Where, as a path: `interfaces/jumpstarter.driver.power.v1/set_limit/steps`.
    pub place: String,
    /// What changed, in words, the subject first.
    pub what: String,
    /// What to do instead.
    pub remedy: String,
    /// Whether a `.proto` file can show it. It cannot where two of our types are one of protobuf's.
    pub in_proto: bool,
}

impl Change {
    pub(crate) fn new(
        verdict: Verdict,
        rule: &'static str,
        breaks: Breaks,
        place: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (place, what, remedy) = (place.into(), what.into(), remedy.into());
        Self { verdict, rule, breaks, place, what, remedy, in_proto: breaks.native }
    }

    pub(crate) fn breaking(
        rule: &'static str,
        breaks: Breaks,
        place: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Verdict::Breaking, rule, breaks, place, what, remedy)
    }

    pub(crate) fn warning(
        rule: &'static str,
        breaks: Breaks,
        place: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { in_proto: false, ..Self::new(Verdict::Warning, rule, breaks, place, what, remedy) }
    }

    pub(crate) fn compatible(rule: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Verdict::Compatible, rule, Breaks::NOBODY, place, what, "")
    }

    pub(crate) fn in_proto(self, in_proto: bool) -> Self {
        Self { in_proto, ..self }
    }

    /// The entry of the list of accepted breaks that would accept it.
    pub fn entry(&self) -> String {
        let Self { rule, place, .. } = self;
        format!(
            "  to accept it all the same, add to proto/breaking.toml:\n    [[accept]]\n    rule = \"{rule}\"\n    place = \"{place}\"\n    reason = \"why nobody is hurt, or why it has to be\""
        )
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, rule, breaks, what, remedy, .. } = self;
        match verdict {
            Verdict::Compatible => return write!(f, "compatible: {what}"),
            Verdict::Warning if *breaks == Breaks::NOBODY => write!(f, "warning: {what}")?,
            Verdict::Warning => write!(f, "warning: may break {breaks}: {what}")?,
            Verdict::Breaking => write!(f, "breaking for {breaks}: {what}")?,
            Verdict::Corrupting => write!(f, "error: silently corrupts what {breaks} send: {what}")?,
        }
        if !remedy.is_empty() {
            write!(f, "; {remedy}")?;
        }
        write!(f, " ({rule})")
    }
}

/// Changes as they are found. One that is found on several ways (a message in requests and in answers) is one change.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<(String, &'static str), Change>);

impl Changes {
    pub(crate) fn push(&mut self, change: Change) {
        let known = self.0.entry((change.place.clone(), change.rule)).or_insert_with(|| change.clone());
        known.in_proto |= change.in_proto;
        known.breaks = known.breaks.and(change.breaks);
        if change.verdict > known.verdict {
            *known = Change { breaks: known.breaks, in_proto: known.in_proto, ..change };
        }
    }

    pub(crate) fn finish(self) -> Vec<Change> {
        let mut changes: Vec<_> = self.0.into_values().collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.verdict));
        changes
    }
}
