//! Whole files.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{device, tidy::tidy};
use crate::{
    config::{
        FailureDetection, GrpcOption, Hooks, Metadata, Tls,
        client::{self, DriverPolicy, LeaseOptions, ShellOptions},
        exporter,
        user::{self, UserChoice},
    },
    driver::DriverFactory,
};

/// A file under construction.
struct File {
    generator: SchemaGenerator,
    properties: Map<String, Value>,
}

impl File {
    fn new(kind: &str) -> Self {
        let mut file =
            Self { generator: SchemaSettings::draft2020_12().into_generator(), properties: Map::new() };
        file.key(
            "apiVersion",
            json!({ "const": exporter::API_VERSION, "description": "Version of this form of file." }),
        );
        file.key("kind", json!({ "const": kind, "description": "Says what kind of file this is." }));
        file
    }

    fn key(&mut self, name: &str, schema: Value) {
        self.properties.insert(name.to_owned(), schema);
    }

    /// A key whose value is read as this type.
    fn part<T: JsonSchema>(&mut self, name: &str, description: &str) {
        let mut schema = self.generator.subschema_for::<T>().to_value();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), description.into());
        }
        self.key(name, schema);
    }

    fn text(&mut self, name: &str, description: &str) {
        self.key(name, json!({ "type": ["string", "null"], "description": description }));
    }

    fn text_like(&mut self, name: &str, description: &str, example: &str) {
        self.text(name, description);
        self.properties[name]["examples"] = json!([example]);
    }

    /// How connections are protected and tuned, which exporters and clients say alike.
    fn connection(&mut self) {
        self.key(
            "endpoint",
            json!({
                "type": ["string", "null"],
                "description": "Address of the controller, `HOST:PORT`.",
                "examples": ["grpc.lab.example.com:443"],
            }),
        );
        self.part::<Tls>("tls", "How connections to controller and router are protected.");
        let option = self.generator.subschema_for::<GrpcOption>().to_value();
        self.key(
            "grpcOptions",
            json!({
                "type": ["object", "null"],
                "description": "Options of connections to controller and router, by their gRPC names.",
                "additionalProperties": option,
                "examples": [{ "grpc.keepalive_time_ms": 20000 }],
            }),
        );
    }

    fn finish(mut self, title: &str, description: &str, required: &[&str]) -> Value {
        let definitions: Map<String, Value> = self.generator.take_definitions(true);
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            "description": description,
            "type": "object",
            "properties": self.properties,
            "additionalProperties": false,
        });
        if let Some(schema) = schema.as_object_mut() {
            if !definitions.is_empty() {
                schema.insert("$defs".to_owned(), Value::Object(definitions));
            }
            if !required.is_empty() {
                schema.insert("required".to_owned(), json!(required));
            }
        }
        tidy(&mut schema);
        schema
    }
}

/// Schema of the exporter file, in which every one of these drivers has its own configuration and children.
pub fn exporter(drivers: &[&'static dyn DriverFactory]) -> Value {
    let mut file = File::new(exporter::KIND);
    file.part::<Metadata>("metadata", "Who the exporter is; needed with a controller only.");
    file.connection();
    file.text("token", "How the exporter proves to the controller who it is.");
    file.text_like("description", "What `j --help` says at the top.", "Bench rig 3");
    file.text_like("motd", "Shown to people when they open a shell.", "Console: j console start-console");
    file.key("export", device::devices("The devices by name, in the order in which they are shown."));
    file.part::<Hooks>("hooks", "Scripts around each lease.");
    file.part::<FailureDetection>("failureDetection", "When a restart loop is given up.");
    file.key(
        "exitOnLeaseEnd",
        json!({ "type": "boolean", "default": false, "description": "End after the first lease." }),
    );
    let mut schema = file.finish(
        "Exporter file",
        "What an exporter offers: devices, and what happens around a lease.",
        &[],
    );
    let mut definitions = match schema["$defs"].take() {
        Value::Object(definitions) => definitions,
        _ => Map::new(),
    };
    device::define(drivers, &mut definitions);
    schema["$defs"] = Value::Object(definitions);
    schema
}

/// Schema of the client's file.
pub fn client() -> Value {
    let mut file = File::new(client::KIND);
    file.part::<Metadata>("metadata", "Who the client is.");
    file.connection();
    file.text("token", "How the client proves to the controller who it is.");
    file.text("refresh_token", "Gets a new token when the old one has expired; there after a login only.");
    file.part::<DriverPolicy>("drivers", "Which drivers may be used.");
    file.part::<ShellOptions>("shell", "What `jmp shell` starts.");
    file.part::<LeaseOptions>("leases", "How leases are waited for.");
    file.finish("Client file", "Which controller a client speaks with, and as whom.", &[])
}

/// Schema of the user's file.
pub fn user() -> Value {
    let mut file = File::new(user::KIND);
    file.part::<UserChoice>("config", "What the user has chosen.");
    file.finish("User file", "Which client is used where none is named.", &["config"])
}

/// Schema of a file that another crate reads: the keys of this type, beside `apiVersion` and `kind`.
pub fn file<T: JsonSchema>(kind: &str, title: &str, description: &str) -> Value {
    let mut file = File::new(kind);
    let mut shape = T::json_schema(&mut file.generator).to_value();
    if let Value::Object(properties) = shape["properties"].take() {
        file.properties.extend(properties);
    }
    file.finish(title, description, &[])
}
