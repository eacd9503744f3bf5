//! The committed `.proto` files are what the traits say, by protobuf's own compiler.

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use jumpstarter_compatibility::{descriptors, files, record};
use jumpstarter_core::{
    descriptor::{self, proto::FileDescriptorProto},
    dynamic,
};
use prost::Message as _;
use prost_reflect::{DescriptorPool, MessageDescriptor};

use super::hosting::{Subject, everything, probes, subjects};

/// The committed files, compiled from their texts.
pub(crate) fn committed() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
        let texts = subjects().into_iter().map(|subject| {
            let name = path(subject);
            let text = fs::read_to_string(root.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, text)
        });
        // Those of the tests are written for nobody else; their text is made here.
        let made = probes().into_iter().map(|subject| {
            let set = descriptor::file_set(subject.interface).expect("a descriptor");
            let name = path(subject);
            let text = jumpstarter_codegen::proto_text::print(&set, &name).expect("a text");
            (name, text)
        });
        let texts = texts.chain(made).collect::<BTreeMap<_, _>>();
        descriptors::compile("the committed", &texts).expect("they compile")
    })
}

fn path(subject: Subject) -> String {
    descriptor::file(subject.interface).expect("a descriptor").name.clone()
}

/// Request and answer of a method, by the committed files.
pub(crate) fn messages(subject: Subject, rpc: &str) -> (MessageDescriptor, MessageDescriptor) {
    let service = committed().get_service_by_name(&subject.interface.full_service()).expect("a service");
    let method = service.methods().find(|method| method.name() == rpc).expect("a method");
    (method.input(), method.output())
}

#[test]
fn every_committed_file_compiles_to_its_interfaces_descriptor() {
    for subject in everything() {
        let mut ours = descriptor::file(subject.interface).expect("a descriptor").file.clone();
        ours.source_code_info = None;
        let compiled = committed().get_file_by_name(&path(subject)).expect("a file").encode_to_vec();
        let theirs = FileDescriptorProto::decode(compiled.as_slice()).expect("a file");
        assert_eq!(theirs.encode_to_vec(), compiled, "our structs know everything that the compiler wrote");
        assert_eq!(theirs, ours);
    }
}

#[test]
fn every_compiled_file_reads_back_as_its_interface() {
    for subject in everything() {
        let compiled = committed().get_file_by_name(&path(subject)).expect("a file").encode_to_vec();
        let service = subject.interface.full_service();
        let read = dynamic::interface_from_descriptor(&compiled, &service).expect("a description");
        let mut ours = record::Interface::of(subject.interface);
        let theirs = record::Interface::of(read);
        // What stays on the driver's side.
        ours.python = String::new();
        ours.also = Vec::new();
        for method in &mut ours.methods {
            method.required = true;
            method.exclusive = None;
        }
        assert_eq!(widened(&theirs), widened(&ours));
    }
}

/// Protobuf has fewer widths of integers than we have.
fn widened(interface: &record::Interface) -> Vec<String> {
    let text = files::yaml(interface).expect("YAML");
    // Nor has it a map that may be absent: none at all and an empty one are the same bytes.
    let mut absent = false;
    let lines = text.lines().map(|line| {
        let presence = line.replace("presence: optional", "presence: repeated");
        let line = if absent { presence } else { line.to_owned() };
        absent = line.contains("type: optional map of");
        line.replace("type: optional map of", "type: map of") + "\n"
    });
    let text: String = lines.collect();
    let words = text.split_whitespace().map(|word| match word {
        "u8" | "u16" => "u32",
        "i32" => "i64",
        other => other,
    });
    words.map(str::to_owned).collect()
}
