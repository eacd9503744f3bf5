//! Descriptors against a compiler, and their texts.

use std::collections::BTreeMap;

use jumpstarter_core::{
    describe::{Field, Interface, MessageSpec, Type},
    descriptor::{
        self,
        proto::{FileDescriptorProto, MessageOptions, RawFileSet},
    },
    wire::Wire as _,
};
use jumpstarter_protocol::annotations;
use prost::Message as _;
use prost_reflect::{DescriptorPool, Value};
use protox::file::{ChainFileResolver, DescriptorSetFileResolver, File, FileResolver};

use super::samples::{self, Reading, SAMPLE};

const FILE: &str = "interfaces/sample_board/v2/sample_board.proto";

/// One file from memory.
struct Text(String);

impl FileResolver for Text {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == FILE { File::from_source(name, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}

fn printed() -> String {
    let set = descriptor::file_set(&SAMPLE).expect("a descriptor");
    jumpstarter_codegen::proto_text::print(&set, FILE).expect("text")
}

/// Compiles the printed text.
fn compiled(source_info: bool) -> FileDescriptorProto {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Text(printed()));
    resolver.add(DescriptorSetFileResolver::decode(jumpstarter_protocol::DESCRIPTORS).expect("the protocol"));
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_source_info(source_info);
    compiler.open_file(FILE).unwrap_or_else(|error| panic!("{error:?}\n{}", printed()));
    let set = RawFileSet::decode(compiler.encode_file_descriptor_set().as_slice()).expect("a set");
    assert_eq!(set.file.len(), 1);
    let file = FileDescriptorProto::decode(set.file[0].clone()).expect("a file");
    // Our structs must not hide a difference by dropping what they do not know.
    assert_eq!(file.encode_to_vec(), set.file[0], "our structs know everything that the compiler wrote");
    file
}

#[test]
fn the_printed_text_reads_well() {
    insta::assert_snapshot!(printed());
}

#[test]
fn the_printed_text_compiles_to_the_same_descriptor() {
    let mut ours = descriptor::file(&SAMPLE).expect("a descriptor").file.clone();
    ours.source_code_info = None;
    assert_eq!(compiled(false), ours);
    assert_eq!(compiled(false).encode_to_vec(), ours.encode_to_vec());
}

#[test]
fn comments_survive_being_printed_and_compiled() {
    let comments = |file: &FileDescriptorProto| -> BTreeMap<Vec<i32>, String> {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        locations.filter_map(|at| Some((at.path.clone(), at.leading_comments.clone()?))).collect()
    };
    let ours = comments(&descriptor::file(&SAMPLE).expect("a descriptor").file);
    let mut theirs = comments(&compiled(true));
    // The header belongs to the syntax statement.
    theirs.remove(&vec![12]);
    assert_eq!(ours, theirs);
    assert_eq!(ours[&vec![6, 0, 2, 0]], " Switch it on.\n");
    assert_eq!(ours.values().filter(|comment| comment.contains("Volts.")).count(), 1);
}

#[test]
fn the_same_description_always_gives_the_same_descriptor() {
    let first = descriptor::file(&SAMPLE).expect("a descriptor");
    let second = descriptor::file(&SAMPLE).expect("a descriptor");
    assert!(std::ptr::eq(first, second), "made once");
    assert_eq!(first.name, FILE);
    assert_eq!(first.file.encode_to_vec(), first.bytes);
}

#[test]
fn pitfall_d8_the_set_links_by_itself_with_dependencies_first() {
    let set = descriptor::file_set(&SAMPLE).expect("a descriptor");
    let files = RawFileSet::decode(set.clone()).expect("a set").file;
    let mut before = Vec::new();
    for bytes in files {
        let file = FileDescriptorProto::decode(bytes).expect("a file");
        for dependency in &file.dependency {
            assert!(before.contains(dependency), "{dependency} precedes {}", file.name());
        }
        before.push(file.name().to_owned());
    }
    assert_eq!(before.last().map(String::as_str), Some(FILE));
    for needed in ["google/protobuf/struct.proto", "google/protobuf/duration.proto", annotations::FILE] {
        assert!(before.iter().any(|name| name == needed), "{needed} is in {before:?}");
    }
    let pool = DescriptorPool::decode(set).expect("it links");
    assert!(pool.get_service_by_name(&SAMPLE.full_service()).is_some());
}

#[test]
fn pitfall_d9_optional_fields_have_synthetic_unions() {
    let file = &descriptor::file(&SAMPLE).expect("a descriptor").file;
    let request =
        file.message_type.iter().find(|message| message.name() == "SetLimitRequest").expect("the request");
    let presence: Vec<_> = request
        .field
        .iter()
        .map(|field| (field.name(), field.proto3_optional(), field.oneof_index))
        .collect();
    assert_eq!(
        presence,
        [
            ("channel", false, None),
            ("amps", true, Some(0)),
            ("steps", true, Some(1)),
            ("edge", false, None),
            ("other_edge", true, Some(2)),
            ("offset", true, Some(3)),
        ]
    );
    let unions: Vec<_> =
        request.oneof_decl.iter().map(|oneof| oneof.name.clone().unwrap_or_default()).collect();
    assert_eq!(unions, ["_amps", "_steps", "_other_edge", "_offset"]);
}

#[test]
fn pitfall_d10_types_are_at_file_level_and_recursion_is_by_name() {
    let file = &descriptor::file(&SAMPLE).expect("a descriptor").file;
    let partition =
        file.message_type.iter().find(|message| message.name() == "Partition").expect("at file level");
    let children = partition.field.iter().find(|field| field.name() == "children").expect("the field");
    assert_eq!(children.type_name(), ".jumpstarter.x.sample_board.v2.Partition");
    for message in &file.message_type {
        for nested in &message.nested_type {
            assert!(
                nested.options.as_ref().is_some_and(MessageOptions::map_entry),
                "{} is a map's",
                nested.name()
            );
        }
    }
}

#[test]
fn pitfall_d11_custom_options_reach_other_implementations() {
    let pool =
        DescriptorPool::decode(descriptor::file_set(&SAMPLE).expect("a descriptor")).expect("it links");
    let option = |message: &str, field: &str, name: &str| {
        let message =
            pool.get_message_by_name(&format!("jumpstarter.x.sample_board.v2.{message}")).expect("a message");
        let extension = pool.get_extension_by_name(name).expect("an option");
        message.get_field_by_name(field).expect("a field").options().get_extension(&extension).into_owned()
    };
    assert_eq!(option("FlashRequest", "source", annotations::RESOURCE_HANDLE), Value::Bool(true));
    assert_eq!(option("FlashRequest", "target", annotations::RESOURCE_HANDLE), Value::Bool(false));
    let default = "jumpstarter.annotations.default_json";
    assert_eq!(option("SetLimitRequest", "amps", default), Value::String("1.5".to_owned()));
    assert_eq!(option("Partition", "label", default), Value::String(r#""none \"yet\"""#.to_owned()));
}

#[test]
fn byte_streams_carry_pieces_in_both_directions() {
    let file = &descriptor::file(&SAMPLE).expect("a descriptor").file;
    let connect =
        file.service[0].method.iter().find(|method| method.name() == "Connect").expect("the method");
    assert_eq!((connect.client_streaming(), connect.server_streaming()), (true, true));
    assert_eq!(
        (connect.input_type(), connect.output_type()),
        (".jumpstarter.x.sample_board.v2.StreamData", ".jumpstarter.x.sample_board.v2.StreamData",)
    );
}

const fn with(methods: &'static [jumpstarter_core::describe::Method]) -> Interface {
    Interface {
        package: "jumpstarter.x",
        name: "odd",
        version: 1,
        service: "Odd",
        doc: "",
        python: "",
        also: &[],
        methods,
    }
}

#[test]
fn what_protobuf_cannot_express_is_an_error_that_names_the_place() {
    static NUMBER: Interface =
        with(&[samples::method("On", "on", &[samples::param("x", 19_500, Type::Bool)], Type::Unit)]);
    static NESTED: Interface = with(&[samples::method(
        "On",
        "on",
        &[samples::param("rows", 1, Type::List(&Type::List(&Type::I64)))],
        Type::Unit,
    )]);
    let error = descriptor::file(&NESTED).expect_err("no list of lists");
    assert_eq!(
        error.to_string(),
        "interface `odd` has no descriptor: on: rows: protobuf has no list, map or field of a list; put it into a `#[message]` struct"
    );
    assert!(descriptor::file(&NUMBER).is_err());
}

#[test]
fn two_types_of_one_name_are_an_error_and_one_type_met_twice_is_not() {
    fn other() -> &'static MessageSpec {
        static OTHER: MessageSpec = MessageSpec {
            name: "Reading",
            fields: &[Field { name: "volts", tag: 1, ty: Type::F64, default: None, unit: "", doc: "" }],
            reserved: (&[], &[]),
            list: false,
            doc: "",
        };
        &OTHER
    }
    static TWICE: Interface = with(&[
        samples::method("Read", "read", &[], Reading::TYPE),
        samples::method("Again", "again", &[], Reading::TYPE),
    ]);
    static CLASH: Interface = with(&[
        samples::method("Read", "read", &[], Reading::TYPE),
        samples::method("Other", "other", &[], Type::Message(other)),
    ]);
    let error = descriptor::file(&CLASH).expect_err("a clash");
    assert!(error.to_string().contains("other: the name `Reading` is taken twice"), "{error}");
    assert_eq!(descriptor::file(&TWICE).expect("a descriptor").file.message_type.len(), 1);
}

#[test]
fn printing_refuses_what_it_would_lose() {
    use prost_reflect::prost_types::{
        DescriptorProto, FileDescriptorProto, FileDescriptorSet, OneofDescriptorProto,
    };
    let union = FileDescriptorProto {
        name: Some("a.proto".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("A".to_owned()),
            oneof_decl: vec![OneofDescriptorProto { name: Some("either".to_owned()), options: None }],
            field: vec![prost_reflect::prost_types::FieldDescriptorProto {
                name: Some("x".to_owned()),
                number: Some(1),
                label: Some(1),
                r#type: Some(8),
                oneof_index: Some(0),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let set = FileDescriptorSet { file: vec![union] }.encode_to_vec();
    let error = jumpstarter_codegen::proto_text::print(&set, "a.proto").expect_err("a union");
    assert_eq!(error.to_string(), "message `A` has unions or extensions");
    assert!(jumpstarter_codegen::proto_text::print(&set, "b.proto").is_err());
    assert!(jumpstarter_codegen::proto_text::print(b"\xff", "a.proto").is_err());
}
