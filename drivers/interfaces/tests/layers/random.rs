//! Random values of every interface: into our types, out as bytes, through prost-reflect with the committed `.proto` files,
//! and back.

use jumpstarter_core::{
    describe::Role,
    dispatch::{Answer, Language, Payload},
};
use proptest::test_runner::{Config, TestRunner};
use prost::Message as _;
use prost_types::{Value, value::Kind};

use super::{
    golden::{check_answer, check_request},
    hosting::{Subject, everything},
    values::{any_value, sample},
};

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() })
}

fn requests(subject: Subject, index: usize) {
    let method = &subject.interface.methods[index];
    let wire = method.params.iter().filter(|param| param.role != Role::Injected);
    let arguments: Vec<_> = wire.map(|param| any_value(param.ty, 3)).collect();
    let files = method.has_resource();
    let result = sample(method.ret, "result");
    let run = runner().run(&arguments, |values| {
        let bytes = subject.native_request(index, values.clone(), &result);
        let theirs = check_request(subject, method, &bytes, &values).encode_to_vec();
        // The handle of a file is put behind everything else, where others put it in the order of the numbers.
        assert!(files || theirs == bytes, "{}: {theirs:?} is not {bytes:?}", method.export);
        let back = subject.legacy_request(index, Payload::Proto(theirs.into()), &result);
        let straight = subject.legacy_request(index, Payload::Values(values), &result);
        assert_eq!(told(back), told(straight), "{}", method.export);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{}.{}: {error}", subject.interface.name, method.export));
}

/// A map that is absent and an empty one are the same bytes, and so the same to whoever reads them; at the end, neither is
/// sent.
fn told(values: Vec<Value>) -> Vec<Value> {
    let empty = |value: &Value| match &value.kind {
        Some(Kind::StructValue(map)) => map.fields.is_empty(),
        Some(Kind::NullValue(_)) | None => true,
        _ => false,
    };
    let null = || Value { kind: Some(Kind::NullValue(0)) };
    let mut told: Vec<_> =
        values.into_iter().map(|value| if empty(&value) { null() } else { value }).collect();
    while told.last().is_some_and(empty) {
        told.pop();
    }
    told
}

fn answers(subject: Subject, index: usize) {
    let method = &subject.interface.methods[index];
    let arguments: Vec<_> = method.params.iter().map(|param| sample(param.ty, param.name)).collect();
    let call = |answer| subject.call(index, Language::Native, Payload::Values(arguments.clone()), answer).1;
    let values = any_value(method.ret, 3);
    let run = runner().run(&values, |value| {
        let bytes = call(Answer::Value(value.clone())).into_proto().expect("bytes");
        let theirs = check_answer(subject, method, &bytes, &value).encode_to_vec();
        assert_eq!(theirs, bytes, "{}", method.export);
        let back = call(Answer::Proto(theirs.into())).into_value().expect("a value");
        let straight = call(Answer::Value(value)).into_value().expect("a value");
        assert_eq!(back, straight, "{}", method.export);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{}.{}: {error}", subject.interface.name, method.export));
}

#[test]
fn random_requests_survive_another_implementation() {
    for subject in everything() {
        subject.calls().for_each(|index| requests(subject, index));
    }
}

#[test]
fn random_answers_survive_another_implementation() {
    for subject in everything() {
        subject.calls().for_each(|index| answers(subject, index));
    }
}
