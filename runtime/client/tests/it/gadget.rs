//! An interface as the macros would write it, and its client.

use bytes::Bytes;
use jumpstarter_client::Device;
use jumpstarter_core::{
    Io, Result, Sink, Source, Stream,
    client::{Client, Target},
    describe::{Exclusive, Framing, Interface, Kind, Method, Param, Role, Type},
};

/// Full name of the gadget's service.
pub(crate) const SERVICE: &str = "jumpstarter.driver.gadget.v1.Gadget";

/// Another name of the same service.
pub(crate) const ALIAS: &str = "jumpstarter.interfaces.gadget.v1.GadgetInterface";

/// Class of the gadget's client in the other implementation.
pub(crate) const CLASS: &str = "some_driver.client.GadgetClient";

const fn method(
    rpc: &'static str,
    export: &'static str,
    kind: Kind,
    params: &'static [Param],
    ret: Type,
) -> Method {
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
        doc: "",
    }
}

const fn param(name: &'static str, tag: u32, ty: Type, role: Role) -> Param {
    Param { name, tag, ty, role, default: None, rest: false, doc: "" }
}

pub(crate) static GADGET: Interface = Interface {
    package: "jumpstarter.driver",
    name: "gadget",
    version: 1,
    service: "Gadget",
    doc: "",
    python: CLASS,
    also: &[ALIAS],
    methods: &[
        method("On", "on", Kind::Unary, &[], Type::Unit),
        method(
            "SetLimit",
            "set_limit",
            Kind::Unary,
            &[
                param("volts", 1, Type::F64, Role::Wire),
                param("channel", 2, Type::Opt(&Type::Str), Role::Wire),
            ],
            Type::Str,
        ),
        method("Read", "read", Kind::ServerStream, &[], Type::F64),
        method("Connect", "connect", Kind::Bytes, &[], Type::Unit),
        Method { framing: Framing::Messages, ..method("Frames", "frames", Kind::Bytes, &[], Type::Unit) },
        method(
            "Flash",
            "flash",
            Kind::Unary,
            &[
                param("source", 1, Type::Handle, Role::Source),
                param("target", 2, Type::Opt(&Type::Str), Role::Wire),
            ],
            Type::Unit,
        ),
        method("Dump", "dump", Kind::Unary, &[param("target", 1, Type::Handle, Role::Sink)], Type::Unit),
    ],
};

#[derive(Clone, Debug)]
pub(crate) struct GadgetClient(Target);

impl Client for GadgetClient {
    const INTERFACE: &'static Interface = &GADGET;

    fn from_target(target: Target) -> Self {
        Self(target)
    }

    fn target(&self) -> &Target {
        &self.0
    }
}

impl GadgetClient {
    pub(crate) fn of(device: &Device) -> Self {
        device.client("gadget").unwrap()
    }

    pub(crate) async fn on(&self) -> Result<()> {
        self.0.call(&GADGET, 0, self.0.args(&GADGET, 0)).await
    }

    pub(crate) async fn set_limit(&self, volts: f64, channel: Option<&str>) -> Result<String> {
        let mut args = self.0.args(&GADGET, 1);
        args.push(0, volts);
        args.push(1, channel.map(str::to_owned));
        self.0.call(&GADGET, 1, args).await
    }

    pub(crate) async fn read(&self) -> Result<Stream<f64>> {
        self.0.call(&GADGET, 2, self.0.args(&GADGET, 2)).await
    }

    pub(crate) async fn connect(&self) -> Result<Io> {
        self.0.call(&GADGET, 3, self.0.args(&GADGET, 3)).await
    }

    pub(crate) async fn frames(&self) -> Result<Io> {
        self.0.call(&GADGET, 4, self.0.args(&GADGET, 4)).await
    }

    pub(crate) async fn flash(&self, source: Source, target: Option<&str>) -> Result<()> {
        let mut args = self.0.args(&GADGET, 5);
        args.push(0, source);
        args.push(1, target.map(str::to_owned));
        self.0.call(&GADGET, 5, args).await
    }

    pub(crate) async fn dump(&self, sink: Sink) -> Result<()> {
        let mut args = self.0.args(&GADGET, 6);
        args.push(0, sink);
        self.0.call(&GADGET, 6, args).await
    }

    /// Dumps into memory.
    pub(crate) async fn dump_bytes(&self, packing: Option<&str>) -> Result<Bytes> {
        let (sink, bytes) = Sink::to_memory();
        let (dumped, bytes) = tokio::join!(self.dump(sink.packed_as(packing)), bytes);
        dumped?;
        bytes
    }
}
