//! The generated protocol, looked at from outside.

use jumpstarter_protocol::{DESCRIPTORS, annotations, v1};
use prost::Message;
use prost_types::FileDescriptorSet;

#[test]
fn the_descriptor_set_holds_every_file_and_its_imports_before_it() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("a descriptor set");
    let names: Vec<_> = set.file.iter().map(prost_types::FileDescriptorProto::name).collect();
    for file in ["jumpstarter/v1/jumpstarter.proto", "jumpstarter/v1/router.proto", annotations::FILE] {
        assert!(names.contains(&file), "{file} is missing from {names:?}");
    }
    for (index, file) in set.file.iter().enumerate() {
        for dependency in &file.dependency {
            assert!(
                names[..index].contains(&dependency.as_str()),
                "{dependency} does not precede {}",
                file.name()
            );
        }
    }
}

#[test]
fn the_resource_handle_option_has_its_number_and_type() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("a descriptor set");
    let file = set.file.iter().find(|file| file.name() == annotations::FILE).expect("the annotations");
    let option = &file.extension[0];
    assert_eq!(format!("{}.{}", file.package(), option.name()), annotations::RESOURCE_HANDLE);
    assert_eq!(u32::try_from(option.number()).expect("a field number"), annotations::RESOURCE_HANDLE_NUMBER);
    assert_eq!(option.extendee(), ".google.protobuf.FieldOptions");
}

#[test]
fn additions_have_the_numbers_that_peers_know_them_by() {
    let report = v1::DriverInstanceReport {
        file_descriptor_proto: vec!["d".into()],
        native_services: vec!["s".to_owned()],
        ..Default::default()
    };
    assert_eq!(report.encode_to_vec(), b"\x32\x01d\x3a\x01s");
    let response = v1::GetReportResponse { motd: "m".to_owned(), ..Default::default() };
    assert_eq!(response.encode_to_vec(), b"\x2a\x01m");
    let unregister = v1::UnregisterRequest { reason: "r".to_owned() };
    assert_eq!(unregister.encode_to_vec(), b"\x12\x01r");
}

#[test]
fn frame_types_are_an_open_enumeration() {
    // Type 9 is nobody's; it has to survive decoding so that a router can pass it on.
    let frame = v1::StreamRequest::decode(b"\x0a\x01x\x10\x09".as_slice()).expect("a frame");
    assert_eq!((frame.payload.as_ref(), frame.frame_type), (b"x".as_slice(), 9));
    assert!(v1::FrameType::try_from(frame.frame_type).is_err());
}
