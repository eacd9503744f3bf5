//! HTTP/2 by hand.

use std::io;

use loona_hpack::{Decoder, Encoder};
use tokio::io::{AsyncRead, AsyncReadExt};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITY: u8 = 32;

pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What unmodified 0.9.0 clients send with their first call, in order, `:authority` aside (recorded).
const CLIENT_FIELDS: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("grpc-accept-encoding", "identity, deflate, gzip"),
    ("user-agent", "grpc-python-asyncio/1.85.1 grpc-c/58.0.0 (linux; chttp2)"),
];

/// The fields of a call by an unmodified client.
pub(crate) fn call(path: &str, authority: &[u8]) -> Fields {
    let mut fields = vec![(b":path".to_vec(), path.into()), (b":authority".to_vec(), authority.to_vec())];
    fields.extend(
        CLIENT_FIELDS.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())),
    );
    fields
}

/// A header block as gRPC's C core writes the first one: literals with names, each entered into the table.
pub(crate) fn literals(fields: &Fields) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x40);
        for text in [name, value] {
            block.extend(loona_hpack::encoder::encode_integer(text.len(), 7));
            block.extend_from_slice(text);
        }
    }
    block
}

/// A header block that refers to the table wherever it can.
pub(crate) fn compressed(encoder: &mut Encoder<'_>, fields: &Fields) -> Vec<u8> {
    encoder.encode(fields.iter().map(|(name, value)| (&name[..], &value[..])))
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A gRPC message in one DATA frame.
pub(crate) fn message(stream: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    let mut payload = vec![0];
    payload.extend(u32::try_from(bytes.len()).expect("a short message").to_be_bytes());
    payload.extend_from_slice(bytes);
    frame(DATA, flags, stream, &payload)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// Reads one frame; `None` at the end.
pub(crate) async fn read_frame(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; 9];
    match io.read_exact(&mut head).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    };
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    io.read_exact(&mut payload).await?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Ok(Some(Frame { kind: head[3], flags: head[4], stream, payload }))
}

/// Reads everything as frames, after the preface.
pub(crate) async fn read_frames(mut bytes: &[u8]) -> Vec<Frame> {
    bytes = bytes.strip_prefix(PREFACE).expect("a preface");
    let mut frames = Vec::new();
    while let Some(frame) = read_frame(&mut bytes).await.expect("whole frames") {
        frames.push(frame);
    }
    frames
}

/// Puts the header blocks of a connection together and decompresses them.
pub(crate) struct Blocks {
    table: Decoder<'static>,
    block: Vec<u8>,
}

impl Blocks {
    pub(crate) fn new() -> Self {
        Self { table: Decoder::new(), block: Vec::new() }
    }

    /// Takes a frame; returns the fields when it completes a block.
    pub(crate) fn take(&mut self, frame: &Frame) -> Option<Fields> {
        assert!(matches!(frame.kind, HEADERS | CONTINUATION));
        assert_eq!(frame.flags & PADDED, 0, "padding is not expected");
        let skip = if frame.kind == HEADERS && frame.flags & PRIORITY != 0 { 5 } else { 0 };
        self.block.extend_from_slice(&frame.payload[skip..]);
        (frame.flags & END_HEADERS != 0).then(|| {
            let fields = self.table.decode(&self.block).expect("a well-formed block");
            self.block.clear();
            fields
        })
    }
}

/// The value of a field.
pub(crate) fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let (_, value) = fields.iter().find(|(known, _)| known == name.as_bytes())?;
    Some(std::str::from_utf8(value).expect("text"))
}
