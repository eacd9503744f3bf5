//! Messages of callers that compress, for others that need not know how.
//!
//! Only a few clients do, on request of their users. Each of their messages is put together and unpacked here, within the
//! limit that holds for all; everybody else's pass as they are.

use std::io::Read as _;

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use tonic::Status;

use crate::{
    relay::refusal,
    scan::{PREFIX, Wrong},
};

/// Unpacks a body whose messages may be packed with gzip.
#[derive(Debug)]
pub struct Unpack {
    limit: u32,
    /// The message that has begun.
    begun: BytesMut,
}

impl Unpack {
    /// For messages of at most `limit` bytes, packed and unpacked.
    pub fn new(limit: u32) -> Self {
        Self { limit, begun: BytesMut::new() }
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Takes one more piece; answers the messages that it completes, unpacked.
    ///
    /// # Errors
    /// When a message must not be passed on: what to tell its sender.
    pub fn advance(&mut self, piece: &[u8]) -> Result<Bytes, Status> {
        self.begun.extend_from_slice(piece);
        let mut passed = BytesMut::new();
        while let Some((flag, length)) = self.prefix() {
            if length > self.limit {
                return Err(refusal(Wrong::TooLarge(length), self.limit));
            }
            if flag > 1 {
                return Err(refusal(Wrong::Flag(flag), self.limit));
            }
            let whole = PREFIX + length as usize;
            if self.begun.len() < whole {
                break;
            }
            let message = self.begun.split_to(whole);
            if flag == 0 {
                passed.extend_from_slice(&message);
            } else {
                let plain = self.gunzip(&message[PREFIX..])?;
                passed.extend_from_slice(&[0]);
                // Not longer than the limit, which is a u32.
                passed.extend_from_slice(&u32::try_from(plain.len()).unwrap_or(u32::MAX).to_be_bytes());
                passed.extend_from_slice(&plain);
            }
        }
        Ok(passed.freeze())
    }

    fn prefix(&self) -> Option<(u8, u32)> {
        let [flag, length @ ..] = *self.begun.first_chunk::<PREFIX>()?;
        Some((flag, u32::from_be_bytes(length)))
    }

    fn gunzip(&self, packed: &[u8]) -> Result<Vec<u8>, Status> {
        let mut plain = Vec::new();
        let limit = u64::from(self.limit);
        let read = MultiGzDecoder::new(packed).take(limit + 1).read_to_end(&mut plain);
        read.map_err(|error| Status::internal(format!("a message cannot be unpacked: {error}")))?;
        if plain.len() as u64 > limit {
            return Err(Status::resource_exhausted(format!(
                "a message is larger than the {limit} bytes that are passed on, once it is unpacked"
            )));
        }
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;

    fn message(flag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![flag];
        bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(content);
        bytes
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(content).unwrap();
        packer.finish().unwrap()
    }

    proptest! {
        #[test]
        fn messages_come_out_plain_however_they_are_cut(
            messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..10),
            step in 1usize..40,
        ) {
            let body: Vec<u8> = messages
                .iter()
                .flat_map(|(packed, content)| if *packed { message(1, &gzip(content)) } else { message(0, content) })
                .collect();
            let wanted: Vec<u8> = messages.iter().flat_map(|(_, content)| message(0, content)).collect();
            let mut unpack = Unpack::new(300);
            let mut passed = Vec::new();
            for piece in body.chunks(step) {
                passed.extend(unpack.advance(piece).unwrap());
            }
            prop_assert!(!unpack.is_inside());
            prop_assert_eq!(passed, wanted);
        }
    }

    #[test]
    fn a_small_message_that_becomes_a_large_one_is_refused() {
        let bomb = gzip(&vec![0; 10_000_000]);
        let refused = Unpack::new(100_000).advance(&message(1, &bomb)).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    }

    #[test]
    fn what_is_not_packed_although_it_says_so_is_refused() {
        let refused = Unpack::new(100).advance(&message(1, b"hello")).unwrap_err();
        assert_eq!(refused.code(), Code::Internal, "{refused:?}");
    }
}
