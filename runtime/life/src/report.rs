//! That the controller knows the last status, whatever was lost on the way.
//!
//! One report is under way at a time. A newer one replaces what waits; what was under way when the connection was lost, or
//! before it was, is sent again on the next.

use std::time::Duration;

use crate::{Effect, Now, Report, link::pause};

#[derive(Clone, Debug, Default)]
pub(crate) struct Reporting {
    last: Option<Report>,
    /// Number of the last report.
    number: u64,
    /// Number of the last report that was confirmed.
    told: u64,
    /// Number of the report under way.
    sending: Option<u64>,
    retry: Option<Duration>,
    failures: u32,
    /// The controller takes no reports.
    never: bool,
}

impl Reporting {
    /// From now on this is to be known.
    pub(crate) fn set(&mut self, report: Report) {
        self.last = Some(report);
        self.number += 1;
        self.retry = None;
        self.failures = 0;
    }

    pub(crate) fn last(&self) -> &Report {
        // There is one from the beginning on.
        const NOTHING: &Report = &Report {
            status: jumpstarter_protocol::v1::ExporterStatus::Unspecified,
            message: String::new(),
            release: false,
        };
        self.last.as_ref().unwrap_or(NOTHING)
    }

    /// The controller may have forgotten what it was told.
    pub(crate) fn again(&mut self) {
        // What is under way was meant for the connection before: its confirmation says nothing about this one.
        self.number += 1;
        self.retry = None;
        self.failures = 0;
    }

    /// A report was taken; whether it released the lease.
    pub(crate) fn told(&mut self, number: u64) -> bool {
        if self.sending != Some(number) {
            return false;
        }
        self.sending = None;
        self.told = self.told.max(number);
        self.failures = 0;
        number == self.number && self.last().release
    }

    pub(crate) fn failed(&mut self, number: u64, never: bool, now: Now) {
        if self.sending != Some(number) {
            return;
        }
        self.sending = None;
        self.never |= never;
        self.retry = Some(now.at + pause(self.failures, now.chance));
        self.failures += 1;
    }

    pub(crate) fn pump(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.never || self.is_told() || self.sending.is_some() {
            return;
        }
        if self.retry.is_some_and(|at| at > now.at) {
            return;
        }
        self.retry = None;
        self.sending = Some(self.number);
        effects.push(Effect::Report { number: self.number, report: self.last().clone() });
    }

    pub(crate) fn is_told(&self) -> bool {
        self.told == self.number
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.retry.filter(|_| !self.never && self.sending.is_none() && !self.is_told())
    }
}
