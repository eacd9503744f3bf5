//! Dialling: which failures pass, and how long to wait for that.

use std::{error::Error as StdError, time::Duration};

use jumpstarter_core::{Error, ErrorKind, Result};
use jumpstarter_protocol::v1::DialResponse;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use crate::{
    held::{Over, Shared},
    words,
};

/// First pause between two attempts, as existing clients have it; each is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(300);

/// Longest pause, as existing clients have it.
const LONGEST: Duration = Duration::from_secs(2);

/// How long a controller may wait for the exporter before it answers: upstream's waits 30 s by itself.
const ANSWER: Duration = Duration::from_secs(45);

/// What a failed dial means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It can succeed a moment later.
    Passes,
    /// The lease is somebody else's now.
    Transferred,
    /// The exporter is away, as far as the controller knows.
    Away,
    /// It will not.
    Final,
}

fn meaning(status: &Status) -> Meaning {
    let said = status.message().to_lowercase();
    match status.code() {
        _ if words::passes(status) => Meaning::Passes,
        Code::FailedPrecondition if said.contains("not ready") => Meaning::Passes,
        _ if said.contains("permission denied") && status.code() != Code::PermissionDenied => {
            Meaning::Transferred
        }
        Code::FailedPrecondition if said.contains("offline") => Meaning::Away,
        _ => Meaning::Final,
    }
}

/// Whether a failure to dial says that the controller knows the exporter to be away: asking again at once is in vain.
pub(crate) fn is_offline(error: &Error) -> bool {
    let status = StdError::source(error).and_then(|cause| cause.downcast_ref::<Status>());
    status.is_some_and(|status| meaning(status) == Meaning::Away)
}

/// The time within which a tunnel has to come about, however often it is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts {
    deadline: Instant,
    limit: Duration,
    pause: Duration,
}

impl Attempts {
    pub(crate) fn within(limit: Duration) -> Self {
        Self { deadline: Instant::now() + limit, limit, pause: FIRST }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits for the next attempt; when there is no time for one, the last failure is the answer.
    pub(crate) async fn again(&mut self, failed: Error) -> Result<()> {
        let left = self.left();
        if left.is_zero() {
            let seconds = self.limit.as_secs_f64();
            return Err(failed.context(format_args!("the exporter cannot be reached, tried for {seconds} s")));
        }
        tracing::debug!("trying again: {failed}");
        sleep(self.pause.min(left)).await;
        self.pause = (self.pause * 2).min(LONGEST);
        Ok(())
    }
}

/// Asks the controller for a tunnel, until there is one.
pub(crate) async fn dial(lease: &Shared, attempts: &mut Attempts) -> Result<DialResponse> {
    loop {
        // The controller may be waiting for the exporter: its words are better than our impatience.
        let limit = ANSWER.min(attempts.left().max(Duration::from_secs(1)) + Duration::from_secs(5));
        let status = match lease.controller().dial(lease.name(), limit).await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        let failed = || {
            let error = lease.controller().error(&status);
            error.context(format_args!("dialling the exporter of lease {}", lease.name()))
        };
        match meaning(&status) {
            Meaning::Passes => attempts.again(failed().with_kind(ErrorKind::Disconnected)).await?,
            Meaning::Transferred => {
                let over = Over::Transferred(String::new());
                lease.over(over.clone());
                return Err(Error::new(ErrorKind::Permission, over.words(lease.name())).caused_by(status));
            }
            Meaning::Away => {
                lease.suspect();
                return Err(failed().with_kind(ErrorKind::Disconnected));
            }
            Meaning::Final => {
                lease.suspect();
                return Err(failed().with_kind(ErrorKind::NotReady));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_k3_what_passes_is_tried_again_and_nothing_else() {
        for (status, expected) in [
            (Status::failed_precondition("exporter is not ready (status: Available)"), Meaning::Passes),
            (Status::unavailable("exporter is not listening on lease x"), Meaning::Passes),
            (Status::deadline_exceeded("slow"), Meaning::Passes),
            (Status::failed_precondition("exporter is offline"), Meaning::Away),
            (Status::failed_precondition("exporter beforeLease hook failed"), Meaning::Final),
            (Status::resource_exhausted("listener buffer full on lease x"), Meaning::Final),
            (Status::unknown("lease not active"), Meaning::Final),
        ] {
            assert_eq!(meaning(&status), expected, "{status}");
        }
    }

    #[test]
    fn pitfall_k2_permission_denied_in_any_case_means_that_the_lease_was_transferred() {
        for text in ["permission denied", "Permission Denied", "rpc: PERMISSION DENIED for lease"] {
            assert_eq!(meaning(&Status::unknown(text)), Meaning::Transferred, "{text}");
        }
        // This is about who calls, and not about the lease.
        assert_eq!(meaning(&Status::permission_denied("permission denied for client")), Meaning::Final);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_and_end_with_the_last_failure() {
        let mut attempts = Attempts::within(Duration::from_secs(5));
        let mut pauses = Vec::new();
        let error = loop {
            let before = Instant::now();
            match attempts.again(Error::disconnected("away")).await {
                Ok(()) => pauses.push(before.elapsed().as_millis()),
                Err(error) => break error,
            }
        };
        assert_eq!(pauses[..4], [300, 600, 1200, 2000], "{pauses:?}");
        assert_eq!(error.message(), "the exporter cannot be reached, tried for 5 s: away");
    }

    #[test]
    fn an_exporter_that_is_known_to_be_away_is_told_from_one_that_is_late() {
        let dialled = |status: Status| {
            let error = words::error(&status, "lab:1").context("dialling");
            is_offline(&error.with_kind(ErrorKind::Disconnected))
        };
        assert!(dialled(Status::failed_precondition("exporter is offline")));
        assert!(!dialled(Status::unavailable("exporter is not listening on lease x")));
    }
}
