//! Checks that need types, made while the author's crate is compiled: in constants, so that a mistake is an error at
//! the author's line. `track_caller` is what makes the compiler point there.

use prost_types::Value;

use crate::{
    command::Command,
    describe::{Interface, Kind, Method, Role, Type, same},
};

/// Refuses methods that no wire language can carry.
#[track_caller]
pub const fn method(method: Method) -> Method {
    let mut files = 0;
    let mut i = 0;
    while i < method.params.len() {
        let param = &method.params[i];
        if matches!(param.role, Role::Source | Role::Sink) {
            files += 1;
        }
        if param.default.is_some() && matches!(param.ty, Type::Opt(_) | Type::List(_) | Type::Map(_)) {
            panic!(
                "an option, list or map cannot have a default: an empty one is not sent, so it could not be told from an absent one; leave `#[default]` out and let the method decide"
            );
        }
        i += 1;
    }
    assert!(
        files <= 1,
        "one `Source` or `Sink` per method: a client attaches one file to a call; split the method in two"
    );
    match method.kind {
        Kind::Unary => {}
        Kind::ServerStream => assert!(
            files == 0,
            "a method that returns `Stream<…>` takes no `Source` or `Sink`: the handle of a file belongs to a single call and answer"
        ),
        Kind::Bytes => assert!(
            method.params.is_empty(),
            "a byte stream takes no arguments: `Io` methods have only `&self`, because older clients cannot send any; put them into the configuration or a method of their own"
        ),
    }
    method
}

/// Passes on the role of a parameter that comes from the wire.
#[track_caller]
pub const fn on_wire(role: Role) -> Role {
    assert!(
        !matches!(role, Role::Injected),
        "the runtime fills this parameter: write `#[inject]` before its name"
    );
    role
}

/// Checks a parameter with `#[inject]`.
#[track_caller]
pub const fn injected(role: Role) {
    assert!(
        matches!(role, Role::Injected),
        "`#[inject]` is for what the runtime fills, such as `Call`: remove it, this type comes from the caller"
    );
}

/// Checks a parameter without default behind one that has a default; `message` names it.
#[track_caller]
pub const fn must_not_follow_default(ty: Type, message: &'static str) -> Option<fn() -> Value> {
    if !matches!(ty, Type::Opt(_)) {
        panic!("{}", message);
    }
    None
}

/// Refuses commands that are named like a method of the interface without saying that they replace it.
#[track_caller]
pub const fn new_commands(interface: &Interface, commands: &[Command]) {
    let mut i = 0;
    while i < commands.len() {
        let mut j = 0;
        while j < interface.methods.len() {
            if !commands[i].replaces && same(commands[i].method.export, interface.methods[j].export) {
                panic!("{}", commands[i].method.export);
            }
            j += 1;
        }
        i += 1;
    }
}
