//! Bytes of one request and one answer of each method, in both wire languages, from values that are the same every time.
//! What they mean is decided by others: prost-reflect with the committed `.proto` files, and upstream's own messages.

use std::fmt::Write as _;

use jumpstarter_core::{
    describe::{Framing, Kind, Method, Role, Type},
    dispatch::{Answer, Language, Payload},
    wire::value::null,
};
use jumpstarter_protocol::v1::{DriverCallRequest, DriverCallResponse, FrameType, StreamRequest};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use prost_types::Value;

use super::{
    hosting::{Subject, everything, handle},
    proto::messages,
    values::{same, same_field, same_message, sample},
};

/// The instance that is called.
const UUID: &str = "00000000-0000-4000-8000-000000000001";

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "(nothing)".to_owned();
    }
    jumpstarter_core::resource::hex(bytes)
}

fn arguments(method: &Method) -> Vec<Value> {
    let wire = method.params.iter().filter(|param| param.role != Role::Injected);
    wire.map(|param| sample(param.ty, param.name)).collect()
}

/// Decodes a request by the committed files, and compares every argument.
pub(crate) fn check_request(
    subject: Subject,
    method: &Method,
    bytes: &[u8],
    values: &[Value],
) -> DynamicMessage {
    let theirs = DynamicMessage::decode(messages(subject, method.rpc).0, bytes).expect("they read ours");
    assert_eq!(theirs.unknown_fields().count(), 0, "{}", method.export);
    for (param, value) in method.params.iter().zip(values) {
        if param.role == Role::Wire {
            assert!(
                same_field(param.ty, param.name, value, &theirs),
                "{}: {} is {value:?} in {theirs}",
                method.export,
                param.name
            );
        } else {
            let field = theirs.get_field_by_name(param.name).expect("a field");
            assert_eq!(field.as_str(), Some(handle().to_json().as_str()));
        }
    }
    theirs
}

/// Decodes an answer by the committed files, and compares it.
pub(crate) fn check_answer(subject: Subject, method: &Method, bytes: &[u8], value: &Value) -> DynamicMessage {
    let theirs = DynamicMessage::decode(messages(subject, method.rpc).1, bytes).expect("they read ours");
    assert_eq!(theirs.unknown_fields().count(), 0, "{}", method.export);
    let equal = match method.ret {
        Type::Unit => bytes.is_empty(),
        Type::Message(spec) => same_message(spec(), value, &theirs),
        ty if matches!(ty, Type::Opt(_)) => same_field(ty, "value", value, &theirs),
        ty => same(ty, value, &theirs.get_field_by_name("value").expect("a field")),
    };
    assert!(equal, "{}: {value:?} is not {theirs}", method.export);
    theirs
}

fn one(subject: Subject, index: usize, out: &mut String) {
    let method = &subject.interface.methods[index];
    let (values, result) = (arguments(method), sample(method.ret, "result"));

    let native = subject.native_request(index, values.clone(), &result);
    check_request(subject, method, &native, &values);

    let args = subject.legacy_request(index, Payload::Values(values.clone()), &result);
    let request = DriverCallRequest { uuid: UUID.to_owned(), method: method.export.to_owned(), args };
    let legacy = request.encode_to_vec();
    let read = DriverCallRequest::decode(legacy.as_slice()).expect("upstream's message");
    let values_sent = subject.positions(index, values.clone());
    for (index, param) in method.params.iter().enumerate() {
        let values = &values_sent;
        let expected = if param.role == Role::Wire { values[index].clone() } else { handle().to_value() };
        // A tail of defaults is not sent: older drivers do not know it.
        let Some(sent) = read.args.get(index) else {
            assert_eq!(
                param.default.map(|default| default()),
                Some(expected),
                "{}: {}",
                method.export,
                param.name
            );
            continue;
        };
        assert_eq!(*sent, expected, "{}: {}", method.export, param.name);
    }

    let typed = |language| {
        let payload = Payload::Values(values.clone());
        let answer = Answer::Value(result.clone());
        subject.call(index, language, payload, answer).1
    };
    let answer = typed(Language::Native).into_proto().expect("bytes");
    check_answer(subject, method, &answer, &result);
    let value = typed(Language::Legacy).into_value().expect("a value");
    let response = DriverCallResponse { uuid: UUID.to_owned(), result: Some(value) };
    let legacy_answer = response.encode_to_vec();
    let read = DriverCallResponse::decode(legacy_answer.as_slice()).expect("upstream's message");
    assert_eq!(read.result.unwrap_or_else(null), result, "{}", method.export);

    let _ = write!(
        out,
        "{}\n  request, native  {}\n  request, legacy  {}\n  answer, native   {}\n  answer, legacy   {}\n",
        method.export,
        hex(&native),
        hex(&legacy),
        hex(&answer),
        hex(&legacy_answer)
    );
}

/// A byte stream has pieces in place of requests and answers; both directions are the same.
fn bytes(subject: Subject, method: &Method, out: &mut String) {
    let (input, output) = messages(subject, method.rpc);
    assert_eq!(input, output);
    let piece = b"\x0a\x04ping";
    let theirs = DynamicMessage::decode(input, piece.as_slice()).expect("a piece");
    assert_eq!(
        theirs.get_field_by_name("payload").expect("a field").as_bytes().map(AsRef::as_ref),
        Some(b"ping".as_slice())
    );
    let frame = StreamRequest { payload: "ping".into(), frame_type: FrameType::Data.into() };
    let borders = if method.framing == Framing::Messages { "messages" } else { "bytes" };
    let _ = write!(
        out,
        "{}\n  {borders}, native  {}\n  {borders}, legacy  {}\n",
        method.export,
        hex(piece),
        hex(&frame.encode_to_vec())
    );
}

#[test]
fn every_method_sends_the_bytes_that_were_reviewed() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for subject in everything() {
            let mut out = String::new();
            for (index, method) in subject.interface.methods.iter().enumerate() {
                if method.kind == Kind::Bytes {
                    bytes(subject, method, &mut out);
                } else {
                    one(subject, index, &mut out);
                }
            }
            insta::assert_snapshot!(format!("bytes@{}", subject.interface.name), out);
        }
    });
}
