//! How the messages of these services become bytes and messages again.
//!
//! It is prost's own way but for the room that is kept for each stream: a lab has thousands of streams that say something
//! once an hour, and the library's 8 KiB for each of them would be most of what they need.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// The room that a stream begins with, in bytes. It grows with what is said, and a busy stream keeps what it has.
const ROOM: usize = 512;

/// From so many bytes on, what is ready is sent before more is made; as in the library.
const ENOUGH: usize = 32 * 1024;

/// Messages with little room for each stream.
#[derive(Clone, Copy, Debug)]
pub struct SmallCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for SmallCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(ROOM, ENOUGH))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(ROOM, ENOUGH))
    }
}
