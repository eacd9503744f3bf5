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
pub struct StatusBoard {
    now: watch::Sender<Snapshot>,
    /// The version that somebody was answered last.
    seen: watch::Sender<u64>,
}

impl StatusBoard {
    pub(crate) fn new() -> Self {
        Self {
            now: watch::Sender::new(Snapshot {
                status: ExporterStatus::Available,
                message: String::new(),
                version: 0,
                previous: None,
            }),
            seen: watch::Sender::new(0),
        }
    }

    /// Reports a status. Each report counts, also of a status that was there already: clients count on seeing one more.
    pub fn report(&self, status: ExporterStatus, message: impl Into<String>) {
        let message = message.into();
        self.now.send_modify(|now| {
            now.previous = Some(now.status);
            now.status = status;
            now.message = message;
            now.version += 1;
        });
    }

    /// The status alone, which is cheap to ask for.
    pub fn status(&self) -> ExporterStatus {
        self.now.borrow().status
    }

    /// Everything about the status now.
    pub fn get(&self) -> Snapshot {
        self.now.borrow().clone()
    }

    /// Everything about the status now, for somebody who has asked.
    pub(crate) fn answer(&self) -> Snapshot {
        let now = self.get();
        self.seen.send_if_modified(|seen| {
            let newer = *seen < now.version;
            *seen = now.version.max(*seen);
            newer
        });
        now
    }

    /// Waits until somebody who asked was answered with the status that is now, or a later one; for ever if nobody asks.
    pub fn seen(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (version, mut seen) = (self.get().version, self.seen.subscribe());
        async move {
            if seen.wait_for(|seen| *seen >= version).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Sees every later status, the last one at least.
    pub fn subscribe(&self) -> watch::Receiver<Snapshot> {
        self.now.subscribe()
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

    #[tokio::test]
    async fn a_status_is_seen_when_somebody_was_answered_with_it() {
        let board = StatusBoard::new();
        board.report(ExporterStatus::BeforeLeaseHook, "");
        board.answer();
        board.report(ExporterStatus::BeforeLeaseHookFailed, "");
        let mut seen = std::pin::pin!(board.seen());
        assert!(futures::poll!(&mut seen).is_pending(), "only the one before was seen");
        board.get();
        assert!(futures::poll!(&mut seen).is_pending(), "nobody has asked");
        board.answer();
        seen.await;
        board.seen().await;
    }

    #[test]
    fn names_are_short() {
        assert_eq!(status_name(ExporterStatus::BeforeLeaseHook), "BEFORE_LEASE_HOOK");
    }
}
