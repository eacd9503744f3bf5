//! HTTP/2 frames: nine bytes of header and a payload (RFC 9113, section 4).

use std::io;

use bytes::Bytes;

/// What a client sends before its first frame.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length of a frame's header.
pub const HEADER: usize = 9;

/// Flags of frames. `ACK` shares its bit with `END_STREAM`, on other kinds.
pub mod flags {
    /// The sender's direction ends with this frame.
    pub const END_STREAM: u8 = 0x1;
    /// Answers a SETTINGS or PING frame.
    pub const ACK: u8 = 0x1;
    /// No CONTINUATION follows.
    pub const END_HEADERS: u8 = 0x4;
    /// The payload starts with the length of its padding.
    pub const PADDED: u8 = 0x8;
    /// The payload starts with a priority.
    pub const PRIORITY: u8 = 0x20;
}

/// The kind of a frame: an open set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// Bytes of a stream.
    pub const DATA: Self = Self(0);
    /// A header block, or its beginning.
    pub const HEADERS: Self = Self(1);
    /// The immediate end of a stream.
    pub const RST_STREAM: Self = Self(3);
    /// Settings, or their acknowledgement.
    pub const SETTINGS: Self = Self(4);
    /// A question whether the peer is there.
    pub const PING: Self = Self(6);
    /// The end of the connection.
    pub const GOAWAY: Self = Self(7);
    /// More room for bytes.
    pub const WINDOW_UPDATE: Self = Self(8);
    /// The rest of a header block.
    pub const CONTINUATION: Self = Self(9);
}

/// The name of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting(pub u16);

impl Setting {
    /// Whether servers may push.
    pub const ENABLE_PUSH: Self = Self(2);
    /// Streams that the peer may have open.
    pub const MAX_CONCURRENT_STREAMS: Self = Self(3);
    /// Bytes that a new stream may carry before it needs more room.
    pub const INITIAL_WINDOW_SIZE: Self = Self(4);
    /// Largest payload of a frame.
    pub const MAX_FRAME_SIZE: Self = Self(5);
    /// Largest header block, decoded.
    pub const MAX_HEADER_LIST_SIZE: Self = Self(6);
    /// grpcio's own.
    pub const GRPC_ALLOW_TRUE_BINARY_METADATA: Self = Self(0xfe03);

    /// This setting with a value.
    #[must_use]
    pub fn to(self, value: u32) -> (Self, u32) {
        (self, value)
    }
}

/// One frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// See [`flags`].
    pub flags: u8,
    /// The stream it belongs to; 0 for the connection.
    pub stream: u32,
    /// Everything after the header.
    pub payload: Bytes,
}

impl Frame {
    /// A frame from its parts.
    #[must_use]
    pub fn new(kind: Kind, flags: u8, stream: u32, payload: Bytes) -> Self {
        Self { kind, flags, stream, payload }
    }

    /// A SETTINGS frame.
    #[must_use]
    pub fn settings(settings: &[(Setting, u32)]) -> Self {
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| name.0.to_be_bytes().into_iter().chain(value.to_be_bytes()))
            .collect();
        Self::new(Kind::SETTINGS, 0, 0, payload.into())
    }

    /// A WINDOW_UPDATE frame.
    #[must_use]
    pub fn window_update(stream: u32, increment: u32) -> Self {
        Self::new(Kind::WINDOW_UPDATE, 0, stream, Bytes::copy_from_slice(&increment.to_be_bytes()))
    }

    /// A frame from its header (nine bytes) and its payload.
    #[must_use]
    pub fn parse(header: &[u8], payload: Bytes) -> Self {
        Self::new(Kind(header[3]), header[4], number(&header[5..9]) & 0x7fff_ffff, payload)
    }

    /// The frame as it goes over the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut out = Vec::with_capacity(HEADER + self.payload.len());
        out.extend_from_slice(&length[1..]);
        out.extend_from_slice(&[self.kind.0, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.payload);
        out
    }

    /// The payload of a DATA frame without its padding.
    pub fn data(&self) -> io::Result<Bytes> {
        let mut payload = self.payload.clone();
        if self.flags & flags::PADDED != 0 {
            let padding = payload.first().copied().map_or(0, usize::from);
            let end = payload.len().checked_sub(padding).filter(|end| *end >= 1);
            payload = payload.slice(1..end.ok_or_else(|| io::Error::other("a frame is all padding"))?);
        }
        Ok(payload)
    }

    /// The header block (or its beginning) of a HEADERS frame.
    pub fn header_block(&self) -> io::Result<Bytes> {
        let block = self.data()?;
        if self.flags & flags::PRIORITY == 0 {
            return Ok(block);
        }
        if block.len() < 5 { Err(io::Error::other("a priority is cut short")) } else { Ok(block.slice(5..)) }
    }
}

/// The length of the payload, from a frame's header.
#[must_use]
pub fn length(header: &[u8]) -> usize {
    header[..3].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

/// The first four bytes as a number; 0 when there are fewer.
#[must_use]
pub fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The entries of a SETTINGS frame.
pub fn settings(payload: &[u8]) -> impl Iterator<Item = (Setting, u32)> + '_ {
    payload
        .chunks_exact(6)
        .map(|entry| (Setting(u16::from_be_bytes([entry[0], entry[1]])), number(&entry[2..])))
}
