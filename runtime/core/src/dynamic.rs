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
