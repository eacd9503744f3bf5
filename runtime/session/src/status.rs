//! What a session says about its own progress: [`StatusBoard`].

use jumpstarter_protocol::v1::{ExporterStatus, GetStatusResponse};
use tokio::sync::watch;

/// The name of a status as messages write it.
pub fn status_name(status: ExporterStatus) -> &'static str {
    status.as_str_name().trim_start_matches("EXPORTER_STATUS_")
}

/// The status at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The status.
    pub status: ExporterStatus,
    /// Text for people, possibly empty.
    pub message: String,
    /// How many reports there were.
    pub version: u64,
    /// The status before the last report.
    pub previous: Option<ExporterStatus>,
}

impl From<Snapshot> for GetStatusResponse {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            status: snapshot.status.into(),
            // Clients tell "no message" from "empty message"; upstream always sets it.
            message: Some(snapshot.message),
            status_version: snapshot.version,
            previous_status: snapshot.previous.map(Into::into),
        }
    }
}

/// The status of a session. Starts as `AVAILABLE`, version 0.
#[derive(Debug)]
pub struct StatusBoard(watch::Sender<Snapshot>);

impl StatusBoard {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Snapshot {
            status: ExporterStatus::Available,
            message: String::new(),
            version: 0,
            previous: None,
        }))
    }

    /// Reports a status. Each report counts, also of a status that was there already: clients count on seeing one more.
    pub fn report(&self, status: ExporterStatus, message: impl Into<String>) {
        let message = message.into();
        self.0.send_modify(|now| {
            now.previous = Some(now.status);
            now.status = status;
            now.message = message;
            now.version += 1;
        });
    }

    /// The status alone, which is cheap to ask for.
    pub fn status(&self) -> ExporterStatus {
        self.0.borrow().status
    }

    /// Everything about the status now.
    pub fn get(&self) -> Snapshot {
        self.0.borrow().clone()
    }

    /// Sees every later status, the last one at least.
    pub fn subscribe(&self) -> watch::Receiver<Snapshot> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_counts_even_when_the_status_stays() {
        let board = StatusBoard::new();
        let first = GetStatusResponse::from(board.get());
        assert_eq!(
            (first.status(), first.status_version, first.previous_status),
            (ExporterStatus::Available, 0, None)
        );
        assert_eq!(first.message.as_deref(), Some(""));
        board.report(ExporterStatus::LeaseReady, "");
        board.report(ExporterStatus::LeaseReady, "again");
        let last = board.get();
        assert_eq!((last.version, last.previous), (2, Some(ExporterStatus::LeaseReady)));
        assert_eq!(last.message, "again");
    }

    #[test]
    fn names_are_short() {
        assert_eq!(status_name(ExporterStatus::BeforeLeaseHook), "BEFORE_LEASE_HOOK");
    }
}
