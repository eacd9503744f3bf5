//! Both wire languages reach the same method, and a client of one process is a third way.

use jumpstarter::{
    Delay, ErrorKind, Sink, Source,
    dispatch::Reply,
    wire::value::{null, number, text},
};

use crate::{
    sample::{Bench, BenchClient, MemoryBench, Piece, Side},
    support::{field, legacy, map, native, provide, unary_bytes, unary_value},
};

#[jumpstarter::test]
async fn both_languages_reach_the_trait() {
    let bench = provide(MemoryBench::default());
    let answer = legacy(&bench, "set_limit", vec![text("a"), number(2.5), number(3.0)]).await.unwrap();
    assert_eq!(unary_value(answer), text("a 2.5 Some(3)"));

    let request = [field(1, &"a".to_owned()), field(2, &2.5), field(3, &3_i64)].concat();
    let answer = native(&bench, "SetLimit", request).await.unwrap();
    assert_eq!(unary_bytes(answer), field(1, &"a 2.5 Some(3)".to_owned()));
}

#[jumpstarter::test]
async fn a_method_is_reached_by_its_former_name_in_both_languages() {
    let bench = provide(MemoryBench::default());
    let piece = Piece { stream: 1, text: "x".to_owned(), code: None };
    let values = vec![jumpstarter::wire::Wire::to_value(&piece).unwrap(), text("host")];
    let now = unary_value(legacy(&bench, "echo", values.clone()).await.unwrap());
    assert_eq!(unary_value(legacy(&bench, "old_echo", values).await.unwrap()), now);
    let request = [field(1, &piece), field(2, &Side::Host)].concat();
    let now = unary_bytes(native(&bench, "Echo", request.clone()).await.unwrap());
    assert_eq!(unary_bytes(native(&bench, "OldEcho", request).await.unwrap()), now);
}

#[jumpstarter::test]
async fn pitfall_v4_an_absent_argument_is_its_default_and_null_is_not() {
    let bench = provide(MemoryBench::default());
    let absent = legacy(&bench, "set_limit", vec![text("a")]).await.unwrap();
    assert_eq!(unary_value(absent), text("a 1.5 None"));
    let absent = native(&bench, "SetLimit", field(1, &"a".to_owned())).await.unwrap();
    assert_eq!(unary_bytes(absent), field(1, &"a 1.5 None".to_owned()));
    // Zero is a value, not an absence.
    let zero =
        native(&bench, "SetLimit", [field(1, &"a".to_owned()), field(2, &0.0)].concat()).await.unwrap();
    assert_eq!(unary_bytes(zero), field(1, &"a 0 None".to_owned()));
    // Null means nothing to an optional parameter, and is wrong for any other.
    let none = legacy(&bench, "set_limit", vec![text("a"), number(1.0), null()]).await.unwrap();
    assert_eq!(unary_value(none), text("a 1 None"));
    let error = legacy(&bench, "set_limit", vec![text("a"), null()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.message(), "argument `amps` of set_limit: expected a number, got null");
}

/// In upstream's calls the place is the contract; in native ones the field's number is, in whatever order they come.
#[jumpstarter::test]
async fn pitfall_v5_arguments_go_by_place_or_by_number_and_never_by_guessing() {
    let bench = provide(MemoryBench::default());
    // The types would fit the other way round as well, for a reader that guesses.
    let error = legacy(&bench, "set_limit", vec![number(2.5), text("a")]).await.unwrap_err();
    assert_eq!(error.message(), "argument `channel` of set_limit: expected text, got 2.5");
    let places: Vec<_> = bench.interface.methods[bench.interface.by_export("set_limit").unwrap()]
        .params
        .iter()
        .map(|param| (param.name, param.tag))
        .collect();
    assert_eq!(places, [("channel", 1), ("amps", 2), ("steps", 3)]);
    let shuffled = [field(3, &3_i64), field(1, &"a".to_owned()), field(2, &2.5)].concat();
    let answer = native(&bench, "SetLimit", shuffled).await.unwrap();
    assert_eq!(unary_bytes(answer), field(1, &"a 2.5 Some(3)".to_owned()));
}

#[jumpstarter::test]
async fn pitfall_v1_wrong_arguments_are_named() {
    let bench = provide(MemoryBench::default());
    let error = legacy(&bench, "set_limit", vec![text("a"), number(1.0), number(1.5)]).await.unwrap_err();
    assert_eq!(error.message(), "argument `steps` of set_limit: expected a whole number, got 1.5");
    let error = legacy(&bench, "set_limit", vec![]).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::ArgumentCount, "argument `channel` of set_limit: missing")
    );
    let error = legacy(&bench, "set_limit", vec![text("a"), number(1.0), null(), null()]).await.unwrap_err();
    assert_eq!(error.message(), "set_limit() takes at most 3 arguments, got 4");
    let error = legacy(&bench, "on", vec![null()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ArgumentCount);
    let error = legacy(&bench, "no_such_method", vec![]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MethodNotFound);
}

#[jumpstarter::test]
async fn text_defaults_are_read_as_the_type_reads_text() {
    let bench = provide(MemoryBench::default());
    let answer = legacy(&bench, "wait_for", vec![]).await.unwrap();
    assert_eq!(unary_value(answer), text("PT0.5S"));
    let answer = legacy(&bench, "wait_for", vec![number(2.0)]).await.unwrap();
    assert_eq!(unary_value(answer), text("PT2S"));
    let client = BenchClient::local(MemoryBench::default());
    let delay: Delay = "1m".parse().unwrap();
    assert_eq!(client.wait_for(delay).await.unwrap(), delay);
}

#[jumpstarter::test]
async fn rest_collects_what_is_left_in_both_languages() {
    let bench = provide(MemoryBench::default());
    let piece = |said: &str| value_list([number(1.0), text(said), number(0.0)]);
    let answer = legacy(&bench, "call_method", vec![text("x"), text("1"), text("2")]).await.unwrap();
    assert_eq!(unary_value(answer), piece("x 1+2"));
    let none = legacy(&bench, "call_method", vec![text("x")]).await.unwrap();
    assert_eq!(unary_value(none), piece("x "));
    let rest = vec!["1".to_owned(), "2".to_owned()];
    let request = [field(1, &"x".to_owned()), field(2, &rest)].concat();
    let answer = native(&bench, "CallMethod", request).await.unwrap();
    let expected = Piece { stream: 1, text: "x 1+2".into(), code: Some(0) };
    assert_eq!(jumpstarter::wire::decode_result::<Piece>(unary_bytes(answer)), Ok(expected.clone()));
    let client = BenchClient::local(MemoryBench::default());
    assert_eq!(client.call_method("x".into(), rest).await.unwrap(), expected);
}

fn value_list<const N: usize>(values: [jumpstarter::types::Value; N]) -> jumpstarter::types::Value {
    jumpstarter::wire::value::list(values.into())
}

#[jumpstarter::test]
async fn list_messages_are_lists_for_older_peers_and_enums_are_text() {
    let bench = provide(MemoryBench::default());
    let arguments = vec![value_list([number(2.0), text("out")]), text("dut")];
    let answer = legacy(&bench, "echo", arguments.clone()).await.unwrap();
    assert_eq!(unary_value(answer), map([("out", value_list([text("dut"), text("not_connected")]))]));
    let by_old_name = legacy(&bench, "old_echo", arguments).await.unwrap();
    assert_eq!(unary_value(by_old_name), map([("out", value_list([text("dut"), text("not_connected")]))]));
    let by_number =
        legacy(&bench, "echo", vec![value_list([number(2.0), text("out")]), number(9.0)]).await.unwrap();
    assert_eq!(
        unary_value(by_number),
        map([("out", value_list([text("not_connected"), text("not_connected")]))])
    );
    let error =
        legacy(&bench, "echo", vec![value_list([number(2.0), text("out")]), text("moon")]).await.unwrap_err();
    assert_eq!(
        error.message(),
        "argument `side` of echo: expected one of host, dut, not_connected, got the text \"moon\""
    );
    let error = native(&bench, "Echo", field(1, &Piece { stream: 1, text: String::new(), code: None }))
        .await
        .unwrap_err();
    assert_eq!(error.message(), "argument `side` of echo: missing");
}

#[jumpstarter::test]
async fn streams_end_with_their_last_value() {
    let bench = BenchClient::local(MemoryBench::default());
    bench.on().await.unwrap();
    let readings = bench.read(3).await.unwrap().collect().await.unwrap();
    assert_eq!(readings.len(), 3);
    assert!(readings.iter().all(|reading| reading.voltage > 4.0 && reading.place == "back"));
}

#[jumpstarter::test]
async fn files_are_handed_over_within_a_process() {
    let bench = BenchClient::local(MemoryBench::default());
    assert_eq!(bench.flash(Source::from_bytes("image"), Some("xy".into())).await.unwrap(), 7);
    let (sink, image) = Sink::to_memory();
    bench.dump(sink, None).await.unwrap();
    assert_eq!(image.await.unwrap(), "image");
}

#[jumpstarter::test]
async fn a_client_is_an_implementation_and_can_be_hosted_again() {
    fn add<T: Bench>(bench: &T) -> i64 {
        bench.add(2, 3).unwrap()
    }
    let client = BenchClient::local(MemoryBench::default());
    assert_eq!(add(&client), 5);
    let again = BenchClient::local(client);
    assert_eq!(again.add(2, 3).await.unwrap(), 5);
    assert_eq!(add(&again), 5);
    assert_eq!(
        Bench::flash(&again, Source::from_bytes("abc"), None, jumpstarter::Call::default()).await.unwrap(),
        3
    );
}

#[jumpstarter::test]
async fn a_method_with_a_body_is_optional_and_says_unsupported() {
    let bench = provide(MemoryBench::default());
    let error = legacy(&bench, "rescue", vec![text("now")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[jumpstarter::test]
async fn an_exclusive_call_lasts_until_its_stream_ends() {
    let bench = provide(MemoryBench::default());
    let Reply::Stream(first) = legacy(&bench, "alone", vec![]).await.unwrap() else { panic!("not a stream") };
    let error = legacy(&bench, "alone", vec![]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    // Other methods go on.
    legacy(&bench, "on", vec![]).await.unwrap();
    drop(first);
    legacy(&bench, "alone", vec![]).await.unwrap();
}

#[jumpstarter::test]
async fn nested_messages_survive_both_languages() {
    let bench = provide(MemoryBench::default());
    let root = crate::sample::Partition { name: "a".into(), inner: Vec::new(), side: Some(Side::Host) };
    let request = field(1, &root);
    let answer = native(&bench, "Layout", request).await.unwrap();
    let layout: crate::sample::Partition = jumpstarter::wire::decode_result(unary_bytes(answer)).unwrap();
    assert_eq!((layout.inner, layout.side), (vec![root], Some(Side::Dut)));
    let root = map([("name", text("a")), ("inner", value_list([])), ("side", text("host"))]);
    let answer = legacy(&bench, "layout", vec![root.clone()]).await.unwrap();
    let expected = map([("name", text("outer")), ("inner", value_list([root])), ("side", text("dut"))]);
    assert_eq!(unary_value(answer), expected);
}
