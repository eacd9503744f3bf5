//! Random values of every interface: into our types, out as bytes, through prost-reflect with the committed `.proto` files,
//! and back.

use jumpstarter_core::{
    describe::{Role, Type},
    dispatch::{Answer, Language, Payload},
    wire::value::{is_null, null},
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
    let types: Vec<_> =
        method.params.iter().filter(|param| param.role != Role::Injected).map(|param| param.ty).collect();
    let arguments: Vec<_> = types.iter().map(|ty| any_value(*ty, 3)).collect();
    let files = method.has_resource();
    let result = sample(method.ret, "result");
    let run = runner().run(&arguments, |values| {
        let bytes = subject.native_request(index, values.clone(), &result);
        let theirs = check_request(subject, method, &bytes, &values).encode_to_vec();
        // The handle of a file is put behind everything else, where others put it in the order of the numbers.
        assert!(files || theirs == bytes, "{}: {theirs:?} is not {bytes:?}", method.export);
        let back = subject.legacy_request(index, Payload::Proto(theirs.into()), &result);
        let straight = subject.legacy_request(index, Payload::Values(values), &result);
        assert_eq!(told(&types, back), told(&types, straight), "{}", method.export);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{}.{}: {error}", subject.interface.name, method.export));
}

/// A map that is absent and an empty one are the same bytes, and so the same to whoever reads them; at the end, neither is
/// sent.
///
/// Of anything else, nothing is forgiven: a message of which all fields are absent is one that was sent.
fn told(types: &[Type], mut values: Vec<Value>) -> Vec<Value> {
    for (ty, value) in types.iter().zip(&mut values) {
        let map = matches!(ty, Type::Map(_) | Type::Opt(Type::Map(_)));
        if map && matches!(&value.kind, Some(Kind::StructValue(map)) if map.fields.is_empty()) {
            *value = null();
        }
    }
    while values.last().is_some_and(is_null) {
        values.pop();
    }
    values
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
