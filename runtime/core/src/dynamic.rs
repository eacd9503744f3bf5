//! Interfaces that this program was not compiled with, and values without their Rust types.
//!
//! Reports announce the descriptors of their interfaces. [`interface_from_descriptor`] turns one back into a description,
//! from which command lines, calls and printed results follow as for any other interface.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `read` | descriptor → description |
//! | `slots` | function pointers to things that are only known at run time |
//! | `render` | values as text and as JSON |

mod read;
mod render;
mod slots;

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::{
    Error, Result,
    describe::Interface,
    descriptor::{
        self,
        proto::{FileDescriptorProto, FileDescriptorSet},
    },
};

pub use render::{json, render, to_json};

/// Largest descriptor that is read, in bytes.
pub const MAX_DESCRIPTOR: usize = 1 << 20;

/// How many bytes of descriptors are read during the life of the program. Descriptions are kept for ever, because
/// everything refers to them as constants; a peer must not be able to fill memory with new ones.
pub const MAX_DESCRIPTORS: usize = 16 << 20;

/// How many descriptions are made during the life of the program.
pub const MAX_INTERFACES: usize = 256;

/// The description of a service, from a report's descriptor: a serialized `FileDescriptorProto`, or a
/// `FileDescriptorSet` that holds the file and what it imports. `service` is the full name, for example
/// `jumpstarter.driver.power.v1.Power`.
///
/// The same descriptor gives the same description, which lives for ever. What a descriptor does not say has the value
/// that means least: methods exclude nothing, have no former names, and the Python class is empty. Methods that
/// descriptions cannot express (streams of typed requests, fixed-width integers) are left out.
///
/// Errors are of kind [`InvalidArgument`](crate::ErrorKind::InvalidArgument): the descriptor cannot be read, has no
/// such service, or is one too many.
pub fn interface_from_descriptor(descriptor: &[u8], service: &str) -> Result<&'static Interface> {
    type Key = ([u8; 32], String);
    #[derive(Default)]
    struct Made {
        // Failures are kept as well: each attempt leaves something behind, and it should do so once.
        interfaces: HashMap<Key, Result<&'static Interface>>,
        bytes: usize,
        slots: slots::Free,
    }
    static MADE: OnceLock<Mutex<Made>> = OnceLock::new();

    let service = service.trim_start_matches('.');
    if descriptor.len() > MAX_DESCRIPTOR {
        let (length, most) = (descriptor.len(), MAX_DESCRIPTOR);
        return Err(refused(service, &format!("it has {length} bytes; at most {most} are read")));
    }
    let key = (Sha256::digest(descriptor).into(), service.to_owned());
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = made.interfaces.get(&key) {
        return known.clone();
    }
    let bytes = made.bytes + descriptor.len() + service.len();
    if made.interfaces.len() >= MAX_INTERFACES || bytes > MAX_DESCRIPTORS {
        return Err(refused(service, "this program has read too many descriptors; start it again"));
    }
    made.bytes = bytes;
    let files = files(descriptor).map_err(|problem| refused(service, &problem));
    let interface = files.and_then(|files| {
        read::interface(&files, service, &mut made.slots).map_err(|problem| refused(service, &problem))
    });
    made.interfaces.insert(key, interface.clone());
    interface
}

/// Full names of the services that a descriptor holds, in its order.
pub fn services(descriptor: &[u8]) -> Result<Vec<String>> {
    if descriptor.len() > MAX_DESCRIPTOR {
        return Err(Error::invalid_argument(format!("a descriptor of more than {MAX_DESCRIPTOR} bytes")));
    }
    let files = files(descriptor).map_err(Error::invalid_argument)?;
    let full = |file: &FileDescriptorProto, name: &str| format!("{}.{name}", file.package());
    Ok(files.iter().flat_map(|file| file.service.iter().map(|service| full(file, service.name()))).collect())
}

fn refused(service: &str, problem: &str) -> Error {
    Error::invalid_argument(format!("the descriptor of `{service}` cannot be used: {problem}"))
}

/// A set, or one file. Both are in use, and nothing in the bytes says which it is.
fn files(descriptor: &[u8]) -> Result<Vec<FileDescriptorProto>, String> {
    if let Ok(set) = FileDescriptorSet::decode(descriptor) {
        // A file's name read as a file is garbage that has no name, or imports what nobody has.
        let known = |name: &String| {
            descriptor::is_known_import(name) || set.file.iter().any(|file| file.name() == name)
        };
        let plausible =
            |file: &FileDescriptorProto| !file.name().is_empty() && file.dependency.iter().all(known);
        if !set.file.is_empty() && set.file.iter().all(plausible) {
            return Ok(set.file);
        }
    }
    match FileDescriptorProto::decode(descriptor) {
        Ok(file) if !file.name().is_empty() => Ok(vec![file]),
        Ok(_) => Err("it is neither a file with a name nor a complete set of files".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

// Here and not among the integration tests, because these use up slots and the number of descriptors.
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        describe::{EnumSpec, Exclusive, Field, Framing, Kind, MessageSpec, Method, Param, Role, Type},
        wire::value::number,
    };

    static LAMP: Interface = Interface {
        package: "jumpstarter.x",
        name: "lamp",
        version: 1,
        service: "Lamp",
        doc: "Shines.",
        python: "",
        also: &[],
        methods: &[Method {
            rpc: "Shine",
            export: "shine",
            renamed_from: &[],
            optional: false,
            kind: Kind::Unary,
            framing: Framing::Bytes,
            exclusive: Exclusive::No,
            params: &[],
            ret: Type::Map(&Type::List(&Type::Bool)),
            doc: "",
        }],
    };

    #[test]
    fn a_peer_cannot_fill_memory_with_descriptors() {
        // Refused descriptors count as well: each leaves something behind.
        let refused =
            |name: usize| interface_from_descriptor(b"\x0a\x01a", &format!("x.lamp.v1.Lamp{name}")).err();
        let errors: Vec<_> =
            (0..=MAX_INTERFACES).filter_map(refused).map(|error| error.to_string()).collect();
        assert_eq!(errors.len(), MAX_INTERFACES + 1);
        assert!(errors[0].contains("does not contain this service"), "{}", errors[0]);
        assert!(errors[MAX_INTERFACES].contains("read too many descriptors"), "{}", errors[MAX_INTERFACES]);
        assert_eq!(
            refused(0).map(|error| error.to_string()),
            Some(errors[0].clone()),
            "what was read once is known"
        );
    }

    #[test]
    fn what_has_no_descriptor_is_an_error_and_no_panic() {
        let error = descriptor::file(&LAMP).expect_err("protobuf has no map of lists");
        assert!(error.to_string().contains("interface `lamp` has no descriptor: shine: value: "), "{error}");
    }

    fn disk() -> &'static MessageSpec {
        const PLAIN: Field = Field { name: "", tag: 0, ty: Type::Str, default: None, unit: "", doc: "" };
        static DISK: MessageSpec = MessageSpec {
            name: "Disk",
            fields: &[
                Field {
                    name: "parts",
                    tag: 1,
                    ty: Type::List(&Type::Message(disk)),
                    doc: "Inside.",
                    ..PLAIN
                },
                Field { name: "labels", tag: 2, ty: Type::Map(&Type::Message(disk)), ..PLAIN },
                Field {
                    name: "size",
                    tag: 3,
                    ty: Type::U64,
                    default: Some(|| number(4.0)),
                    unit: "B",
                    ..PLAIN
                },
                Field { name: "edge", tag: 4, ty: Type::Opt(&Type::Enum(edge)), ..PLAIN },
                Field { name: "id", tag: 5, ty: Type::Format("uuid"), ..PLAIN },
            ],
            reserved: (&[], &[]),
            list: true,
            doc: "A disk.",
        };
        &DISK
    }

    fn edge() -> &'static EnumSpec {
        static EDGE: EnumSpec =
            EnumSpec { name: "Edge", values: &[("up", 1, "Rises."), ("b-c", 2, "")], doc: "" };
        &EDGE
    }

    const fn param(name: &'static str, tag: u32, ty: Type, role: Role) -> Param {
        Param { name, tag, ty, role, default: None, rest: false, doc: "" }
    }

    static DISKS: Interface = Interface {
        service: "Disks",
        methods: &[
            Method {
                rpc: "Find",
                export: "find",
                kind: Kind::ServerStream,
                params: &[
                    param("like", 1, Type::Message(disk), Role::Wire),
                    param("file", 2, Type::Handle, Role::Sink),
                ],
                ret: Type::Message(disk),
                ..LAMP.methods[0]
            },
            Method { rpc: "Open", export: "connect", kind: Kind::Bytes, ret: Type::Unit, ..LAMP.methods[0] },
            Method { rpc: "Wait", export: "wait", ret: Type::List(&Type::Json), ..LAMP.methods[0] },
        ],
        ..LAMP
    };

    /// How many methods a description of this has.
    fn read_methods(descriptor: &[u8]) -> Option<usize> {
        let files = files(descriptor).ok()?;
        let services = files.iter().flat_map(|file| file.service.iter().map(move |service| (file, service)));
        let read = services.filter_map(|(file, service)| {
            let name = format!("{}.{}", file.package(), service.name());
            // Slots of its own: nobody looks into the descriptions that are made here.
            read::interface(&files, &name, &mut slots::Free::default()).ok()
        });
        Some(read.map(|interface| interface.methods.len()).sum())
    }

    #[test]
    fn the_descriptors_that_are_damaged_below_are_read_when_whole() {
        let descriptor = descriptor::file(&DISKS).expect("a descriptor");
        assert_eq!(read_methods(&descriptor.bytes), Some(3));
        assert_eq!(read_methods(&descriptor.set()), Some(3));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn damaged_descriptors_never_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in any::<prop::sample::Index>(), whole in any::<bool>(), set in any::<bool>(),
        ) {
            let descriptor = descriptor::file(&DISKS).expect("a descriptor");
            let mut bytes = if set { descriptor.set() } else { descriptor.bytes.clone() }.to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = read_methods(&bytes);
        }

        #[test]
        fn arbitrary_descriptors_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_methods(&bytes);
            let _ = services(&bytes);
        }
    }
}
