//! A disk that can be stopped at any write, filled up, and cut from its power.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use redb::StorageBackend;

use crate::Dice;

/// What has been done and may still be lost.
#[derive(Clone, Debug)]
enum Loose {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// What a disk holds, and what it has only promised to hold.
#[derive(Debug, Default)]
struct State {
    /// What is safe.
    safe: Vec<u8>,
    /// What programs read.
    seen: Vec<u8>,
    /// What is not safe yet.
    loose: Vec<Loose>,
    /// Writes and syncs until nothing more is taken.
    left: Option<usize>,
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.left {
            // ENOSPC
            Some(0) => Err(io::Error::from_raw_os_error(28)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Platter(Arc<Mutex<State>>);

impl Platter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with it")
    }

    /// Takes so many more writes and syncs, or all.
    pub(crate) fn takes(&self, left: Option<usize>) {
        self.state().left = left;
    }

    /// The disk after the power was cut: of what was not safe, some arrived nevertheless, and some of it only in part.
    pub(crate) fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let state = self.state();
        let mut safe = state.safe.clone();
        let luck = dice.below(4);
        for loose in &state.loose {
            // All is lost, all arrived, or it depends.
            let arrives = match luck {
                0 => false,
                1 => true,
                _ => dice.below(2) == 0,
            };
            match loose {
                Loose::Length(length) if arrives => safe.resize(*length, 0),
                Loose::Write(offset, bytes) if arrives => {
                    let whole = luck == 1 || dice.below(3) > 0;
                    let count = if whole { bytes.len() } else { dice.below(bytes.len() + 1) };
                    let end = offset + count;
                    if safe.len() < end {
                        safe.resize(end, 0);
                    }
                    safe[*offset..end].copy_from_slice(&bytes[..count]);
                }
                _ => {}
            }
        }
        Self(Arc::new(Mutex::new(State { seen: safe.clone(), safe, ..State::default() })))
    }

    /// The disk as programs see it, safe and without limits.
    pub(crate) fn copy(&self) -> Self {
        let seen = self.state().seen.clone();
        Self(Arc::new(Mutex::new(State { safe: seen.clone(), seen, ..State::default() })))
    }
}

impl StorageBackend for Platter {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let begin = usize::try_from(offset).expect("small");
        let from = state.seen.get(begin..begin + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let length = usize::try_from(length).expect("small");
        state.seen.resize(length, 0);
        state.loose.push(Loose::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let State { safe, seen, loose, .. } = &mut *state;
        safe.clone_from(seen);
        loose.clear();
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let begin = usize::try_from(offset).expect("small");
        state.seen[begin..begin + bytes.len()].copy_from_slice(bytes);
        state.loose.push(Loose::Write(begin, bytes.to_vec()));
        Ok(())
    }
}
