"""Prints every field, value and method of the existing implementation's protocol, one in each line."""

import importlib

from google.protobuf.descriptor import FieldDescriptor

FILES = [
    "jumpstarter_protocol.jumpstarter.v1.common_pb2",
    "jumpstarter_protocol.jumpstarter.v1.jumpstarter_pb2",
    "jumpstarter_protocol.jumpstarter.v1.kubernetes_pb2",
    "jumpstarter_protocol.jumpstarter.v1.router_pb2",
    "jumpstarter_protocol.jumpstarter.client.v1.client_pb2",
]
TYPES = {
    number: name.removeprefix("TYPE_").lower() for name, number in vars(FieldDescriptor).items() if name.startswith("TYPE_")
}


def kind(field):
    if field.message_type is not None:
        return field.message_type.full_name
    if field.enum_type is not None:
        return field.enum_type.full_name
    return TYPES[field.type]


def message(descriptor):
    for field in descriptor.fields:
        many = "repeated " if field.is_repeated else "optional " if field.has_presence else ""
        print(f"{descriptor.full_name} {field.number} {field.name}: {many}{kind(field)}")
    for nested in descriptor.nested_types:
        message(nested)
    for nested in descriptor.enum_types:
        enum(nested)


def enum(descriptor):
    for value in descriptor.values:
        print(f"{descriptor.full_name} {value.number} {value.name}")


def stream(yes):
    return "stream " if yes else ""


for name in FILES:
    file = importlib.import_module(name).DESCRIPTOR
    for descriptor in file.message_types_by_name.values():
        message(descriptor)
    for descriptor in file.enum_types_by_name.values():
        enum(descriptor)
    for service in file.services_by_name.values():
        for method in service.methods:
            request = stream(method.client_streaming) + method.input_type.full_name
            answer = stream(method.server_streaming) + method.output_type.full_name
            print(f"{service.full_name}/{method.name}: {request} -> {answer}")
