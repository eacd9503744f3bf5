//! Packing as a state machine, one bounded step at a time.

use bzip2::{Action as Bz2Action, Compress as Bz2, Compression as Bz2Level, Status as Bz2Status};
use flate2::{Compress as Deflate, Compression as DeflateLevel, FlushCompress, Status as DeflateStatus};
use liblzma::stream::{Action as XzAction, Check, Status as XzStatus, Stream as Xz};
use zstd::stream::raw::{CParameter, Encoder as Zstd, Operation as _, OutBuffer};

use super::{Encoding, Error, Step, moved};

/// Each tool's own default level: what people expect of a file with that ending.
const XZ_PRESET: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
/// The window of deflate, as its logarithm.
const DEFLATE_WINDOW: u8 = 15;

enum State {
    Deflate(Deflate),
    Xz(Xz),
    Bz2(Bz2),
    Zstd(Zstd<'static>),
}

/// Packs everything into one member.
pub(super) struct Packer {
    encoding: Encoding,
    /// Made at the first byte, because an xz state is 94 MiB and a transfer may stay empty.
    state: Option<State>,
}

impl Packer {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, state: None }
    }

    /// Packs some of `input` into `output`, which must not be empty.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        self.drive(input, output, false)
    }

    /// Writes what is left of the member; to be repeated until the step says that it is complete.
    pub(super) fn finish(&mut self, output: &mut [u8]) -> Result<Step, Error> {
        self.drive(&[], output, true)
    }

    fn drive(&mut self, input: &[u8], output: &mut [u8], finish: bool) -> Result<Step, Error> {
        let encoding = self.encoding;
        drive(encoding, &mut self.state, input, output, finish)
            .map_err(|reason| Error::Stopped { format: encoding.name(), reason })
    }
}

fn open(encoding: Encoding) -> Result<State, String> {
    Ok(match encoding {
        Encoding::Gzip => State::Deflate(Deflate::new_gzip(DeflateLevel::default(), DEFLATE_WINDOW)),
        Encoding::Xz => {
            State::Xz(Xz::new_easy_encoder(XZ_PRESET, Check::Crc64).map_err(|error| error.to_string())?)
        }
        Encoding::Bz2 => State::Bz2(Bz2::new(Bz2Level::best(), 0)),
        Encoding::Zstd => {
            let mut state = Zstd::new(ZSTD_LEVEL).map_err(|error| error.to_string())?;
            // Without it nobody downstream can tell a damaged frame.
            state.set_parameter(CParameter::ChecksumFlag(true)).map_err(|error| error.to_string())?;
            State::Zstd(state)
        }
    })
}

fn drive(
    encoding: Encoding,
    state: &mut Option<State>,
    input: &[u8],
    output: &mut [u8],
    finish: bool,
) -> Result<Step, String> {
    let state = match state {
        Some(state) => state,
        None => state.insert(open(encoding)?),
    };
    if input.is_empty() && !finish {
        return Ok(Step { read: 0, written: 0, complete: false });
    }
    match state {
        State::Deflate(state) => {
            let (read, written) = (state.total_in(), state.total_out());
            let flush = if finish { FlushCompress::Finish } else { FlushCompress::None };
            let status = state.compress(input, output, flush).map_err(|error| error.to_string())?;
            Ok(Step {
                read: moved(read, state.total_in()),
                written: moved(written, state.total_out()),
                complete: status == DeflateStatus::StreamEnd,
            })
        }
        State::Xz(state) => {
            let (read, written) = (state.total_in(), state.total_out());
            let action = if finish { XzAction::Finish } else { XzAction::Run };
            let status = state.process(input, output, action).map_err(|error| error.to_string())?;
            Ok(Step {
                read: moved(read, state.total_in()),
                written: moved(written, state.total_out()),
                complete: matches!(status, XzStatus::StreamEnd),
            })
        }
        State::Bz2(state) => {
            let (read, written) = (state.total_in(), state.total_out());
            let action = if finish { Bz2Action::Finish } else { Bz2Action::Run };
            let status = state.compress(input, output, action).map_err(|error| error.to_string())?;
            Ok(Step {
                read: moved(read, state.total_in()),
                written: moved(written, state.total_out()),
                complete: status == Bz2Status::StreamEnd,
            })
        }
        State::Zstd(state) => {
            if finish {
                let mut output = OutBuffer::around(output);
                let left = state.finish(&mut output, false).map_err(|error| error.to_string())?;
                return Ok(Step { read: 0, written: output.pos(), complete: left == 0 });
            }
            let status = state.run_on_buffers(input, output).map_err(|error| error.to_string())?;
            Ok(Step { read: status.bytes_read, written: status.bytes_written, complete: false })
        }
    }
}
