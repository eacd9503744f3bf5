//! [`Call`]: what a method may know about the call it carries out.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    Result,
    log::{Logger, Severity},
    resource::{Handle, Resources, Sink, Source},
};

/// The call in progress. A method asks for it with `#[inject] call: Call`.
#[derive(Clone, Default)]
pub struct Call {
    cancelled: CancellationToken,
    logger: Logger,
    resources: Option<Arc<dyn Resources>>,
}

impl Call {
    /// A call that can be cancelled through the token, speaks through the logger and finds files in `resources`.
    pub fn new(cancelled: CancellationToken, logger: Logger, resources: Option<Arc<dyn Resources>>) -> Self {
        Self { cancelled, logger, resources }
    }

    /// Resolves when the caller is gone. A call that is dropped needs no attention; this is for work that goes on in
    /// another task or on the blocking pool.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether the caller is gone; for blocking code, between two steps.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Says things to whoever listens to the exporter's log.
    pub fn logger(&self) -> &Logger {
        &self.logger
    }

    /// Reports how a long operation goes: `writing`, and how many bytes there are, if that is known.
    pub fn progress(&self, verb: impl Into<String>, total: Option<u64>) -> Progress {
        Progress {
            logger: self.logger.clone(),
            verb: verb.into(),
            total,
            done: 0,
            next: total.map_or(STEP, |t| t / 10),
        }
    }

    pub(crate) fn source(&self, handle: Handle) -> Result<Source> {
        self.resources()?.source(handle)
    }

    pub(crate) fn sink(&self, handle: Handle) -> Result<Sink> {
        self.resources()?.sink(handle)
    }

    fn resources(&self) -> Result<&Arc<dyn Resources>> {
        self.resources.as_ref().ok_or_else(|| crate::Error::internal("this call has no access to resources"))
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Call")
    }
}

/// Cancels a call when it is dropped, unless the call ended before.
#[derive(Debug)]
pub struct CancelOnDrop(CancellationToken);

impl CancelOnDrop {
    /// Guards this token.
    pub fn new(token: CancellationToken) -> Self {
        Self(token)
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Without a known total, one line for each of these many bytes.
const STEP: u64 = 16 * 1024 * 1024;

/// Progress of one operation: at most one log line for every tenth of the way.
#[derive(Debug)]
pub struct Progress {
    logger: Logger,
    verb: String,
    total: Option<u64>,
    done: u64,
    next: u64,
}

impl Progress {
    /// So many bytes more are done.
    pub fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        if self.done >= self.next && self.total.is_none_or(|total| self.done < total) {
            self.next = self.done + self.total.map_or(STEP, |total| (total / 10).max(1));
            self.say();
        }
    }

    /// How many bytes are done.
    pub fn done(&self) -> u64 {
        self.done
    }

    fn say(&self) {
        let mut fields = vec![
            ("progress.done".to_owned(), self.done.to_string()),
            ("progress.verb".to_owned(), self.verb.clone()),
        ];
        let message = match self.total {
            Some(total) => {
                fields.push(("progress.total".to_owned(), total.to_string()));
                format!("{}: {} of {total} bytes", self.verb, self.done)
            }
            None => format!("{}: {} bytes", self.verb, self.done),
        };
        self.logger.log(Severity::Info, message, fields);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.done > 0 {
            self.say();
        }
    }
}

/// Waits, but not longer than this; `what` names what took too long.
pub async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_) => Err(crate::Error::timeout(format!("{what} took longer than {limit:?}"))),
    }
}
