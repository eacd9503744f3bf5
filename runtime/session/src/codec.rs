//! How messages of native calls become bytes: that is left to the driver's side.

use bytes::{Buf as _, BufMut as _, Bytes};
use jumpstarter_core::dispatch::Answer;
use jumpstarter_transport::status;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Most memory that an encoder keeps between two messages, in bytes.
const KEPT: usize = 64 * 1024;

/// Passes requests through as they are, and has answers write themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Answer;
    type Decode = Bytes;
    type Encoder = Writer;
    type Decoder = Self;

    fn encoder(&mut self) -> Writer {
        Writer::default()
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

/// Writes answers, one after the other in the same memory: a stream may have a million of them in a second.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    scratch: Vec<u8>,
}

impl Encoder for Writer {
    type Item = Answer;
    type Error = Status;

    fn encode(&mut self, answer: Answer, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let typed = match answer {
            Answer::Typed(typed) => typed,
            other => {
                buffer.put(other.into_proto().map_err(|error| status::native(&error))?);
                return Ok(());
            }
        };
        self.scratch.clear();
        typed.write_proto(&mut self.scratch);
        buffer.reserve(self.scratch.len());
        buffer.put_slice(&self.scratch);
        if self.scratch.capacity() > KEPT {
            self.scratch = Vec::new();
        }
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
