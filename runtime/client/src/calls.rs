//! Calls without generated code: by the method's name, with positional values. For command lines, and for interfaces that
//! are known only by their description.
//!
//! They go through upstream's calls, which every exporter answers.

use jumpstarter_core::{
    Error, ErrorKind, Io, Result, Stream,
    describe::{Framing, Kind},
    dispatch::{Answer, Attached, Reply},
    wire::value,
};
use jumpstarter_protocol::v1::{DriverCallRequest, StreamingDriverCallRequest, StreamingDriverCallResponse};
use jumpstarter_transport::status::{self, Call};
use prost_types::Value;
use serde_json::json;
use tonic::Request;

use crate::{
    Device, duplex,
    remote::{Instance, alongside, stream_request, with_files},
    resource::Pumps,
    wire::{self, Dialect},
};

impl Device {
    /// Calls a method with one answer. A method without a result answers null.
    ///
    /// # Errors
    /// What the driver or the connection reports; [`ErrorKind::MethodNotFound`] when there is no such method.
    pub async fn call_values(&self, method: &str, args: Vec<Value>) -> Result<Value> {
        match self.call_with_files(method, Kind::Unary, args, Vec::new()).await? {
            Reply::Unary(answer) => answer.into_value(),
            _ => Err(other_kind()),
        }
    }

    /// Calls a method with many answers. Returns at once; a failure comes as the stream's only item.
    ///
    /// # Errors
    /// When the call cannot be sent.
    pub async fn stream_values(&self, method: &str, args: Vec<Value>) -> Result<Stream<Value>> {
        match self.call_with_files(method, Kind::ServerStream, args, Vec::new()).await? {
            Reply::Stream(answers) => Ok(answers.map(Answer::into_value)),
            _ => Err(other_kind()),
        }
    }

    /// Opens a byte stream; most drivers call theirs `connect`. One piece is one message, in both directions.
    ///
    /// # Errors
    /// When the driver cannot open it, as far as the exporter says so in time, see
    /// [`Patience`](crate::Patience::stream).
    pub async fn open_stream(&self, method: &str) -> Result<Io> {
        match self.call_with_files(method, Kind::Bytes, Vec::new(), Vec::new()).await? {
            Reply::Bytes(io) => Ok(io),
            _ => Err(other_kind()),
        }
    }

    /// Calls any method, with files in place of some arguments: each file takes the position that stands beside it,
    /// which `args` fills with null.
    ///
    /// # Errors
    /// What the driver, the connection or a file reports.
    pub async fn call_with_files(
        &self,
        method: &str,
        kind: Kind,
        mut args: Vec<Value>,
        files: Vec<(usize, Attached)>,
    ) -> Result<Reply> {
        let instance = self.instance();
        let pumps = Pumps::start(instance, files, |index, handle| {
            if args.len() <= index {
                args.resize_with(index + 1, value::null);
            }
            if let Some(slot) = args.get_mut(index) {
                *slot = handle.to_value();
            }
        })
        .await?;
        make(instance, method, kind, Framing::Messages, args, pumps).await
    }
}

fn other_kind() -> Error {
    Error::internal("a call was answered in another way than it was made")
}

/// Byte streams have no place for arguments.
pub(crate) fn no_arguments(method: &str) -> Error {
    Error::new(
        ErrorKind::ArgumentCount,
        format!("{method} is a byte stream, and those take no arguments over a connection"),
    )
}

/// Makes one of upstream's calls.
pub(crate) async fn make(
    instance: &Instance,
    method: &str,
    kind: Kind,
    framing: Framing,
    args: Vec<Value>,
    pumps: Option<Pumps>,
) -> Result<Reply> {
    let (uuid, name) = (instance.uuid.clone(), method.to_owned());
    match kind {
        Kind::Unary => {
            let mut exporter = instance.connection.exporter()?;
            let mut request = Request::new(DriverCallRequest { uuid, method: name, args });
            instance.ask_for_kinds(request.metadata_mut());
            let call = async {
                let answer = exporter.driver_call(request).await;
                answer.map_err(|status| status::from_status(&status, Call::Unary))
            };
            let answer = alongside(pumps, call).await?.into_inner();
            Ok(Reply::Unary(Answer::Value(answer.result.unwrap_or_else(value::null))))
        }
        Kind::ServerStream => {
            let mut exporter = instance.connection.exporter()?;
            let mut request = Request::new(StreamingDriverCallRequest { uuid, method: name, args });
            instance.ask_for_kinds(request.metadata_mut());
            let call = async move { exporter.streaming_driver_call(request).await };
            let convert = |answer: StreamingDriverCallResponse| {
                Answer::Value(answer.result.unwrap_or_else(value::null))
            };
            let answers = wire::start(call, Call::Streaming, convert).await?;
            Ok(Reply::Stream(with_files(answers, pumps)))
        }
        Kind::Bytes => {
            if !args.is_empty() {
                return Err(no_arguments(method));
            }
            let mut metadata = stream_request(&json!({"kind": "driver", "uuid": uuid, "method": name}))?;
            instance.ask_for_kinds(&mut metadata);
            let channel = instance.connection.channel()?;
            let patience = instance.connection.patience().stream;
            Ok(Reply::Bytes(
                duplex::open(&channel, metadata, Dialect::Frames, framing, patience, pumps).await?,
            ))
        }
    }
}
