//! The commands of one driver, and their end.

use std::sync::{Arc, Mutex, PoisonError};

use jumpstarter_core::{Error, Result};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    group::{GRACE, Group},
    job::{self, Job, Output, Running},
};

/// Most that [`Jobs::output`] keeps of what a command prints.
const MOST: usize = 64 * 1024;

/// The commands of one driver. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Jobs(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    running: TaskTracker,
    closing: CancellationToken,
    /// Groups whose leader has ended and which have members all the same.
    left: Mutex<Vec<Group>>,
}

impl Inner {
    fn keep(&self, group: Option<Group>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        // A group that is gone is forgotten soon: its number may come again.
        left.retain(Group::is_alive);
        left.extend(group);
    }
}

impl Jobs {
    /// Starts a command. It ends with what is returned, or when its time is over.
    ///
    /// # Errors
    /// When the program or its folder is not there or cannot be executed, or after [`close`](Self::close).
    pub fn start(&self, job: &Job) -> Result<Running> {
        if self.0.closing.is_cancelled() {
            return Err(Error::cancelled("the driver was closed"));
        }
        let started = job.spawn()?;
        let (events, running) = job::channel();
        let inner = self.0.clone();
        self.0.running.spawn(async move {
            let left = started.attend(events, inner.closing.clone()).await;
            inner.keep(left);
        });
        Ok(running)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when it prints more than 64 KiB. A command that fails is no error here.
    pub async fn output(&self, job: &Job) -> Result<Output> {
        self.start(job)?.collect(MOST).await
    }

    /// How many groups were left behind by commands that have ended, and still have members.
    pub fn left_behind(&self) -> usize {
        self.0.keep(None);
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Ends all commands, and what they have left behind. Returns when nobody is left, within [`GRACE`].
    pub async fn close(&self) {
        self.0.closing.cancel();
        self.0.running.close();
        self.0.running.wait().await;
        self.0.keep(None);
        let left = std::mem::take(&mut *self.0.left.lock().unwrap_or_else(PoisonError::into_inner));
        let deadline = Instant::now() + GRACE;
        for group in &left {
            group.ask();
        }
        for group in &left {
            group.gone_by(deadline).await;
        }
    }
}
