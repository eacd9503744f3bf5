//! The native service of an interface, reflection and health.

use std::sync::Arc;

use bytes::Bytes;
use jumpstarter_session::{Access, LogBuffer, Session};
use jumpstarter_transport::server::{Peer, Server};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    driver::{Tester, composite},
    host::Host,
};

const HEADER: &str = "x-jumpstarter-driver-uuid";
const SERVICES: [&str; 2] =
    ["jumpstarter.x.tester.v1.Tester", "jumpstarter.interfaces.tester.v1.TesterInterface"];

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(int64, tag = "1")]
    value: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Failing {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct StreamData {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
}

fn request<T>(message: T, uuid: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(uuid) = uuid {
        request.metadata_mut().insert(HEADER, uuid.parse().unwrap());
    }
    request
}

async fn unary<A, B>(channel: &Channel, path: &str, message: A, uuid: Option<&str>) -> Result<B, Status>
where
    A: Message + Send + Sync + 'static,
    B: Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = path.parse::<PathAndQuery>().unwrap();
    Ok(grpc.unary(request(message, uuid), path, ProstCodec::<A, B>::default()).await?.into_inner())
}

async fn bytes(
    channel: &Channel,
    path: &str,
) -> Result<(mpsc::Sender<StreamData>, Streaming<StreamData>), Status> {
    let (sender, receiver) = mpsc::channel(16);
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = path.parse::<PathAndQuery>().unwrap();
    let response = grpc
        .streaming(
            Request::new(ReceiverStream::new(receiver)),
            path,
            ProstCodec::<StreamData, StreamData>::default(),
        )
        .await?;
    Ok((sender, response.into_inner()))
}

fn data(payload: &'static str) -> StreamData {
    StreamData { payload: payload.into() }
}

#[tokio::test]
async fn pitfall_d13_a_service_answers_under_all_its_names() {
    let host = Host::new();
    let channel = host.channel().await;
    for service in SERVICES {
        let answer: Text =
            unary(&channel, &format!("/{service}/Echo"), Text { value: "hi".to_owned() }, None)
                .await
                .unwrap();
        assert_eq!(answer.value, "hi");
    }
}

#[tokio::test]
async fn a_method_answers_on_the_paths_of_its_former_names() {
    let host = Host::new();
    let channel = host.channel().await;
    for service in SERVICES {
        for rpc in ["Repeat", "Say"] {
            let path = format!("/{service}/{rpc}");
            let answer: Text = unary(&channel, &path, Text { value: "hi".to_owned() }, None).await.unwrap();
            assert_eq!(answer.value, "hi", "{path}");
        }
    }
}

#[tokio::test]
async fn a_stream_of_answers_ends_with_ok_or_with_its_error() {
    let host = Host::new();
    for (method, code) in [("Count", Code::Ok), ("CountThenFail", Code::InvalidArgument)] {
        let mut grpc = Grpc::new(host.channel().await);
        grpc.ready().await.unwrap();
        let path = format!("/{}/{method}", SERVICES[0]).parse::<PathAndQuery>().unwrap();
        let codec = ProstCodec::<Number, Number>::default();
        let mut stream =
            grpc.server_streaming(Request::new(Number { value: 3 }), path, codec).await.unwrap().into_inner();
        let mut items = Vec::new();
        let end = loop {
            match stream.message().await {
                Ok(Some(item)) => items.push(item.value),
                Ok(None) => break Code::Ok,
                Err(status) => break status.code(),
            }
        };
        assert_eq!((items, end), (vec![0, 1, 2], code));
    }
}

#[tokio::test]
async fn native_calls_say_precisely_what_went_wrong() {
    let host = Host::new();
    let channel = host.channel().await;
    let path = format!("/{}/Fail", SERVICES[0]);
    for (kind, code) in [
        ("unsupported", Code::Unimplemented),
        ("invalid", Code::InvalidArgument),
        ("timeout", Code::DeadlineExceeded),
        ("disconnected", Code::Unavailable),
        ("busy", Code::ResourceExhausted),
        ("absent", Code::FailedPrecondition),
        ("cancelled", Code::Cancelled),
    ] {
        let message = Failing { kind: kind.to_owned(), text: "why".to_owned() };
        let status = unary::<_, ()>(&channel, &path, message, None).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, "why"), "{kind}");
        assert!(!status.details().is_empty(), "the kind is in the details");
    }
    let status = unary::<_, ()>(&channel, &format!("/{}/Panic", SERVICES[0]), (), None).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let status = unary::<_, ()>(&channel, &format!("/{}/Nosuch", SERVICES[0]), (), None).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

/// A session with two testers, and a channel to it.
async fn two() -> (Session, Server<jumpstarter_session::SessionService>, Channel, [String; 3]) {
    let (life, logs) = (Arc::default(), LogBuffer::new());
    let a = Tester::new("a", &life).instance(logs.clone(), vec![]);
    let b = Tester::new("b", &life).instance(logs.clone(), vec![]);
    let inner = composite(vec![("b".to_owned(), b.clone())]);
    let root = composite(vec![("a".to_owned(), a.clone()), ("inner".to_owned(), inner.clone())]);
    let session = Session::builder(root).logs(logs).build().unwrap();
    let server = Server::new(session.service(Access::open()));
    let (near, far) = tokio::io::duplex(64 * 1024);
    server.connection(far, Peer::Tunnel);
    let mut near = Some(near);
    let connect = tower::service_fn(move |_| {
        let near = near.take().ok_or_else(|| std::io::Error::other("one connection only"));
        async { near.map(hyper_util::rt::TokioIo::new) }
    });
    let channel = tonic::transport::Endpoint::from_static("http://localhost")
        .connect_with_connector(connect)
        .await
        .unwrap();
    let uuids = [a.uuid, b.uuid, inner.uuid].map(|uuid| uuid.to_string());
    (session, server, channel, uuids)
}

#[tokio::test]
async fn pitfall_d14_several_instances_are_told_apart_by_metadata_and_listed_without_it() {
    let (_session, _server, channel, [a, b, inner]) = two().await;
    let path = format!("/{}/Echo", SERVICES[0]);
    let call = async |uuid| unary::<_, Text>(&channel, &path, Text { value: "x".to_owned() }, uuid).await;
    let upper = a.to_uppercase();
    for uuid in [&a, &b, &upper] {
        assert_eq!(call(Some(uuid.as_str())).await.unwrap().value, "x");
    }
    let status = call(None).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    for part in ["a (", "inner.b (", a.as_str(), b.as_str(), HEADER] {
        assert!(status.message().contains(part), "{part} in {status:?}");
    }
    for (uuid, words) in [
        ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
        ("nonsense", "no uuid"),
        (inner.as_str(), "inner ("),
    ] {
        let status = call(Some(uuid)).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
        assert!(status.message().contains(words), "{status:?}");
    }
}

#[tokio::test]
async fn a_native_byte_stream_carries_both_directions_and_ends_with_the_clients_half() {
    let host = Host::new();
    let channel = host.channel().await;
    let (sender, mut stream) = bytes(&channel, &format!("/{}/Connect", SERVICES[0])).await.unwrap();
    for piece in ["a", "bc"] {
        sender.send(data(piece)).await.unwrap();
        assert_eq!(stream.message().await.unwrap(), Some(data(piece)));
    }
    drop(sender);
    assert_eq!(stream.message().await.unwrap(), None);
    host.tester.seen("end").await;
    host.is_idle().await;
}

#[tokio::test]
async fn pitfall_s1_a_native_byte_stream_that_is_cut_is_an_error_for_the_driver() {
    for cut in crate::host::Cut::ALL {
        let host = Host::new();
        let raw = host.raw().await;
        let mut call = raw.open(&format!("/{}/Connect", SERVICES[0]), &[]).await;
        call.message(&data("x"));
        host.tester.seen("got b\"x\"").await;
        let response = (&mut call.response).await.unwrap();
        call.cut(raw, cut);
        host.tester.seen("cut: ConnectionAborted").await;
        drop(response);
        host.is_idle().await;
    }
}

#[tokio::test]
async fn the_end_of_the_drivers_data_ends_a_native_byte_stream() {
    let host = Host::new();
    let channel = host.channel().await;
    let (_sender, mut stream) = bytes(&channel, &format!("/{}/Greeter", SERVICES[0])).await.unwrap();
    assert_eq!(stream.message().await.unwrap(), Some(data("hello")));
    assert_eq!(stream.message().await.unwrap(), None);
    let (_sender, mut stream) = bytes(&channel, &format!("/{}/Broken", SERVICES[0])).await.unwrap();
    assert_eq!(stream.message().await.unwrap(), Some(data("partial")));
    stream.message().await.unwrap_err();
    assert_eq!(
        bytes(&channel, &format!("/{}/Refused", SERVICES[0])).await.unwrap_err().code(),
        Code::Unavailable
    );
}

#[tokio::test]
async fn files_reach_native_calls_by_handles_as_text() {
    let host = Host::new();
    let stream = host.open_resource(Some("gzip")).await.unwrap();
    let handle = stream.metadata.get("resource").unwrap().to_str().unwrap().to_owned();
    let channel = host.channel().await;
    let flashing = tokio::spawn(async move {
        unary::<_, Text>(&channel, &format!("/{}/Flash", SERVICES[0]), Text { value: handle }, None).await
    });
    let plain = futures::stream::iter([Ok::<_, jumpstarter_transport::codec::Error>(Bytes::from("image"))]);
    let mut packed =
        jumpstarter_transport::codec::pack(Some(jumpstarter_transport::codec::Encoding::Gzip), plain);
    while let Some(piece) = futures::StreamExt::next(&mut packed).await {
        stream.send(piece.unwrap()).await;
    }
    stream.goaway().await;
    assert_eq!(flashing.await.unwrap().unwrap().value, crate::driver::digest(b"image"));
}

async fn reflect(channel: &Channel, request: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut answers =
        client.server_reflection_info(futures::stream::iter([request])).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test]
async fn reflection_lists_the_services_of_the_drivers_and_describes_them() {
    let host = Host::new();
    let channel = host.channel().await;
    let MessageResponse::ListServicesResponse(list) =
        reflect(&channel, MessageRequest::ListServices(String::new())).await
    else {
        panic!("not a list")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in SERVICES.into_iter().chain([
        "jumpstarter.v1.ExporterService",
        "jumpstarter.v1.RouterService",
        "grpc.reflection.v1.ServerReflection",
        "grpc.health.v1.Health",
    ]) {
        assert!(names.iter().any(|listed| listed == name), "{name} in {names:?}");
    }
    let MessageResponse::FileDescriptorResponse(file) =
        reflect(&channel, MessageRequest::FileContainingSymbol(SERVICES[0].to_owned())).await
    else {
        panic!("not a file")
    };
    let report = host.session.report();
    assert_eq!(file.file_descriptor_proto, [report.reports[1].file_descriptor_proto[0].to_vec()]);
    // Every name that is listed can be described, further names of an interface as well.
    for name in names {
        let symbol = MessageRequest::FileContainingSymbol(name.clone());
        let answer = reflect(&channel, symbol).await;
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{name}: {answer:?}");
    }
    let symbol = MessageRequest::FileContainingSymbol("jumpstarter.v1.ExporterService".to_owned());
    assert!(matches!(reflect(&channel, symbol).await, MessageResponse::FileDescriptorResponse(_)));
}

#[tokio::test]
async fn health_is_well_until_the_session_ends() {
    let host = Host::new();
    let mut client = HealthClient::new(host.channel().await);
    for service in ["", SERVICES[0], "jumpstarter.v1.ExporterService"] {
        let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    let status = client.check(HealthCheckRequest { service: "no.Such".to_owned() }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let mut watch = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    host.session.end().await;
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
}
