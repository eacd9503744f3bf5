//! Unpacking as a state machine: members one after another, one bounded step at a time.

use bzip2::{Decompress as Bz2, Status as Bz2Status};
use flate2::{Decompress as Inflate, FlushDecompress, Status as InflateStatus};
use liblzma::stream::{Action, Error as XzError, Status as XzStatus, Stream as Xz};
use zstd::stream::raw::{Decoder as Zstd, Operation as _};

use super::{Encoding, Error, Step, moved};

/// Memory that an xz file may ask for, in bytes. `xz -9` needs 65 MiB; the format allows 4 GiB.
const XZ_MEMORY: u64 = 512 * 1024 * 1024;

/// The window of deflate, as its logarithm: the largest, which every writer may assume.
const DEFLATE_WINDOW: u8 = 15;

/// The formats that can be unpacked: those of handles, and the ones that only HTTP knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// What a handle names.
    Resource(Encoding),
    /// HTTP's `deflate`: zlib framing by the book, bare deflate from many servers.
    Deflate,
}

impl Framing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Resource(encoding) => encoding.name(),
            Self::Deflate => "deflate",
        }
    }
}

/// The library's state for one member.
enum Member {
    Inflate(Inflate),
    Xz(Xz),
    Bz2(Bz2),
    Zstd(Zstd<'static>),
}

impl Member {
    /// Prepares for a member that starts with `first`.
    fn open(framing: Framing, first: u8) -> Result<Self, String> {
        Ok(match framing {
            // 0x1f opens a gzip header. It cannot open a zlib header, whose low half says 8 for deflate.
            Framing::Resource(Encoding::Gzip) if first == 0x1f => {
                Self::Inflate(Inflate::new_gzip(DEFLATE_WINDOW))
            }
            Framing::Resource(Encoding::Gzip) => Self::Inflate(Inflate::new(true)),
            // A bare deflate stream that starts with a low half of 8 would be a stored block, not the last
            // one, whose padding bits are not zero: no writer makes it.
            Framing::Deflate => Self::Inflate(Inflate::new(first & 0x0f == 8)),
            Framing::Resource(Encoding::Xz) => {
                Self::Xz(Xz::new_stream_decoder(XZ_MEMORY, 0).map_err(xz_reason)?)
            }
            Framing::Resource(Encoding::Bz2) => Self::Bz2(Bz2::new(false)),
            // The library refuses windows above 128 MiB by itself, as its command line does.
            Framing::Resource(Encoding::Zstd) => Self::Zstd(Zstd::new().map_err(|error| error.to_string())?),
        })
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        match self {
            Self::Inflate(state) => {
                let (read, written) = (state.total_in(), state.total_out());
                let status = state.decompress(input, output, FlushDecompress::None).map_err(|error| {
                    match error.message() {
                        Some(message) => message.to_owned(),
                        None => error.to_string(),
                    }
                })?;
                Ok(Step {
                    read: moved(read, state.total_in()),
                    written: moved(written, state.total_out()),
                    complete: status == InflateStatus::StreamEnd,
                })
            }
            Self::Xz(state) => {
                let (read, written) = (state.total_in(), state.total_out());
                let status = state.process(input, output, Action::Run).map_err(xz_reason)?;
                Ok(Step {
                    read: moved(read, state.total_in()),
                    written: moved(written, state.total_out()),
                    complete: matches!(status, XzStatus::StreamEnd),
                })
            }
            Self::Bz2(state) => {
                let (read, written) = (state.total_in(), state.total_out());
                let status = state.decompress(input, output).map_err(|error| error.to_string())?;
                if status == Bz2Status::MemNeeded {
                    return Err("out of memory".to_owned());
                }
                Ok(Step {
                    read: moved(read, state.total_in()),
                    written: moved(written, state.total_out()),
                    complete: status == Bz2Status::StreamEnd,
                })
            }
            Self::Zstd(state) => {
                let status = state.run_on_buffers(input, output).map_err(|error| error.to_string())?;
                Ok(Step {
                    read: status.bytes_read,
                    written: status.bytes_written,
                    complete: status.remaining == 0,
                })
            }
        }
    }
}

/// The library's own texts name its constants; these say what they mean.
fn xz_reason(error: XzError) -> String {
    match error {
        XzError::MemLimit => {
            format!("unpacking it takes more than {} MiB of memory", XZ_MEMORY / (1024 * 1024))
        }
        XzError::Format => "not an xz header".to_owned(),
        XzError::Data => "checksum or structure is wrong".to_owned(),
        XzError::Options | XzError::UnsupportedCheck => "it uses options that are not supported".to_owned(),
        other => other.to_string(),
    }
}

/// Unpacks any number of members.
pub(super) struct Unpacker {
    framing: Framing,
    /// The member under way; none at the start and after the end of each.
    member: Option<Member>,
    /// Whether a member has been completed, so that what follows may be judged as trailing.
    seen_one: bool,
    /// Whether the member under way has given output: then it really was one.
    plausible: bool,
    /// Zero bytes since the end of the last xz stream; the format wants a multiple of four.
    padding: u64,
    /// Compressed bytes read so far.
    offset: u64,
    /// Where the last complete member ended.
    end_of_last: u64,
}

impl Unpacker {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            member: None,
            seen_one: false,
            plausible: false,
            padding: 0,
            offset: 0,
            end_of_last: 0,
        }
    }

    /// Unpacks some of `input` into `output`, which must not be empty.
    ///
    /// To be called again with the rest of the input, and with none left for as long as it fills the output.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        let mut skipped = 0;
        if self.member.is_none() {
            if self.framing == Framing::Resource(Encoding::Xz) && self.seen_one {
                skipped = input.iter().take_while(|byte| **byte == 0).count();
                self.padding = self.padding.saturating_add(skipped as u64);
                self.offset = self.offset.saturating_add(skipped as u64);
            }
            let Some(first) = input.get(skipped) else {
                return Ok(Step { read: skipped, written: 0, complete: true });
            };
            self.check_padding()?;
            self.member = Some(Member::open(self.framing, *first).map_err(|reason| self.failed(reason))?);
            self.padding = 0;
            self.plausible = false;
        }
        let Some(member) = &mut self.member else {
            return Ok(Step { read: skipped, written: 0, complete: true });
        };
        let step = match member.step(input.get(skipped..).unwrap_or_default(), output) {
            Ok(step) => step,
            Err(reason) => return Err(self.failed(reason)),
        };
        self.offset = self.offset.saturating_add(step.read as u64);
        self.plausible |= step.written > 0;
        if step.complete {
            self.member = None;
            self.seen_one = true;
            self.end_of_last = self.offset;
        }
        Ok(Step { read: skipped + step.read, ..step })
    }

    /// The input is over: is that a good place to end?
    pub(super) fn finish(&self) -> Result<(), Error> {
        if self.member.is_some() {
            return Err(Error::Truncated { format: self.framing.name(), offset: self.offset });
        }
        self.check_padding()
    }

    fn check_padding(&self) -> Result<(), Error> {
        if self.padding.is_multiple_of(4) {
            return Ok(());
        }
        Err(Error::Trailing {
            format: self.framing.name(),
            offset: self.end_of_last,
            reason: format!("{} zero bytes of padding are no multiple of four", self.padding),
        })
    }

    fn failed(&self, reason: String) -> Error {
        let format = self.framing.name();
        if self.seen_one && !self.plausible {
            Error::Trailing { format, offset: self.end_of_last, reason }
        } else {
            Error::Corrupt { format, offset: self.offset, reason }
        }
    }
}
