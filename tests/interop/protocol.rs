//! The protocol itself: what upstream's generated code says about it, line by line, beside ours.

use std::{collections::BTreeSet, fmt::Write as _};

use jumpstarter_tests::python::{python, scripts};
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

/// What upstream declares and never calls, nor answers.
const LEFT_OUT: &[&str] = &[
    "jumpstarter.v1.ControllerService/AuditStream: stream jumpstarter.v1.AuditStreamRequest -> google.protobuf.Empty",
];

fn kind(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(of) => of.full_name().to_owned(),
        plain => format!("{plain:?}").to_lowercase(),
    }
}

fn message(descriptor: &MessageDescriptor, lines: &mut BTreeSet<String>) {
    for field in descriptor.fields() {
        let many = if field.is_list() || field.is_map() {
            "repeated "
        } else if field.supports_presence() {
            "optional "
        } else {
            ""
        };
        let (number, name) = (field.number(), field.name());
        lines.insert(format!("{} {number} {name}: {many}{}", descriptor.full_name(), kind(&field)));
    }
    descriptor.child_messages().for_each(|child| message(&child, lines));
    descriptor.child_enums().for_each(|child| values(&child, lines));
}

fn values(descriptor: &EnumDescriptor, lines: &mut BTreeSet<String>) {
    for value in descriptor.values() {
        lines.insert(format!("{} {} {}", descriptor.full_name(), value.number(), value.name()));
    }
}

fn ours() -> BTreeSet<String> {
    let pool = DescriptorPool::decode(jumpstarter_protocol::DESCRIPTORS).expect("descriptors");
    let mut lines = BTreeSet::new();
    for file in pool.files().filter(|file| file.package_name().starts_with("jumpstarter.")) {
        file.messages().for_each(|descriptor| message(&descriptor, &mut lines));
        file.enums().for_each(|descriptor| values(&descriptor, &mut lines));
    }
    for service in pool.services() {
        for method in service.methods() {
            let stream = |yes| if yes { "stream " } else { "" };
            let mut line = format!("{}/{}: ", service.full_name(), method.name());
            let _ = write!(line, "{}{}", stream(method.is_client_streaming()), method.input().full_name());
            let _ =
                write!(line, " -> {}{}", stream(method.is_server_streaming()), method.output().full_name());
            lines.insert(line);
        }
    }
    lines
}

#[tokio::test]
async fn every_field_and_method_of_upstream_is_where_it_is_upstream() {
    let Some(python) = python() else { return };
    let mut command = python.process("python");
    let output = command.arg(scripts().join("protocol.py")).output().await.expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("text");
    let ours = ours();
    let missing: Vec<_> = said
        .lines()
        .filter(|line| !ours.contains(*line) && !LEFT_OUT.contains(line))
        .filter(|line| !line.starts_with("jumpstarter.v1.AuditStreamRequest "))
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(said.lines().filter(|line| line.starts_with("jumpstarter.client.v1.")).count() > 50, "{said}");
}
