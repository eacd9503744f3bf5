//! Whether an exporter is there.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::{
    Exporter, ExporterState, ExporterStatus, condition,
    exporter::{ONLINE, REGISTERED},
    time,
};

use crate::times::after;

/// What is known of when an exporter was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// When it was last heard of, if ever. Never in the future: a clock that is ahead must not keep an exporter alive.
    pub seen: Option<Timestamp>,
    /// Whether that is too long ago.
    pub lost: bool,
    /// When it will be.
    pub lost_at: Option<Timestamp>,
}

/// What has been heard of an exporter, which need not be in its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    Never,
    /// It has last said something then.
    At(Timestamp),
    /// It is connected: there is nothing to wait for.
    Connected,
}

/// From what its object says and what has been heard since.
pub fn presence(exporter: &Exporter, heard: Heard, offline_after: Duration, now: Timestamp) -> Presence {
    let heard = match heard {
        Heard::Connected => return Presence { seen: Some(now), lost: false, lost_at: None },
        Heard::At(at) => Some(at),
        Heard::Never => None,
    };
    let told = exporter.status.as_ref().and_then(|status| status.last_seen.as_ref()).map(|time| time.0);
    let seen = told.max(heard).map(|seen| seen.min(now));
    let lost_at =
        seen.map(|seen| after(seen, SignedDuration::try_from(offline_after).unwrap_or(SignedDuration::MAX)));
    Presence { seen, lost: lost_at.is_some_and(|at| at <= now), lost_at }
}

/// The status that an exporter should have, given whether it is there. Conditions are touched only where they turn over: who
/// else writes them gives its own reasons.
pub fn settle(exporter: &Exporter, presence: Presence, now: Timestamp) -> ExporterStatus {
    let mut status = exporter.status.clone().unwrap_or_default();
    let generation = exporter.metadata.generation;
    let said_offline = status.exporter_status == Some(ExporterState::Offline);
    let say = |status: &mut ExporterStatus, kind: &str, so: bool, reason: &str, message: &str| {
        let known = condition::find(&status.conditions, kind);
        if known.is_none_or(|known| known.status != so.into()) {
            condition::set(&mut status.conditions, kind, so, reason, message, generation, now);
        }
    };
    match presence {
        Presence { seen: None, .. } => {
            // Exporters from before there were states never report one; were it set to offline, it would stay so.
            if condition::find(&status.conditions, ONLINE).is_none() {
                status.status_message = Some("Never seen".to_owned());
            }
            say(&mut status, ONLINE, false, "Seen", "Never seen");
        }
        Presence { seen: Some(seen), lost: true, .. } => {
            let message = format!("Connection lost: last seen {}", time::whole(seen).0);
            if !said_offline {
                status.exporter_status = Some(ExporterState::Offline);
                status.status_message = Some(message.clone());
                status.last_seen = Some(time::whole(seen));
            }
            say(&mut status, ONLINE, false, "Seen", &message);
        }
        Presence { seen: Some(_), .. } if said_offline => {
            let message = status.status_message.clone().unwrap_or_default();
            say(&mut status, ONLINE, false, "Offline", &message);
        }
        Presence { seen: Some(_), .. } => say(&mut status, ONLINE, true, "Seen", ""),
    }
    if status.devices.is_empty() {
        say(&mut status, REGISTERED, false, "Unregister", "");
    } else {
        say(&mut status, REGISTERED, true, "Register", "");
    }
    status
}
