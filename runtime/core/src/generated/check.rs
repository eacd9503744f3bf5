//! Checks that need types, made while the author's crate is compiled: in constants, so that a mistake is an error at
//! the author's line. `track_caller` is what makes the compiler point there.

use prost_types::Value;

use crate::{
    command::Command,
    describe::{Exclusive, Field, Framing, Interface, Kind, Method, Param, Role, Sentence, Type, same},
    wire::value,
};

/// One method, with what has to be said about every method.
#[track_caller]
pub const fn method(
    (rpc, export): (&'static str, &'static str),
    (kind, ret): (Kind, Type),
    params: &'static [Param],
    doc: &'static str,
) -> Method {
    let mut files = 0;
    let mut i = 0;
    while i < params.len() {
        let param = &params[i];
        if matches!(param.role, Role::Source | Role::Sink) {
            files += 1;
        }
        assert!(
            param.default.is_none() || !matches!(param.ty, Type::Opt(_) | Type::List(_) | Type::Map(_)),
            "an option, list or map cannot have a default: an empty one is not sent, so it could not be told from an absent one; leave `#[default]` out and let the method decide"
        );
        i += 1;
    }
    assert!(
        files <= 1,
        "one `Source` or `Sink` per method: a client attaches one file to a call; split the method in two"
    );
    match kind {
        Kind::Unary => {}
        Kind::ServerStream => assert!(
            files == 0,
            "a method that returns `Stream<…>` takes no `Source` or `Sink`: the handle of a file belongs to a single call and answer"
        ),
        Kind::Bytes => assert!(
            params.is_empty(),
            "a byte stream takes no arguments: `Io` methods have only `&self`, because older clients cannot send any; put them into the configuration or a method of their own"
        ),
    }
    Method {
        rpc,
        export,
        renamed_from: &[],
        optional: false,
        kind,
        framing: Framing::Bytes,
        exclusive: Exclusive::No,
        params,
        ret,
        doc,
    }
}

impl Method {
    /// With these earlier `(rpc, export)` names.
    #[doc(hidden)]
    pub const fn renamed_from(self, renamed_from: &'static [(&'static str, &'static str)]) -> Self {
        Self { renamed_from, ..self }
    }

    /// With a body in the trait.
    #[doc(hidden)]
    pub const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// With calls that exclude each other.
    #[doc(hidden)]
    pub const fn exclusive(self, exclusive: Exclusive) -> Self {
        Self { exclusive, ..self }
    }

    /// With a byte stream whose pieces are messages.
    #[doc(hidden)]
    pub const fn messages(self) -> Self {
        Self { framing: Framing::Messages, ..self }
    }
}

/// One parameter, with what has to be said about every parameter.
#[track_caller]
pub const fn param(name: &'static str, tag: u32, (role, ty): (Role, Type), doc: &'static str) -> Param {
    assert!(
        !matches!(role, Role::Injected),
        "the runtime fills this parameter: write `#[inject]` before its name"
    );
    Param { name, tag, ty, role, default: None, rest: false, doc }
}

impl Param {
    /// With a default. A flag of a command may have none by itself.
    #[doc(hidden)]
    pub const fn or(self, default: fn() -> Value) -> Self {
        Self { default: Some(default), ..self }
    }

    /// An option of a command: an absent flag is false, others have to be given.
    #[doc(hidden)]
    pub const fn or_flag(self) -> Self {
        if matches!(self.ty, Type::Bool) { self.or(no) } else { self }
    }

    /// Collecting every further argument.
    #[doc(hidden)]
    pub const fn rest(self, rest: bool) -> Self {
        Self { rest, ..self }
    }

    /// Behind a parameter with a default, without one; `message` names it.
    #[doc(hidden)]
    #[track_caller]
    pub const fn behind_default(self, message: &'static str) -> Self {
        assert!(matches!(self.ty, Type::Opt(_)), "{}", message);
        self
    }
}

fn no() -> Value {
    value::boolean(false)
}

/// One field of a message.
pub const fn field(name: &'static str, tag: u32, ty: Type, doc: &'static str) -> Field {
    Field { name, tag, ty, default: None, unit: "", doc }
}

impl Field {
    /// With a default.
    #[doc(hidden)]
    pub const fn or(self, default: fn() -> Value) -> Self {
        Self { default: Some(default), ..self }
    }

    /// With a unit.
    #[doc(hidden)]
    pub const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }
}

/// Checks a parameter with `#[inject]`.
#[track_caller]
pub const fn injected((role, _): (Role, Type)) {
    assert!(
        matches!(role, Role::Injected),
        "`#[inject]` is for what the runtime fills, such as `Call`: remove it, this type comes from the caller"
    );
}

/// Refuses commands that are named like a method of the interface without saying that they replace it.
#[track_caller]
pub const fn new_commands(interface: &Interface, commands: &[Command]) {
    let mut i = 0;
    while i < commands.len() {
        let mut j = 0;
        while j < interface.methods.len() {
            if !commands[i].replaces && same(commands[i].method.export, interface.methods[j].export) {
                let message = Sentence::new(
                    "`",
                    commands[i].method.export,
                    "` is a method of the interface already: give the command another name, or say `#[export(replaces = …)]`",
                );
                panic!("{}", message.text());
            }
            j += 1;
        }
        i += 1;
    }
}
