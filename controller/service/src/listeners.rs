//! Dialled tunnels on their way to exporters.
//!
//! An exporter that serves a lease listens for tunnels, one call at a time. Each dial puts one into the call's queue, which is
//! short: an exporter that does not take them is stuck, and more of them would not help.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jumpstarter_protocol::v1::ListenResponse;
use tokio::sync::{Notify, mpsc};
use tonic::Status;

/// How many tunnels may wait for one exporter, as upstream has it.
pub const QUEUE: usize = 8;

/// The calls of exporters that listen. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Listeners(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    calls: Mutex<Calls>,
    /// Somebody has begun to listen.
    news: Notify,
}

#[derive(Debug, Default)]
struct Calls {
    /// Numbers tell a call from the one that came after it for the same lease.
    last: u64,
    by_lease: HashMap<String, (u64, mpsc::Sender<ListenResponse>)>,
}

impl Listeners {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens for tunnels of a lease. An earlier call for it delivers what it holds, and ends.
    pub fn listen(&self, lease: &str) -> Listening {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let number = {
            let mut calls = self.calls();
            calls.last += 1;
            let number = calls.last;
            // The sender of the earlier one goes, and with it the end of its queue comes, after what is in it.
            calls.by_lease.insert(lease.to_owned(), (number, sender));
            number
        };
        self.0.news.notify_waiters();
        Listening { receiver, _guard: Guard { listeners: self.clone(), lease: lease.to_owned(), number } }
    }

    /// Hands a tunnel to the exporter that listens for this lease, who may need a moment to begin to.
    ///
    /// # Errors
    /// `UNAVAILABLE` when nobody listens, which clients try again; `RESOURCE_EXHAUSTED` when the queue is full.
    pub async fn deliver(
        &self,
        lease: &str,
        response: ListenResponse,
        patience: Duration,
    ) -> Result<(), Status> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let news = self.0.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(outcome) = self.try_deliver(lease, response.clone()) {
                return outcome;
            }
            if tokio::time::timeout_at(deadline, news).await.is_err() {
                return Err(Status::unavailable(format!("exporter is not listening on lease {lease}")));
            }
        }
    }

    /// Under the lock and without waiting, so that a tunnel never gets into a queue that is already replaced.
    fn try_deliver(&self, lease: &str, response: ListenResponse) -> Option<Result<(), Status>> {
        let mut calls = self.calls();
        let (_, sender) = calls.by_lease.get(lease)?;
        match sender.try_send(response) {
            Ok(()) => Some(Ok(())),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Some(Err(Status::resource_exhausted(format!("listener buffer full on lease {lease}"))))
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                calls.by_lease.remove(lease);
                None
            }
        }
    }

    /// How many exporters listen.
    pub fn count(&self) -> usize {
        self.calls().by_lease.len()
    }
}

/// One exporter's call: a stream of tunnels.
#[derive(Debug)]
pub struct Listening {
    receiver: mpsc::Receiver<ListenResponse>,
    _guard: Guard,
}

#[derive(Debug)]
struct Guard {
    listeners: Listeners,
    lease: String,
    number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut calls = self.listeners.calls();
        // Another call may have taken its place.
        if calls.by_lease.get(&self.lease).is_some_and(|(number, _)| *number == self.number) {
            calls.by_lease.remove(&self.lease);
        }
    }
}

impl Listening {
    /// The next tunnel; the end when another call has taken this one's place.
    pub async fn next(&mut self) -> Option<ListenResponse> {
        self.receiver.recv().await
    }
}
