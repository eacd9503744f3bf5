//! Files that clients have open.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jumpstarter::{Error, ErrorKind, Result, types::Uuid};

use crate::place::{Reading, Writing};

/// Files that may be open at a time, so that forgotten ones do not use up the process' descriptors.
const MOST: usize = 512;

/// Closed files that are remembered: `file_closed` answers for them. The oldest are forgotten.
const REMEMBERED: usize = 1024;

/// An open file.
pub(crate) enum OpenFile {
    Reading {
        reading: Reading,
        position: u64,
    },
    Writing(Writing),
    /// Writing has failed; there is no file any more.
    Failed,
    /// Somebody has opened it for writing again.
    Taken,
}

/// A file whose number somebody knows.
#[derive(Clone)]
pub(crate) enum Found {
    Open(Arc<jumpstarter::sync::Mutex<OpenFile>>),
    Closed,
}

#[derive(Default)]
pub(crate) struct Handles(Mutex<Known>);

#[derive(Default)]
struct Known {
    open: HashMap<Uuid, Arc<jumpstarter::sync::Mutex<OpenFile>>>,
    closed: VecDeque<Uuid>,
}

impl Handles {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another file may be opened.
    pub(crate) fn room(&self) -> Result<()> {
        if self.lock().open.len() >= MOST {
            return Err(Error::busy(format!("{MOST} files are open: close some of them first")));
        }
        Ok(())
    }

    pub(crate) fn add(&self, file: OpenFile) -> Uuid {
        let fd = Uuid::new_v4();
        self.lock().open.insert(fd, Arc::new(jumpstarter::sync::Mutex::new(file)));
        fd
    }

    /// All that are open, to look for one.
    pub(crate) fn all(&self) -> Vec<Arc<jumpstarter::sync::Mutex<OpenFile>>> {
        self.lock().open.values().cloned().collect()
    }

    pub(crate) fn find(&self, fd: Uuid) -> Result<Found> {
        let known = self.lock();
        match known.open.get(&fd) {
            Some(file) => Ok(Found::Open(file.clone())),
            None if known.closed.contains(&fd) => Ok(Found::Closed),
            None => Err(Error::new(ErrorKind::Absent, format!("no file was opened as {fd}"))),
        }
    }

    /// Takes it out of the open ones.
    pub(crate) fn close(&self, fd: Uuid) -> Result<Found> {
        let found = self.find(fd)?;
        let mut known = self.lock();
        if known.open.remove(&fd).is_some() {
            if known.closed.len() == REMEMBERED {
                known.closed.pop_front();
            }
            known.closed.push_back(fd);
        }
        Ok(found)
    }

    /// Takes all of them.
    pub(crate) fn take(&self) -> Vec<Arc<jumpstarter::sync::Mutex<OpenFile>>> {
        let mut known = self.lock();
        known.closed.clear();
        known.open.drain().map(|(_, file)| file).collect()
    }
}
