//! What whoever sits there is asked, before anything is done.

use std::path::Path;

use crate::{
    commands::{Invocation, credentials::patterns},
    prompt,
    report::Stop,
};

/// Whether nobody is to be asked.
pub(super) fn is_silent(invocation: &Invocation<'_>) -> bool {
    invocation.flag("nointeractive")
}

/// Whether a file is to be written: the options say it, or whoever is asked.
pub(super) fn is_saved(invocation: &Invocation<'_>, kind: &str) -> Result<bool, Stop> {
    if invocation.flag("save") || invocation.text("out").is_some() {
        return Ok(true);
    }
    Ok(!is_silent(invocation) && prompt::agreed(&format!("Save a file for this {kind}, with its token?"))?)
}

/// Whether the user's own file is to go as well.
pub(super) fn is_removed(invocation: &Invocation<'_>, file: &Path) -> Result<bool, Stop> {
    if invocation.flag("delete") || is_silent(invocation) {
        return Ok(invocation.flag("delete"));
    }
    prompt::agreed(&format!("Remove {} as well?", file.display()))
}

/// Which drivers a client may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Drivers {
    /// Those that match one of these.
    pub(super) allow: Vec<String>,
    /// All.
    pub(super) everything: bool,
}

impl Drivers {
    /// As the options say.
    pub(super) fn given(invocation: &Invocation<'_>) -> Self {
        let allow = invocation.text("allow").map(patterns).unwrap_or_default();
        Self { allow, everything: invocation.flag("unsafe") }
    }

    /// As the options say, or whoever is asked.
    pub(super) fn of(invocation: &Invocation<'_>) -> Result<Self, Stop> {
        let given = Self::given(invocation);
        if given.everything || invocation.text("allow").is_some() || is_silent(invocation) {
            return Ok(given);
        }
        if prompt::agreed("May the client use all drivers?")? {
            return Ok(Self { everything: true, ..given });
        }
        let allow = prompt::ask_or_nothing(prompt::DRIVERS)?.as_deref().map(patterns).unwrap_or_default();
        Ok(Self { allow, ..given })
    }
}
