//! The adapter's knowledge of HTTP/2: a machine without input and output of its own.

use std::{fmt, io};

use bytes::{BufMut, BytesMut};
use http::uri::Authority;

/// What every HTTP/2 client sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length of a frame's header.
const FRAME_HEADER: usize = 9;

/// Largest payload that every peer takes.
const FRAME_PAYLOAD: usize = 16 * 1024;

/// Most bytes of one header block, its frames' headers included, that are kept until the block is complete.
const MAX_BLOCK: usize = 128 * 1024;

/// Most bytes that a header block may expand to. A few bytes can name a long entry of the table many times.
const MAX_EXPANDED: usize = 256 * 1024;

/// Size of the compression table that our server's settings (the defaults) allow.
const TABLE: usize = 4096;

const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// What stands in for an authority that is no host.
const SUBSTITUTE: &[u8] = b"localhost";

/// What to do with the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Hand on this many bytes as they come, then ask again.
    Pass(usize),
    /// Input was consumed and its replacement appended to the output.
    Changed,
    /// Nothing can be said before there is more input.
    More,
    /// Hand on everything from here on as it comes, and never ask again.
    Aside,
}

/// See the [module](super).
pub(super) struct Rewriter {
    phase: Phase,
    table: loona_hpack::Decoder<'static>,
    block: Option<Block>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has been seen.
    Preface,
    /// Up to the first request.
    Deciding,
    /// After a first request that had to be changed.
    Changing,
}

/// A header block that is being collected. Its frames stay in the input until it is complete.
#[derive(Debug)]
struct Block {
    /// How much of the input belongs to it so far.
    scanned: usize,
    /// The block without framing and padding.
    fragments: BytesMut,
    stream: [u8; 4],
    end_stream: bool,
    priority: Option<[u8; 5]>,
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Malformed {
    #[error("a header block's frames are malformed")]
    Frames,
    #[error("a header block is interrupted by another frame")]
    Interrupted,
    #[error("a header block is larger than {MAX_BLOCK} bytes")]
    TooLong,
    #[error("a header block expands to more than {MAX_EXPANDED} bytes")]
    TooLarge,
    #[error("a header block cannot be decompressed")]
    Compression,
}

impl fmt::Debug for Rewriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewriter")
            .field("phase", &self.phase)
            .field("block", &self.block)
            .finish_non_exhaustive()
    }
}

impl Rewriter {
    pub(super) fn new() -> Self {
        let mut table = loona_hpack::Decoder::new();
        table.set_max_allowed_table_size(TABLE);
        Self { phase: Phase::Preface, table, block: None }
    }

    /// Looks at the input, which starts where the last step left it.
    pub(super) fn step(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> io::Result<Step> {
        let step = match self.phase {
            Phase::Preface => Ok(self.preface(input)),
            Phase::Deciding | Phase::Changing => self.frame(input, output),
        };
        match step {
            Ok(step) => Ok(step),
            // Nothing was changed so far: the server sees what we saw and answers as the protocol asks.
            Err(_) if self.phase == Phase::Deciding => {
                output.clear();
                Ok(Step::Aside)
            }
            Err(malformed) => Err(io::Error::new(io::ErrorKind::InvalidData, malformed)),
        }
    }

    fn preface(&mut self, input: &BytesMut) -> Step {
        let seen = input.len().min(PREFACE.len());
        if input[..seen] != PREFACE[..seen] {
            Step::Aside
        } else if seen < PREFACE.len() {
            Step::More
        } else {
            self.phase = Phase::Deciding;
            Step::Pass(seen)
        }
    }

    fn frame(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Step, Malformed> {
        let start = self.block.as_ref().map_or(0, |block| block.scanned);
        let frame = &input[start..];
        let Some((&[l0, l1, l2, kind, flags, s0, s1, s2, s3], rest)) =
            frame.split_first_chunk::<FRAME_HEADER>()
        else {
            return Ok(Step::More);
        };
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        // The highest bit is reserved and to be ignored.
        let stream = [s0 & 0x7f, s1, s2, s3];
        match &self.block {
            None if kind != HEADERS => return Ok(Step::Pass(FRAME_HEADER + length)),
            Some(block) if kind != CONTINUATION || stream != block.stream => {
                return Err(Malformed::Interrupted);
            }
            None | Some(_) => {}
        }
        let end = start + FRAME_HEADER + length;
        if end > MAX_BLOCK {
            return Err(Malformed::TooLong);
        }
        let Some(payload) = rest.get(..length) else { return Ok(Step::More) };

        let block = match self.block.take() {
            None => Block::begin(flags, stream, payload)?,
            Some(mut block) => {
                block.fragments.extend_from_slice(payload);
                block.scanned = end;
                block
            }
        };
        if flags & END_HEADERS == 0 {
            self.block = Some(block);
            return Ok(Step::Changed);
        }
        let (fields, replaced) = self.decode(&block.fragments)?;
        if self.phase == Phase::Deciding {
            if !replaced {
                return Ok(Step::Aside);
            }
            tracing::debug!("a client's :authority is not a host; putting localhost in its place");
        }
        if fields.len() > MAX_EXPANDED {
            // Only now: a block that does not concern us is left to the server, whatever its size.
            self.phase = Phase::Changing;
            return Err(Malformed::TooLarge);
        }
        self.phase = Phase::Changing;
        let _ = input.split_to(block.scanned);
        block.emit(&fields, output);
        Ok(Step::Changed)
    }

    /// Decompresses a block into literals. The second value tells whether the authority had to be replaced. Stops
    /// collecting, not decoding, when the result is too large.
    fn decode(&mut self, block: &[u8]) -> Result<(BytesMut, bool), Malformed> {
        let mut fields = BytesMut::with_capacity(block.len() * 2);
        let mut replaced = false;
        self.table
            .decode_with_cb(block, |name, value| {
                let unfit = *name == *b":authority" && Authority::try_from(&*value).is_err();
                replaced |= unfit;
                if fields.len() <= MAX_EXPANDED {
                    let value = if unfit { SUBSTITUTE } else { &*value };
                    // A literal that is not to be entered into the table, with a literal name.
                    fields.put_u8(0);
                    string(&mut fields, &name);
                    string(&mut fields, value);
                }
            })
            .map_err(|_| Malformed::Compression)?;
        Ok((fields, replaced))
    }
}

impl Block {
    /// Takes a HEADERS frame apart.
    fn begin(flags: u8, stream: [u8; 4], payload: &[u8]) -> Result<Self, Malformed> {
        let scanned = FRAME_HEADER + payload.len();
        let mut rest = payload;
        let mut padding = 0;
        if flags & PADDED != 0 {
            let (&count, after) = rest.split_first().ok_or(Malformed::Frames)?;
            padding = usize::from(count);
            rest = after;
        }
        let mut priority = None;
        if flags & PRIORITY != 0 {
            let (&first, after) = rest.split_first_chunk::<5>().ok_or(Malformed::Frames)?;
            priority = Some(first);
            rest = after;
        }
        let length = rest.len().checked_sub(padding).ok_or(Malformed::Frames)?;
        Ok(Self {
            scanned,
            fragments: BytesMut::from(&rest[..length]),
            stream,
            end_stream: flags & END_STREAM != 0,
            priority,
        })
    }

    /// Frames the fields anew: without padding, in payloads that any receiver takes.
    fn emit(&self, fields: &[u8], output: &mut BytesMut) {
        let mut rest = fields;
        let mut kind = HEADERS;
        loop {
            let mut flags = 0;
            let mut priority: &[u8] = &[];
            if kind == HEADERS {
                flags |= if self.end_stream { END_STREAM } else { 0 };
                if let Some(bytes) = &self.priority {
                    flags |= PRIORITY;
                    priority = bytes;
                }
            }
            let (now, later) = rest.split_at(rest.len().min(FRAME_PAYLOAD - priority.len()));
            if later.is_empty() {
                flags |= END_HEADERS;
            }
            // The payload is at most 16 KiB, so three bytes hold its length.
            output.put_uint((priority.len() + now.len()) as u64, 3);
            output.put_u8(kind);
            output.put_u8(flags);
            output.put_slice(&self.stream);
            output.put_slice(priority);
            output.put_slice(now);
            if later.is_empty() {
                return;
            }
            rest = later;
            kind = CONTINUATION;
        }
    }
}

/// A string as header compression writes it, not Huffman-coded.
fn string(to: &mut BytesMut, text: &[u8]) {
    let mut length = text.len();
    if length < 127 {
        // Below 127 it is one byte.
        to.put_uint(length as u64, 1);
    } else {
        to.put_u8(127);
        length -= 127;
        while length >= 128 {
            to.put_uint((length % 128 + 128) as u64, 1);
            length /= 128;
        }
        to.put_uint(length as u64, 1);
    }
    to.put_slice(text);
}
