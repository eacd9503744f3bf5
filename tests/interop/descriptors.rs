//! A client that was compiled without any interface: all it knows is what reflection tells it.

use bytes::{Buf, BufMut};
use futures::stream;
use jumpstarter_client::{Endpoint, Options};
use jumpstarter_tests::ours;
use jumpstarter_transport::connect::{Channel, connect};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, ServiceDescriptor, Value,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status, Streaming};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// Messages as descriptors describe them. The answers are of this type.
#[derive(Clone)]
struct Dynamic(MessageDescriptor);

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item.encode_to_vec());
        Ok(())
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        DynamicMessage::decode(self.0.clone(), bytes).map(Some).map_err(|e| Status::internal(e.to_string()))
    }
}

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

/// One question to the exporter's reflection service.
async fn ask(channel: &Channel, question: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let answers = reflection.server_reflection_info(stream::iter([request])).await.expect("reflection");
    let answer = answers.into_inner().message().await.expect("an answer").expect("one answer");
    answer.message_response.expect("an answer with content")
}

/// The listed services with these last names, with all that their descriptors need.
async fn services(channel: &Channel, wanted: &[&str]) -> Vec<ServiceDescriptor> {
    let MessageResponse::ListServicesResponse(list) =
        ask(channel, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list of services");
    };
    let mut files: Vec<prost_types::FileDescriptorProto> = Vec::new();
    let mut questions: Vec<_> = list
        .service
        .iter()
        .filter(|service| wanted.contains(&service.name.rsplit('.').next().unwrap_or_default()))
        .map(|service| MessageRequest::FileContainingSymbol(service.name.clone()))
        .collect();
    while let Some(question) = questions.pop() {
        if let MessageRequest::FileByFilename(name) = &question
            && files.iter().any(|file| file.name() == name)
        {
            continue;
        }
        let MessageResponse::FileDescriptorResponse(found) = ask(channel, question.clone()).await else {
            panic!("no descriptor for {question:?}");
        };
        for bytes in found.file_descriptor_proto {
            let file = prost_types::FileDescriptorProto::decode(&bytes[..]).expect("a descriptor");
            if files.iter().all(|known| known.name() != file.name()) {
                questions.extend(file.dependency.iter().cloned().map(MessageRequest::FileByFilename));
                files.push(file);
            }
        }
    }
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos(files).expect("complete descriptors");
    pool.services().collect()
}

/// The method of the interface whose service has this last name.
fn method(services: &[ServiceDescriptor], service: &str, method: &str) -> MethodDescriptor {
    let found = services.iter().find(|known| known.name() == service).expect("the interface's service");
    found.methods().find(|known| known.name() == method).expect("the method")
}

fn path(method: &MethodDescriptor) -> http::uri::PathAndQuery {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    path.parse().expect("a path")
}

async fn ready(channel: &Channel) -> Grpc<Channel> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("a connection");
    grpc
}

fn field(message: &DynamicMessage, name: &str) -> Value {
    message.get_field_by_name(name).expect("the field").into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_only_descriptors_makes_calls_of_every_kind() {
    let config = "export:\n  power: {type: mock-power}\n  echo: {type: echo-network}\n";
    let exporter = ours::start_text(config).await;
    let endpoint = Endpoint::parse(&exporter.address.to_string()).expect("an address");
    let channel = connect(&endpoint, &Options::default().connect).await.expect("a channel");
    let services = services(&channel, &["Power", "Network"]).await;

    let on = method(&services, "Power", "On");
    assert!(!on.is_client_streaming() && !on.is_server_streaming());
    let request = Request::new(DynamicMessage::new(on.input()));
    let answer = ready(&channel).await.unary(request, path(&on), Dynamic(on.output())).await;
    assert_eq!(answer.expect("on").into_inner().encode_to_vec(), b"");

    let read = method(&services, "Power", "Read");
    assert!(!read.is_client_streaming() && read.is_server_streaming());
    let request = Request::new(DynamicMessage::new(read.input()));
    let answers = ready(&channel).await.server_streaming(request, path(&read), Dynamic(read.output())).await;
    let mut answers: Streaming<DynamicMessage> = answers.expect("readings").into_inner();
    let mut readings = Vec::new();
    while let Some(reading) = answers.message().await.expect("a reading") {
        readings.push((field(&reading, "voltage"), field(&reading, "current")));
    }
    let wanted =
        [(0.0, 0.0), (5.0, 2.0)].map(|(voltage, current)| (Value::F64(voltage), Value::F64(current)));
    assert_eq!(readings, wanted);

    let connect = method(&services, "Network", "Connect");
    assert!(connect.is_client_streaming() && connect.is_server_streaming());
    let (sender, receiver) = mpsc::channel(4);
    let request = Request::new(ReceiverStream::new(receiver));
    let answers = ready(&channel).await.streaming(request, path(&connect), Dynamic(connect.output())).await;
    let mut answers: Streaming<DynamicMessage> = answers.expect("a byte stream").into_inner();
    for piece in [&b"hello"[..], b"world"] {
        let mut message = DynamicMessage::new(connect.input());
        message.set_field_by_name("payload", Value::Bytes(piece.into()));
        sender.send(message).await.expect("a stream that is open");
        let answer = answers.message().await.expect("an answer").expect("a message");
        assert_eq!(field(&answer, "payload"), Value::Bytes(piece.into()));
    }
    drop(sender);
    assert!(answers.message().await.expect("the end").is_none());
    exporter.stop().await;
}
