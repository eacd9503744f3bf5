//! Protobuf descriptors of interfaces, made from their descriptions.
//!
//! [`file()`] turns a description into the `FileDescriptorProto` that a protobuf compiler would make of the emitted
//! `.proto` file, comments included. Reports announce it, reflection serves it, `.proto` files are printed from it and
//! [`dynamic`](crate::dynamic) reads it back.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`proto`] | the messages of `descriptor.proto`, with the options that interfaces carry |
//! | [`names`] | the spellings of one name: snake case, Pascal case, enum values |
//! | `build` | description → descriptor |
//!
//! What ends up in a descriptor and what does not: everything a client needs to call and to explain a method. Options
//! of package `jumpstarter.annotations` hold what protobuf has no words for: resource handles, defaults, text formats.
//! Further names of the whole service (`also`), the exclusivity of methods and whether a driver may leave one out stay on
//! the driver's side.

mod build;
pub mod names;
pub mod proto;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use prost::Message as _;

use crate::{Error, Result, describe::Interface};
use proto::{FileDescriptorProto, RawFileSet};

/// The descriptor of one interface.
#[derive(Debug)]
pub struct Descriptor {
    /// Path of the `.proto` file, for example `interfaces/power/v1/power.proto`.
    pub name: String,
    /// The descriptor, readable.
    pub file: FileDescriptorProto,
    /// The serialized `FileDescriptorProto`.
    pub bytes: Bytes,
    set: Bytes,
}

impl Descriptor {
    /// A serialized `FileDescriptorSet` that needs nothing else: this file last, its imports before it.
    pub fn set(&self) -> Bytes {
        self.set.clone()
    }
}

/// The descriptor of an interface. It is made once; the same description always gives the same bytes.
///
/// An interface that protobuf cannot express (a list of lists, two types with one name) is an error of kind
/// [`Internal`](crate::ErrorKind::Internal) that names the place.
pub fn file(interface: &'static Interface) -> Result<&'static Descriptor> {
    type Made = HashMap<usize, Result<&'static Descriptor>>;
    static MADE: OnceLock<Mutex<Made>> = OnceLock::new();

    // Interfaces are statics, or were leaked by `dynamic`, which bounds their number: an address is an identity.
    let identity = std::ptr::from_ref(interface) as usize;
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    made.entry(identity)
        .or_insert_with(|| make(interface).map(|descriptor| &*Box::leak(Box::new(descriptor))))
        .clone()
}

/// A serialized `FileDescriptorSet` of an interface that needs nothing else: imports precede their users.
pub fn file_set(interface: &'static Interface) -> Result<Bytes> {
    file(interface).map(Descriptor::set)
}

fn make(interface: &'static Interface) -> Result<Descriptor> {
    let file = build::build(interface).map_err(|problem| {
        Error::internal(format!("interface `{}` has no descriptor: {problem}", interface.name))
    })?;
    let bytes = Bytes::from(file.encode_to_vec());
    let mut set = RawFileSet { file: imports_of(&file.dependency)? };
    set.file.push(bytes.clone());
    Ok(Descriptor { name: file.name().to_owned(), set: set.encode_to_vec().into(), file, bytes })
}

/// One of the files that interfaces may import: well-known types, and the annotations.
struct Import {
    dependencies: Vec<String>,
    bytes: Bytes,
}

fn known_imports() -> &'static BTreeMap<String, Import> {
    static KNOWN: OnceLock<BTreeMap<String, Import>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        // The files stay as they are: decoding and encoding them would lose the options we have no structs for.
        let set = RawFileSet::decode(jumpstarter_protocol::DESCRIPTORS).unwrap_or_default();
        let files = set.file.into_iter().filter_map(|bytes| {
            let file = FileDescriptorProto::decode(bytes.clone()).ok()?;
            Some((file.name.unwrap_or_default(), Import { dependencies: file.dependency, bytes }))
        });
        files.collect()
    })
}

/// Whether interfaces may import this file without bringing it along.
pub(crate) fn is_known_import(name: &str) -> bool {
    known_imports().contains_key(name)
}

/// Those files, serialized.
pub(crate) fn known_files() -> impl Iterator<Item = Bytes> {
    known_imports().values().map(|import| import.bytes.clone())
}

/// These files and everything they import, each after its own imports.
pub(crate) fn imports_of(names: &[String]) -> Result<Vec<Bytes>> {
    fn visit(name: &str, done: &mut BTreeSet<String>, out: &mut Vec<Bytes>) -> Result<()> {
        if !done.insert(name.to_owned()) {
            return Ok(());
        }
        let Some(import) = known_imports().get(name) else {
            return Err(Error::internal(format!("`{name}` is not part of the protocol's descriptors")));
        };
        import.dependencies.iter().try_for_each(|name| visit(name, done, out))?;
        out.push(import.bytes.clone());
        Ok(())
    }

    let mut out = Vec::new();
    let mut done = BTreeSet::new();
    names.iter().try_for_each(|name| visit(name, &mut done, &mut out))?;
    Ok(out)
}
