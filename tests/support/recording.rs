//! The recorded conversations, as they lie in `tests/compatibility/recordings`.
//!
//! Each file is one scenario: what the caller saw, and per connection what went over the wire, decoded into events that
//! are numbered (`seq`) in the order in which a relay half way between the two ends saw them.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use crate::http2::Headers;

/// One recorded scenario.
#[derive(Debug, Clone, Deserialize)]
pub struct Recording {
    /// Name of the scenario and of its file, without extension.
    pub scenario: String,
    /// What happens, in a sentence.
    pub description: String,
    /// The exporter's configuration file, beside the folder of recordings.
    pub exporter_config: String,
    /// `unix socket` or `tcp, cleartext`.
    pub transport: String,
    /// Who talked.
    pub upstream: Upstream,
    /// What the caller saw; its form depends on the kind of caller.
    pub client_view: Vec<serde_json::Value>,
    /// What went over the wire.
    pub connections: Vec<Connection>,
}

/// Versions of the recorded implementation.
#[derive(Debug, Clone, Deserialize)]
pub struct Upstream {
    /// Version of the package `jumpstarter`.
    pub jumpstarter: String,
    /// Version of the gRPC library.
    pub grpcio: String,
    /// Version of the protobuf library.
    pub protobuf: String,
}

/// One connection of a recording.
#[derive(Debug, Clone, Deserialize)]
pub struct Connection {
    /// Frames that belong to no RPC.
    pub frames: Vec<ConnectionFrame>,
    /// One RPC each, in the order in which they were opened.
    pub streams: Vec<Stream>,
}

/// A frame of the connection itself.
#[derive(Debug, Clone, Deserialize)]
pub struct ConnectionFrame {
    /// Who sent it.
    pub from: Side,
    /// Its kind.
    pub frame: String,
}

/// One RPC.
#[derive(Debug, Clone, Deserialize)]
pub struct Stream {
    /// Number of the HTTP/2 stream.
    #[serde(rename = "stream_id")]
    pub id: u32,
    /// `/package.Service/Method`.
    pub path: String,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// Something that one end sent.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// Position among all events of the connection.
    pub seq: u32,
    /// Who sent it.
    pub from: Side,
    /// What was sent.
    #[serde(flatten)]
    pub what: What,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The end that opens streams.
    Client,
    /// The end that answers them.
    Server,
}

/// The contents of an [`Event`].
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// The first header block.
    Headers {
        /// Names and values.
        headers: Headers,
    },
    /// One gRPC message without its prefix.
    Message(Message),
    /// The last header block of a server.
    Trailers {
        /// Names and values.
        headers: Headers,
        /// No headers came first.
        #[serde(default)]
        trailers_only: bool,
    },
    /// The sender's direction is over.
    EndStream {
        /// The frame that said so: `DATA` (the message before it), `empty DATA`, `HEADERS` (the trailers before it).
        on: String,
    },
    /// The stream was reset.
    RstStream {
        /// The HTTP/2 error code.
        error_code: u32,
    },
}

/// A recorded message.
#[derive(Debug, Clone, Deserialize)]
pub struct Message {
    /// Its length.
    pub bytes: usize,
    /// Its bytes, unless it was too long to be kept.
    #[serde(default, rename = "hex", deserialize_with = "from_hex")]
    pub content: Option<Bytes>,
    /// The first bytes of one that was too long.
    #[serde(default, rename = "hex_head", deserialize_with = "from_hex")]
    pub head: Option<Bytes>,
    /// What upstream's protobuf library made of it.
    #[serde(default, deserialize_with = "present")]
    pub json: Option<serde_json::Value>,
}

impl Message {
    /// The bytes. [`Recording::load`] has completed those that were not kept.
    pub fn content(&self) -> Bytes {
        self.content.clone().unwrap_or_default()
    }
}

/// A JSON `null` is a value here, not its absence.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(from).map(Some)
}

fn from_hex<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    let text = String::deserialize(from)?;
    hex(&text).map(Some).ok_or_else(|| serde::de::Error::custom(format!("not hexadecimal: {text:?}")))
}

/// Bytes from hexadecimal digits.
pub fn hex(text: &str) -> Option<Bytes> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// `tests/compatibility`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compatibility")
}

impl Recording {
    /// Names of all recordings, sorted.
    pub fn names() -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder().join("recordings"))? {
            let path = entry?.path();
            if let (Some(name), Some("json")) = (path.file_stem(), path.extension().and_then(|e| e.to_str()))
            {
                names.push(name.to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads a recording by name.
    pub fn load(name: &str) -> Result<Self, String> {
        let path = folder().join("recordings").join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut recording: Self =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        recording.complete()?;
        Ok(recording)
    }

    /// Fills in the messages of which only the head was kept. They are the frames of one file, transferred there and
    /// back in `lib_resource_upload_large`, and the scenario says how that file was made.
    fn complete(&mut self) -> Result<(), String> {
        let file: Vec<u8> = (0..=255_u8).cycle().take(256 * 1171).chain([b'x'; 224]).collect();
        let scenario = self.scenario.clone();
        for stream in self.connections.iter_mut().flat_map(|connection| &mut connection.streams) {
            let mut chunks = file.chunks(65_536);
            for event in &mut stream.events {
                let What::Message(message) = &mut event.what else { continue };
                let Some(head) = &message.head else { continue };
                let payload = chunks.next().unwrap_or_default();
                // Field 1 of a router frame, length-delimited.
                let mut content = vec![0x0a];
                prost::encode_length_delimiter(payload.len(), &mut content)
                    .map_err(|error| error.to_string())?;
                content.extend_from_slice(payload);
                if scenario != "lib_resource_upload_large"
                    || content.len() != message.bytes
                    || !content.starts_with(head)
                {
                    return Err(format!(
                        "{scenario}: the message at seq {} was not kept whole and does not fit its scenario's file",
                        event.seq
                    ));
                }
                message.content = Some(content.into());
            }
        }
        Ok(())
    }

    /// A stream of a connection by its number.
    pub fn stream(&self, connection: usize, id: u32) -> Option<&Stream> {
        self.connections.get(connection)?.streams.iter().find(|stream| stream.id == id)
    }
}

impl Connection {
    /// All events with their streams, in the order in which they passed.
    pub fn events(&self) -> Vec<(&Stream, &Event)> {
        let mut events: Vec<_> = self
            .streams
            .iter()
            .flat_map(|stream| stream.events.iter().map(move |event| (stream, event)))
            .collect();
        events.sort_by_key(|(_, event)| event.seq);
        events
    }
}

impl Stream {
    /// The header of that name that the client sent.
    pub fn request_header(&self, name: &str) -> Option<&str> {
        self.events.iter().find_map(|event| match (&event.what, event.from) {
            (What::Headers { headers }, Side::Client) => {
                headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
            }
            _ => None,
        })
    }

    /// The client's first message.
    pub fn request(&self) -> Option<&Message> {
        self.events.iter().find_map(|event| match (&event.what, event.from) {
            (What::Message(message), Side::Client) => Some(message),
            _ => None,
        })
    }

    /// The name of the RPC without its service.
    pub fn rpc(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}
