//! Calls as they arrive from a connection.

use std::sync::Arc;

use jumpstarter::{
    Call, Result,
    describe::Interface,
    dispatch::{Answer, Args, Payload, Provided, Reply},
    types::{Bytes, Value},
    wire::{Wire, value},
};

/// A driver's side of an interface.
pub fn provide<T: crate::sample::Bench>(driver: T) -> Provided {
    crate::sample::BenchServer::shared(Arc::new(driver)).into_provided()
}

/// Calls by upstream's name, with positional values.
pub async fn legacy(provided: &Provided, export: &str, values: Vec<Value>) -> Result<Reply> {
    let method = provided.interface.by_export(export).unwrap_or(usize::MAX);
    provided.dispatch.call(method, Args::new(Payload::Values(values), Call::default())).await
}

/// Calls by the gRPC service's name, with a request's bytes.
pub async fn native(provided: &Provided, rpc: &str, request: Vec<u8>) -> Result<Reply> {
    let method = provided.interface.by_rpc(rpc).unwrap_or(usize::MAX);
    provided.dispatch.call(method, Args::new(Payload::Proto(request.into()), Call::default())).await
}

/// The one value of an answer.
pub fn unary(reply: Reply) -> Answer {
    match reply {
        Reply::Unary(answer) => answer,
        other => panic!("not one value: {other:?}"),
    }
}

/// As upstream's calls carry it.
pub fn unary_value(reply: Reply) -> Value {
    unary(reply).into_value().unwrap()
}

/// As the response message.
pub fn unary_bytes(reply: Reply) -> Bytes {
    unary(reply).into_proto().unwrap()
}

/// A map.
pub fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    value::map(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// One field of a request.
pub fn field<T: Wire>(tag: u32, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(tag, &mut bytes);
    bytes
}

/// The parameter of a method.
pub fn param(
    interface: &'static Interface,
    method: &str,
    name: &str,
) -> &'static jumpstarter::describe::Param {
    let method = &interface.methods[interface.by_export(method).unwrap()];
    method.params.iter().find(|param| param.name == name).unwrap()
}
