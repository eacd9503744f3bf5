//! Descriptions that come back from descriptors.

use std::{collections::BTreeSet, fmt::Write as _};

use jumpstarter_core::{
    ErrorKind,
    describe::{Field, Framing, Interface, Kind, Role, Type},
    descriptor,
    dynamic::{self, MAX_DESCRIPTOR, interface_from_descriptor},
};
use prost_types::Value;
use protox::file::{ChainFileResolver, DescriptorSetFileResolver, File, FileResolver};

use super::samples::SAMPLE;

/// Everything that a descriptor can carry, one thing to a line. Widths of integers are those of the wire.
fn outline(interface: &Interface) -> String {
    let mut out = format!("{} {} {:?}\n", interface.full_service(), interface.name, interface.doc);
    let mut types = Vec::new();
    for method in interface.methods {
        let _ = writeln!(
            out,
            "{} {} {:?} {} -> {} {:?}",
            method.rpc,
            method.export,
            method.kind,
            if method.framing == Framing::Messages { "messages" } else { "bytes" },
            name(method.ret),
            method.doc
        );
        types.push(method.ret);
        for param in method.params {
            let default = param.default.map(|make| make());
            let _ = writeln!(
                out,
                "  {} = {}: {} {:?} {} {} {:?}",
                param.name,
                param.tag,
                name(param.ty),
                param.role,
                show(default),
                param.rest,
                param.doc
            );
            types.push(param.ty);
        }
    }
    let mut seen = BTreeSet::new();
    let mut described = BTreeSet::new();
    while let Some(ty) = types.pop() {
        match ty {
            Type::Opt(inner) | Type::List(inner) | Type::Map(inner) => types.push(*inner),
            Type::Enum(spec) => {
                described.insert(format!("{} {:?} {:?}", spec().name, spec().values, spec().doc));
            }
            Type::Message(spec) if seen.insert(spec().name) => {
                let spec = spec();
                let mut text = format!("{} {} {:?}", spec.name, spec.list, spec.doc);
                for Field { name: field, tag, ty, default, unit, doc } in spec.fields {
                    let _ = write!(
                        text,
                        "\n  {field} = {tag}: {} {} {unit} {doc:?}",
                        name(*ty),
                        show(default.map(|make| make()))
                    );
                    types.push(*ty);
                }
                described.insert(text);
            }
            _ => {}
        }
    }
    out + &described.into_iter().collect::<Vec<_>>().join("\n")
}

fn show(default: Option<Value>) -> String {
    default.map_or_else(|| "-".to_owned(), |value| dynamic::to_json(&value).to_string())
}

fn name(ty: Type) -> String {
    match ty {
        Type::I32 | Type::I64 => "integer".to_owned(),
        Type::U8 | Type::U16 | Type::U32 => "unsigned".to_owned(),
        Type::Opt(inner) => format!("{}?", name(*inner)),
        Type::List(inner) => format!("[{}]", name(*inner)),
        Type::Map(inner) => format!("{{{}}}", name(*inner)),
        Type::Message(spec) => spec().name.to_owned(),
        Type::Enum(spec) => spec().name.to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_description_survives_becoming_a_descriptor_and_coming_back() {
    let bytes = &descriptor::file(&SAMPLE).expect("a descriptor").bytes;
    let back = interface_from_descriptor(bytes, &SAMPLE.full_service()).expect("a description");
    pretty_equal(&outline(back), &outline(&SAMPLE));
}

fn pretty_equal(left: &str, right: &str) {
    for (left, right) in left.lines().zip(right.lines()) {
        assert_eq!(left, right);
    }
    assert_eq!(left.lines().count(), right.lines().count());
}

#[test]
fn a_description_that_came_back_has_the_same_descriptor() {
    let ours = descriptor::file(&SAMPLE).expect("a descriptor");
    let back = interface_from_descriptor(&ours.bytes, &SAMPLE.full_service()).expect("a description");
    let mut again = descriptor::file(back).expect("a descriptor").file.clone();
    // Numbers and names that may not be used again concern whoever changes the interface, not its users.
    let mut expected = ours.file.clone();
    for file in [&mut again, &mut expected] {
        for message in &mut file.message_type {
            message.reserved_name.clear();
            message.reserved_range.clear();
        }
    }
    assert_eq!(again, expected);
}

#[test]
fn pitfall_d12_a_file_and_a_set_of_files_are_both_read() {
    let service = SAMPLE.full_service();
    let file = descriptor::file(&SAMPLE).expect("a descriptor").bytes.clone();
    let set = descriptor::file_set(&SAMPLE).expect("a descriptor");
    let from_file = interface_from_descriptor(&file, &service).expect("a description");
    let from_set = interface_from_descriptor(&set, &service).expect("a description");
    assert_eq!(outline(from_file), outline(from_set));
    assert_eq!(dynamic::services(&file).expect("services"), std::slice::from_ref(&service));
    assert!(dynamic::services(&set).expect("services").contains(&service));
}

#[test]
fn the_same_descriptor_gives_the_same_description() {
    let bytes = &descriptor::file(&SAMPLE).expect("a descriptor").bytes;
    let service = SAMPLE.full_service();
    let first = interface_from_descriptor(bytes, &service).expect("a description");
    let second = interface_from_descriptor(bytes, &format!(".{service}")).expect("a description");
    assert!(std::ptr::eq(first, second));
}

struct Text(&'static str);

impl FileResolver for Text {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "foreign.proto" {
            File::from_source(name, self.0)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}

fn foreign(text: &'static str) -> Vec<u8> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Text(text));
    resolver.add(DescriptorSetFileResolver::decode(jumpstarter_protocol::DESCRIPTORS).expect("the protocol"));
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_source_info(true).include_imports(true);
    compiler.open_file("foreign.proto").expect("it compiles");
    compiler.encode_file_descriptor_set()
}

#[test]
fn descriptors_that_others_wrote_by_hand_are_read() {
    let set = foreign(
        r#"
        syntax = "proto3";
        package jumpstarter.interfaces.power.v1;
        import "google/protobuf/empty.proto";
        import "google/protobuf/struct.proto";
        import "google/protobuf/timestamp.proto";

        // Control power.
        service PowerInterface {
          // Energize.
          rpc On(google.protobuf.Empty) returns (google.protobuf.Empty);
          rpc GetCPUInfo(Query) returns (GetCPUInfoResponse);
          rpc Read(google.protobuf.Empty) returns (stream Reading);
          rpc Open(stream Piece) returns (stream Piece);
          rpc Upload(stream Query) returns (Reading);
          rpc Zigzag(Odd) returns (google.protobuf.Empty);
        }
        message Query {
          // How deep.
          int32 depth = 3;
          optional string name = 1;
          oneof either { bool a = 4; Level level = 5; }
          map<string, Inner> inner = 6;
          message Inner { repeated Inner more = 1; google.protobuf.Value any = 2; }
        }
        message GetCPUInfoResponse { repeated string value = 1; }
        message Reading { double volts = 1; google.protobuf.Timestamp at = 2; } // trailing
        message Piece { bytes data = 1; }
        message Odd { sint32 value = 1; }
        enum Level { LOW = 0; LEVEL_HIGH = 1; }
        "#,
    );
    let service = "jumpstarter.interfaces.power.v1.PowerInterface";
    let interface = interface_from_descriptor(&set, service).expect("a description");
    assert_eq!(interface.full_service(), service);
    assert_eq!((interface.name, interface.version, interface.doc), ("power", 1, "Control power."));
    let methods: Vec<_> =
        interface.methods.iter().map(|method| (method.export, method.kind, name(method.ret))).collect();
    assert_eq!(
        methods,
        [
            ("on", Kind::Unary, "Unit".to_owned()),
            ("get_cpu_info", Kind::Unary, "[Str]".to_owned()),
            ("read", Kind::ServerStream, "Reading".to_owned()),
            ("open", Kind::Bytes, "Unit".to_owned()),
        ],
        "streams of typed requests and zigzag integers are left out"
    );
    let params: Vec<_> =
        interface.methods[1].params.iter().map(|p| (p.name, p.tag, name(p.ty), p.role, p.doc)).collect();
    assert_eq!(
        params,
        [
            ("depth", 3, "integer".to_owned(), Role::Wire, "How deep."),
            ("name", 1, "Str?".to_owned(), Role::Wire, ""),
            ("a", 4, "Bool?".to_owned(), Role::Wire, ""),
            ("level", 5, "Level?".to_owned(), Role::Wire, ""),
            ("inner", 6, "{Inner}".to_owned(), Role::Wire, ""),
        ]
    );
    let Type::Opt(Type::Enum(level)) = interface.methods[1].params[3].ty else { panic!("an enum") };
    assert_eq!(level().values, [("low", 0, ""), ("high", 1, "")]);
    let Type::Map(Type::Message(inner)) = interface.methods[1].params[4].ty else {
        panic!("a map of messages")
    };
    let Type::List(Type::Message(again)) = inner().fields[0].ty else { panic!("a list of messages") };
    assert!(std::ptr::eq(inner(), again()), "recursion ends in the same message");
}

#[test]
fn a_descriptor_that_cannot_be_used_says_why() {
    let bytes = &descriptor::file(&SAMPLE).expect("a descriptor").bytes;
    let refused = |bytes: &[u8], service: &str| {
        let error = interface_from_descriptor(bytes, service).expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.to_string()
    };
    assert_eq!(
        refused(bytes, "jumpstarter.x.sample_board.v2.Other"),
        "the descriptor of `jumpstarter.x.sample_board.v2.Other` cannot be used: it does not contain this service"
    );
    assert!(
        refused(bytes, "vendor.Lamp")
            .contains("does not end in a name and a version, as in `example.lamp.v1`")
    );
    assert!(refused(b"", "a.b.v1.C").contains("neither a file with a name nor a complete set"));
    assert!(refused(b"\xff\xff", "a.b.v1.C").contains("cannot be used"));
    assert!(refused(&vec![0; MAX_DESCRIPTOR + 1], "a.b.v1.C").contains("at most 1048576 are read"));
}
