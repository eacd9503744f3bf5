//! What a description says.

use jumpstarter::{
    describe::{Exclusive, Framing, Kind, Role, Type},
    wire::value::{number, text},
};

use crate::{
    sample::{BENCH, BenchClient, BenchCommand, LAMP},
    support::param,
};

#[test]
fn names_come_from_the_trait_and_its_attribute() {
    assert_eq!(BENCH.full_service(), "jumpstarter.x.bench.v2.Bench");
    assert_eq!(BENCH.services().collect::<Vec<_>>(), ["jumpstarter.x.bench.v2.Bench", "old.Bench"]);
    assert_eq!(BENCH.doc, "A laboratory bench.\n\nIt has everything.");
    assert!(std::ptr::eq(BenchClient::describe(), &raw const BENCH));
    assert!(std::ptr::eq(BenchCommand::ENTRY.interface, &raw const BENCH));
    assert_eq!(LAMP.python, jumpstarter::driver::COMPOSITE_CLIENT);
}

#[test]
fn types_decide_what_a_method_is() {
    let kind = |export| BENCH.methods[BENCH.by_export(export).unwrap()].kind;
    assert_eq!((kind("on"), kind("read"), kind("talk")), (Kind::Unary, Kind::ServerStream, Kind::Bytes));
    let method = |export| &BENCH.methods[BENCH.by_export(export).unwrap()];
    assert_eq!(method("talk").framing, Framing::Messages);
    assert_eq!(method("alone").exclusive, Exclusive::Fail);
    assert_eq!(method("on").exclusive, Exclusive::No);
    assert_eq!(BENCH.by_rpc("OldEcho"), BENCH.by_export("echo"));
    assert!(matches!(method("echo").ret, Type::Map(Type::List(Type::Enum(_)))));
}

#[test]
fn parameters_have_roles_numbers_and_defaults() {
    let amps = param(&BENCH, "set_limit", "amps");
    assert_eq!(
        (amps.tag, amps.doc, amps.default.map(|default| default())),
        (2, "At most.", Some(number(1.5)))
    );
    assert_eq!(param(&BENCH, "wait_for", "delay").default.map(|default| default()), Some(text("PT0.5S")));
    assert_eq!(param(&BENCH, "flash", "source").role, Role::Source);
    assert_eq!(param(&BENCH, "dump", "target").role, Role::Sink);
    assert_eq!(param(&BENCH, "rescue", "mode").tag, 1);
    assert!(param(&BENCH, "call_method", "args").rest);
    let flash = &BENCH.methods[BENCH.by_export("flash").unwrap()];
    assert_eq!(flash.params.len(), 2, "what the runtime fills is not on the wire");
}
