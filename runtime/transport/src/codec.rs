//! Compression of resources on their way through a transfer.
//!
//! A client may hold a compressed image while the driver wants plain bytes, or want a compressed dump of what
//! the driver reads. The [`Encoding`] in the resource handle describes the bytes **on the client's side**: the
//! exporter [unpacks](unpack) what a driver reads and [packs](pack) what a driver writes. Nothing here guesses
//! an encoding from a name or from the data.
//!
//! Both adapters take a stream of [`Bytes`](bytes::Bytes) and are one again, with the caller's own error type:
//!
//! ```
//! use futures::{StreamExt, TryStreamExt};
//! use jumpstarter_transport::codec::{self, Encoding};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), codec::Error> {
//! let plain = futures::stream::iter([Ok::<_, codec::Error>("a disk image".into())]);
//! let packed = codec::pack(Some(Encoding::Zstd), plain);
//! let again: Vec<bytes::Bytes> = codec::unpack(Some(Encoding::Zstd), packed).try_collect().await?;
//! assert_eq!(again.concat(), b"a disk image");
//! # Ok(())
//! # }
//! ```
//!
//! What callers may rely on:
//!
//! * Input that ends inside a member is [`Error::Truncated`], even when everything so far could be unpacked;
//!   bytes behind a member that are no further member are an error too. Concatenated members (gzip, bz2),
//!   streams (xz, with its four-byte padding) and frames (zstd) are unpacked one after another.
//! * A transfer without a single byte stays one: packing nothing yields nothing (see [`Coded::even_if_empty`]),
//!   and unpacking nothing yields nothing. Whether a transfer was *cut* before its first byte is for the layer
//!   below to say, as an error of the input stream.
//! * The end of a packed stream comes after the packer's tail, never before.
//! * Pieces are at most [`PIECE`] bytes. At most a few of them exist ahead of the reader, however far the input
//!   expands, and the window a sender may ask for is limited.
//! * The work is done in short slices on Tokio's blocking pool, so the adapters must be polled inside a Tokio
//!   runtime. Nothing is held there while a transfer waits, and dropping the adapter ends it after the slice
//!   under way.
//!
//! Modules: `decode` and `encode` hold the state machines, one step at a time and without I/O; `stream` runs
//! them.

mod decode;
mod encode;
mod stream;

use std::fmt;
use std::str::FromStr;

use jumpstarter_core::ErrorKind;

pub use stream::{Coded, pack, unpack};

pub(crate) use decode::Framing;
pub(crate) use stream::unpack_framing;

/// Largest piece that the adapters of this module hand out, in bytes.
pub const PIECE: usize = 64 * 1024;

/// How the client's bytes are compressed.
///
/// "Not at all" is `Option::<Encoding>::None`, `null` in a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `gzip`; unpacking takes zlib framing as well.
    Gzip,
    /// `xz`
    Xz,
    /// `bz2`
    Bz2,
    /// `zstd`
    Zstd,
}

impl Encoding {
    /// Every encoding, in the order in which messages list them.
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Xz, Self::Bz2, Self::Zstd];

    /// The name that goes over the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Bz2 => "bz2",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|encoding| encoding.name() == text)
            .ok_or_else(|| UnknownEncoding { text: text.chars().take(64).collect() })
    }
}

/// A content encoding that nobody here knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown content encoding `{text}`: write gzip, xz, bz2 or zstd, or null for none")]
pub struct UnknownEncoding {
    text: String,
}

/// Why a transfer could not be packed or unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input ended inside a member: what was written so far is not the whole.
    #[error("{format} data is incomplete: it ends inside a member, after {offset} bytes")]
    Truncated {
        /// The format being unpacked.
        format: &'static str,
        /// Compressed bytes read until the end of input.
        offset: u64,
    },
    /// The input is not what it should be, or its checksum does not match.
    #[error("{format} data is damaged, or is no {format} data, near byte {offset}: {reason}")]
    Corrupt {
        /// The format being unpacked.
        format: &'static str,
        /// Compressed bytes read when it was noticed.
        offset: u64,
        /// The library's finding.
        reason: String,
    },
    /// A complete member is followed by something that is not another one.
    #[error("{format} data goes on after its end at byte {offset} with something else: {reason}")]
    Trailing {
        /// The format being unpacked.
        format: &'static str,
        /// Compressed bytes up to the end of the last good member.
        offset: u64,
        /// The library's finding.
        reason: String,
    },
    /// Packing failed, or the work was stopped because the process is ending.
    #[error("{format} coding stopped: {reason}")]
    Stopped {
        /// The format being packed or unpacked.
        format: &'static str,
        /// What happened.
        reason: String,
    },
}

impl From<Error> for jumpstarter_core::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Truncated { .. } => ErrorKind::Truncated,
            Error::Corrupt { .. } | Error::Trailing { .. } => ErrorKind::Device,
            Error::Stopped { .. } => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string()).caused_by(error)
    }
}

impl From<UnknownEncoding> for jumpstarter_core::Error {
    fn from(error: UnknownEncoding) -> Self {
        Self::invalid_argument(error.to_string()).caused_by(error)
    }
}

/// What one step of a state machine did.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Bytes taken from the input.
    read: usize,
    /// Bytes put into the output.
    written: usize,
    /// The member (when unpacking) or everything (when packing) is complete.
    complete: bool,
}

/// The difference of two of a library's running totals, which count as `u64`.
///
/// A step never moves more than the slices it was given, so the saturation is never seen.
fn moved(before: u64, after: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
