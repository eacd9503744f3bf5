//! Files of this machine as they are read and written in transfers: in large steps beside the asynchronous threads, and
//! with their holes kept.
//!
//! Images of disks are mostly zeros. [`Writer`] leaves a hole where a long run of zeros comes, which takes neither time
//! nor space; [`Reader`] asks the file system where data is and makes up the zeros in between. Both do the same to files
//! and to devices, as far as these can.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `write` | pieces to a file, front to back |
//! | `read` | a file to pieces, from a position on |
//! | [`leftovers`] | temporary folders that are removed even when the program that used them was killed |

#![forbid(unsafe_code)]

pub mod leftovers;
mod read;
mod write;

pub use read::Reader;
pub use write::{Abandoned, Writer};

/// How much is read or written at a time.
pub(crate) const STEP: usize = 1024 * 1024;

/// Shortest run of zeros that becomes a hole, at positions that are multiples of it. Shorter holes cost more than they save:
/// every one of them splits an extent of the file.
pub(crate) const HOLE: usize = 16 * 1024;

pub(crate) static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Runs something that may block where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    what: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    finished(tokio::task::spawn_blocking(what)).await
}

/// Waits for something that runs where it may block.
pub(crate) async fn finished<T>(task: tokio::task::JoinHandle<std::io::Result<T>>) -> std::io::Result<T> {
    match task.await {
        Ok(result) => result,
        Err(error) => Err(std::io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests;
