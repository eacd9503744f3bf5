//! The first caller of a stream waits, the second one finds it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use crate::relay::{Input, Joined, Pair, Relay, Side};

/// How much is carried at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls, waiting ones included.
    pub calls: usize,
    /// Calls from one address. Clients behind one NAT share it.
    pub calls_per_address: usize,
    /// How long a first caller waits for a second one. Upstream's clients dial once to see whether an exporter is ready and
    /// throw that token away; the exporter then waits here alone. So this is long, and its end is no error.
    pub patience: Duration,
    /// Largest message, in bytes.
    pub message: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 16 * 1024,
            calls_per_address: 4 * 1024,
            patience: crate::token::LIFETIME,
            message: crate::MAX_MESSAGE,
        }
    }
}

/// Why a call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There are too many already.
    Full {
        /// How many.
        calls: usize,
    },
    /// There are too many from there already.
    FullOfAddress {
        /// How many.
        calls: usize,
    },
}

/// How many calls there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// All of them.
    pub calls: usize,
    /// Those that wait for another.
    pub waiting: usize,
}

/// All calls that go on.
#[derive(Debug)]
pub struct Table {
    limits: Limits,
    inner: Mutex<Inner>,
    /// Bytes that were passed on.
    carried: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<String, Waiting>,
    calls: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Names for waiting callers, so that nobody removes another's place.
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    input: Input,
    joined: oneshot::Sender<Joined>,
}

impl Table {
    /// Empty.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, inner: Mutex::default(), carried: AtomicU64::new(0) })
    }

    /// What it admits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What it holds.
    pub fn load(&self) -> Load {
        let inner = self.lock();
        Load { calls: inner.calls, waiting: inner.waiting.len() }
    }

    /// How many bytes it has passed on, framing of gRPC included.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Takes a call of a stream: as the second one, if another waits for it, and else as the first.
    ///
    /// # Errors
    /// When there are too many.
    pub fn join(
        self: &Arc<Self>,
        stream: String,
        input: Input,
        address: Option<IpAddr>,
    ) -> Result<Relay, Refusal> {
        let ticket = self.admit(address)?;
        let mut inner = self.lock();
        let mut input = input;
        if let Some(waiting) = inner.waiting.remove(&stream) {
            let pair = Pair::new();
            let joined = Joined { input, side: Side::of(&pair, 0) };
            match waiting.joined.send(joined) {
                Ok(()) => {
                    drop(inner);
                    return Ok(Relay::joined(waiting.input, Side::of(&pair, 1), self.limits, ticket));
                }
                // The first one left at this very moment; so this is the first one now.
                Err(joined) => input = joined.into_input(),
            }
        }
        let (joined, arrives) = oneshot::channel();
        let id = inner.next;
        inner.next += 1;
        inner.waiting.insert(stream.clone(), Waiting { id, input, joined });
        drop(inner);
        let place = Place { table: Arc::clone(self), stream, id };
        Ok(Relay::waiting(arrives, place, self.limits, ticket))
    }

    fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Ticket, Refusal> {
        let mut inner = self.lock();
        if inner.calls >= self.limits.calls {
            return Err(Refusal::Full { calls: inner.calls });
        }
        if let Some(address) = address {
            let calls = inner.by_address.get(&address).copied().unwrap_or(0);
            if calls >= self.limits.calls_per_address {
                return Err(Refusal::FullOfAddress { calls });
            }
            inner.by_address.insert(address, calls + 1);
        }
        inner.calls += 1;
        drop(inner);
        Ok(Ticket { table: Arc::clone(self), address })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing panics while it is held; and if it did, the counts would still be usable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait; given up when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    table: Arc<Table>,
    stream: String,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.table.lock();
        // Somebody else may wait under this name by now.
        if inner.waiting.get(&self.stream).is_some_and(|waiting| waiting.id == self.id) {
            let left = inner.waiting.remove(&self.stream);
            drop(inner);
            // The caller's body ends here, which is no work for under a lock.
            drop(left);
        }
    }
}

/// One counted call.
#[derive(Debug)]
pub(crate) struct Ticket {
    table: Arc<Table>,
    address: Option<IpAddr>,
}

impl Ticket {
    /// Counts bytes that were passed on.
    pub(crate) fn carry(&self, bytes: usize) {
        self.table.carried.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = self.table.lock();
        inner.calls -= 1;
        if let Some(address) = self.address
            && let Some(calls) = inner.by_address.get_mut(&address)
        {
            *calls -= 1;
            if *calls == 0 {
                inner.by_address.remove(&address);
            }
        }
    }
}
