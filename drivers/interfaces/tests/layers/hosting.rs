//! A client of each interface, hosted as a driver: what arrives in one wire language leaves in the other one, and passes
//! through the types of the trait on its way.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use futures::future::BoxFuture;
use jumpstarter_core::{
    Call, Result, Sink, Source, Stream,
    client::{Client as _, Remote, Target},
    describe::{Interface, Kind, Role},
    dispatch::{Answer, Args, Attached, Language, Payload, Provided, Reply, Sending},
    resource::Handle,
};
use jumpstarter_interfaces::{
    CLIENTS, DigitalInput, DigitalInputClient, DigitalOutput, DigitalOutputClient, Flasher, FlasherClient,
    Machine, MachineClient, Network, NetworkAddress, NetworkAddressClient, NetworkClient, Power, PowerClient,
    PowerCycle, PowerCycleClient, Serial, SerialClient, Shell, ShellClient, Storage, StorageClient,
    StorageMux, StorageMuxClient, StorageMuxFlasher, StorageMuxFlasherClient, VncScreen, VncScreenClient,
};
use prost_types::Value;
use uuid::Uuid;

use super::probe::{Probe, ProbeClient};

/// One interface, and how its client is hosted.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) interface: &'static Interface,
    host: fn(Target) -> Provided,
}

macro_rules! subjects {
    ($(#[$doc:meta])* $name:ident: $($interface:ident: $client:ident,)*) => {
        $(#[$doc])*
        pub(crate) fn $name() -> Vec<Subject> {
            vec![$(Subject {
                interface: $client::INTERFACE,
                host: |target| {
                    let client = Arc::new($client::from_target(target));
                    Provided::new($client::INTERFACE, client, <$client as $interface>::__dispatch)
                },
            }),*]
        }
    };
}

subjects! {
    /// Every interface of the crate.
    subjects:
    Power: PowerClient,
    Serial: SerialClient,
    Network: NetworkClient,
    NetworkAddress: NetworkAddressClient,
    StorageMux: StorageMuxClient,
    StorageMuxFlasher: StorageMuxFlasherClient,
    Flasher: FlasherClient,
    DigitalOutput: DigitalOutputClient,
    DigitalInput: DigitalInputClient,
    PowerCycle: PowerCycleClient,
    VncScreen: VncScreenClient,
    Machine: MachineClient,
    Shell: ShellClient,
    Storage: StorageClient,
}

subjects! {
    /// Interfaces of these tests, with types that no interface of the crate has, or not at every place.
    probes:
    Probe: ProbeClient,
}

/// All of them.
pub(crate) fn everything() -> Vec<Subject> {
    [subjects(), probes()].concat()
}

/// The handle that stands for every file.
pub(crate) fn handle() -> Handle {
    Handle::ClientStream { uuid: Uuid::from_u128(7), x_jmp_content_encoding: None }
}

/// A peer that keeps what it was sent.
struct Peer {
    language: Language,
    answer: Mutex<Option<Answer>>,
    sent: Mutex<Option<Payload>>,
}

impl Remote for Peer {
    fn language(&self, _: &'static Interface) -> Language {
        self.language
    }

    fn call(
        &self,
        interface: &'static Interface,
        method: usize,
        mut sending: Sending,
    ) -> BoxFuture<'static, Result<Reply>> {
        for (index, _) in std::mem::take(&mut sending.attached) {
            sending.put_handle(index, &handle());
        }
        let (payload, _) = sending.finish().expect("arguments that can be sent");
        *self.sent.lock().expect("nobody panicked") = Some(payload);
        let answer = self.answer.lock().expect("nobody panicked").take().expect("one call");
        let reply = match interface.methods[method].kind {
            Kind::ServerStream => Reply::Stream(Stream::from_values([answer])),
            _ => Reply::Unary(answer),
        };
        Box::pin(std::future::ready(Ok(reply)))
    }
}

impl Subject {
    /// Calls a method through the hosted client. Answers what the peer got, and what the caller got.
    pub(crate) fn call(
        self,
        method: usize,
        language: Language,
        payload: Payload,
        answer: Answer,
    ) -> (Payload, Answer) {
        let peer = Arc::new(Peer { language, answer: Mutex::new(Some(answer)), sent: Mutex::default() });
        let provided = (self.host)(Target::Remote(peer.clone()));
        let attached =
            self.interface.methods[method].params.iter().enumerate().filter_map(|(index, param)| match param
                .role
            {
                Role::Source => Some((index, Attached::Source(Source::from_bytes("image")))),
                Role::Sink => Some((index, Attached::Sink(Sink::to_memory().0))),
                Role::Wire | Role::Injected => None,
            });
        let payload = match payload {
            Payload::Values(values) => Payload::Values(self.positions(method, values)),
            proto @ Payload::Proto(_) => proto,
        };
        let args = Args::new(payload, Call::default()).with_attached(attached.collect());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let answer = runtime.block_on(async {
            match provided.dispatch.call(method, args).await.expect("an answer") {
                Reply::Unary(answer) => answer,
                Reply::Stream(mut stream) => stream.next().await.expect("an item").expect("an item"),
                Reply::Bytes(_) => panic!("a byte stream is not called"),
            }
        });
        let sent = peer.sent.lock().expect("nobody panicked").take().expect("the peer was called");
        (sent, answer)
    }

    /// One value per parameter as a caller sends them: the last one of `#[rest]` takes a position for each of its items.
    pub(crate) fn positions(self, method: usize, mut values: Vec<Value>) -> Vec<Value> {
        let params = self.interface.methods[method].params;
        if params.iter().any(|param| param.rest)
            && values.len() == params.len()
            && let Some(Value { kind: Some(prost_types::value::Kind::ListValue(rest)) }) =
                values.last().cloned()
        {
            values.pop();
            values.extend(rest.values);
        }
        values
    }

    /// The bytes of a request with these arguments.
    pub(crate) fn native_request(self, method: usize, values: Vec<Value>, answer: &Value) -> Vec<u8> {
        match self.call(method, Language::Native, Payload::Values(values), Answer::Value(answer.clone())).0 {
            Payload::Proto(bytes) => bytes.to_vec(),
            Payload::Values(_) => panic!("the peer speaks the other language"),
        }
    }

    /// The positional values of a call with these arguments.
    pub(crate) fn legacy_request(self, method: usize, payload: Payload, answer: &Value) -> Vec<Value> {
        match self.call(method, Language::Legacy, payload, Answer::Value(answer.clone())).0 {
            Payload::Values(values) => values,
            Payload::Proto(_) => panic!("the peer speaks the other language"),
        }
    }

    /// Indices of the methods that have requests and answers.
    pub(crate) fn calls(self) -> impl Iterator<Item = usize> {
        let methods = self.interface.methods;
        (0..methods.len()).filter(move |index| methods[*index].kind != Kind::Bytes)
    }
}

#[test]
fn every_interface_of_the_crate_is_a_subject() {
    let subjects: BTreeSet<_> = subjects().iter().map(|subject| subject.interface.full_service()).collect();
    let clients: BTreeSet<_> = CLIENTS.iter().map(|client| client.interface.full_service()).collect();
    assert_eq!(subjects, clients, "hosting.rs lists every interface once");
    // Those that somebody forgot in both lists.
    let mut written = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).expect("the sources") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a source");
        written += text.lines().filter(|line| line.starts_with("#[interface(")).count();
    }
    assert_eq!(written, clients.len(), "CLIENTS lists every `#[interface]` of the crate");
}
