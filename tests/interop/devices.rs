//! What our client does with an exporter, whichever it is: typed clients, streams, files, the log. Each check panics when
//! something is not as the interfaces promise.

use std::time::Duration;

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use jumpstarter::log::{LogSource, Severity};
use jumpstarter::{Delay, Error, ErrorKind, Sink, Source};
use jumpstarter_client::adapters::{Expect, Pattern, TcpForward};
use jumpstarter_client::{Device, Endpoint, Options, Security};
use jumpstarter_interfaces::{
    FlasherClient, NetworkClient, Packing, PowerClient, PowerReading, SerialClient, StorageMuxFlasherClient,
};
use jumpstarter_tests::drivers::errors::ErrorsClient;
use jumpstarter_tests::replay::Address;
use jumpstarter_transport::codec::{self, Encoding, pack, unpack};
use prost_types::{Value, value::Kind};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::checks::PackedDumps;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the mock supply measures.
pub(crate) const READINGS: [PowerReading; 2] =
    [PowerReading { voltage: 0.0, current: 0.0 }, PowerReading { voltage: 5.0, current: 2.0 }];

/// The tree of `reports/composite.yaml`.
pub(crate) const COMPOSITE: [[&str; 2]; 11] = [
    ["", "jumpstarter_driver_composite.client.CompositeClient"],
    ["board", "jumpstarter_driver_composite.client.CompositeClient"],
    ["board.power", "jumpstarter_driver_power.client.PowerClient"],
    ["board.serial", "jumpstarter_driver_pyserial.client.PySerialClient"],
    ["board.inner", "jumpstarter_driver_composite.client.CompositeClient"],
    ["board.inner.echo", "jumpstarter_driver_network.client.NetworkClient"],
    ["shorthand", "jumpstarter_driver_composite.client.CompositeClient"],
    ["shorthand.power", "jumpstarter_driver_power.client.PowerClient"],
    ["proxy", "jumpstarter_driver_power.client.PowerClient"],
    ["proxy_composite", "jumpstarter_driver_composite.client.CompositeClient"],
    ["proxy_composite.echo", "jumpstarter_driver_network.client.NetworkClient"],
];

/// The devices of an exporter.
pub(crate) async fn connect(address: &Address) -> Device {
    let endpoint = Endpoint::parse(&address.to_string()).expect("an address");
    let mut options = Options::default();
    options.connect.security = Security::ClearText;
    Device::connect(&endpoint, &options).await.expect("an exporter")
}

fn number(number: f64) -> Value {
    Value { kind: Some(Kind::NumberValue(number)) }
}

/// On, off, cycle, and what is measured.
pub(crate) async fn power(device: &Device, path: &str, readings: &[PowerReading]) {
    let power: PowerClient = device.client(path).expect("a supply");
    power.on().await.expect("on");
    assert_eq!(power.read().await.expect("a stream").collect().await.expect("readings"), readings);
    power.cycle(Delay::ZERO).await.expect("a cycle");
    power.off().await.expect("off");
}

/// Paths and client classes, in the exporter's order.
pub(crate) fn tree(device: &Device, wanted: &[[&str; 2]]) {
    let devices: Vec<_> = device.devices().collect();
    let tree: Vec<_> = devices.iter().map(|device| [device.path(), device.client_class()]).collect();
    assert_eq!(tree, wanted);
}

/// A conversation with a port that answers with what it is sent.
pub(crate) async fn console(device: &Device, path: &str) {
    let serial: SerialClient = device.client(path).expect("a port");
    let mut console = Expect::new(serial.connect().await.expect("a stream")).with_timeout(PATIENCE);
    console.send_line("ping").await.expect("a line");
    let pattern = Pattern::regex("p[i]ng").expect("a pattern");
    assert_eq!(console.expect(pattern).await.expect("an answer").text, "ping");
    console.send_line("pong").await.expect("another line");
    assert_eq!(console.expect("pong\n").await.expect("another answer").text, "pong\n");
}

fn same(name: &str, got: &[u8], wanted: &[u8]) {
    assert!(Sha256::digest(got) == Sha256::digest(wanted), "{name}: {} other bytes", got.len());
}

async fn packed(encoding: Encoding, plain: &Bytes) -> Bytes {
    let input = stream::iter([Ok::<_, codec::Error>(plain.clone())]);
    pack(Some(encoding), input).try_collect::<Vec<_>>().await.expect("packed").concat().into()
}

async fn unpacked(encoding: Encoding, packed: Bytes) -> Vec<u8> {
    let input = stream::iter([Ok::<_, codec::Error>(packed)]);
    unpack(Some(encoding), input).try_collect::<Vec<_>>().await.expect("unpacked").concat()
}

/// Bytes that do not compress, then a long run of one, which expands greatly.
fn image(seed: u8, size: usize) -> Bytes {
    let mut image = Vec::with_capacity(size + 32);
    while image.len() < size / 4 {
        let head = image.len().to_be_bytes();
        image.extend_from_slice(&Sha256::digest([&[seed][..], &head[..]].concat()));
    }
    image.resize(size, seed);
    image.into()
}

/// Images flashed and dumped, plain and with each compression, compared by digest.
pub(crate) async fn flash(device: &Device, path: &str, packed_dumps: PackedDumps) {
    let storage: StorageMuxFlasherClient = device.client(path).expect("a medium");
    let dump = async |compression| {
        let (sink, content) = Sink::to_memory();
        storage.dump(sink, compression).await?;
        content.await
    };
    let plain = image(b'p', 900_003);
    storage.flash(Source::from_bytes(plain.clone()), None).await.expect("flashed");
    same("plain", &dump(None).await.expect("dumped"), &plain);
    for (seed, encoding, packing) in [
        (1, Encoding::Gzip, Packing::Gzip),
        (2, Encoding::Xz, Packing::Xz),
        (3, Encoding::Bz2, Packing::Bz2),
        (4, Encoding::Zstd, Packing::Zstd),
    ] {
        let name = packing.name();
        let plain = image(seed, 800_000 + usize::from(seed));
        let file = packed(encoding, &plain).await;
        storage.flash(Source::from_bytes(file), Some(packing.into())).await.expect("flashed");
        same(name, &dump(None).await.expect("dumped"), &plain);
        match (packed_dumps, dump(Some(packing)).await) {
            (PackedDumps::Complete, Ok(file)) => same(name, &unpacked(encoding, file).await, &plain),
            (PackedDumps::Truncated, Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Truncated, "{name}: {error}");
                assert!(error.message().ends_with("leave out the compression"), "{name}: {error}");
            }
            (_, outcome) => panic!("{name}: {outcome:?}"),
        }
    }
}

/// An image that the exporter fetches itself.
pub(crate) async fn flash_from(device: &Device, path: &str, url: &str, content: &[u8]) {
    let flasher: FlasherClient = device.client(path).expect("a flasher");
    flasher.flash(Source::from_url(url, std::collections::BTreeMap::new()), None).await.expect("flashed");
    let (sink, dumped) = Sink::to_memory();
    flasher.dump(sink, None).await.expect("dumped");
    assert_eq!(dumped.await.expect("all of it"), content);
}

/// A byte stream: what is sent comes back.
pub(crate) async fn echo(device: &Device, path: &str) {
    let network: NetworkClient = device.client(path).expect("a network");
    let mut io = network.connect().await.expect("a stream");
    for piece in ["hello", "worldworldworld"] {
        io.send(piece).await.expect("sent");
        assert_eq!(io.recv().await.expect("an answer").as_deref(), Some(piece.as_bytes()));
    }
    io.finish().await.expect("the end");
    assert_eq!(io.recv().await.expect("the other end"), None);
}

/// A local port that leads to the recordings' greeter.
pub(crate) async fn forward(device: &Device, path: &str) {
    let target = device.find(path).expect("a network");
    let forward = TcpForward::local(&target).await.expect("a port");
    let mut stream = TcpStream::connect(forward.address()).await.expect("a connection");
    stream.write_all(b"you").await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("all of the answer");
    assert_eq!(answer, b"hello you");
}

/// A driver's log line while a method is called.
pub(crate) async fn logs(device: &Device, path: &str, line: &str) {
    let mut logs = device.connection().logs();
    device.client::<PowerClient>(path).expect("a supply").on().await.expect("on");
    let found = async {
        while let Some(seen) = logs.next().await {
            // A local session of 0.9.0 names the logger before the first line after a change.
            if seen.message.ends_with(line) && seen.source == LogSource::Driver {
                return Some(seen);
            }
        }
        None
    };
    let found =
        tokio::time::timeout(PATIENCE, found).await.expect("the line comes in time").expect("the line");
    assert_eq!(found.severity, Severity::Info);
}

fn error<T: std::fmt::Debug>(outcome: Result<T, Error>) -> (ErrorKind, String) {
    let error = outcome.expect_err("an error");
    (error.kind(), error.message().to_owned())
}

/// Errors of drivers as the errors of calls, by kind and text.
pub(crate) async fn errors(device: &Device, path: &str) {
    let errors: ErrorsClient = device.client(path).expect("the driver");
    let said = |kind: ErrorKind, text: &str| (kind, text.to_owned());
    assert_eq!(error(errors.value_error().await), said(ErrorKind::InvalidArgument, "bad value"));
    assert_eq!(error(errors.not_implemented().await), said(ErrorKind::Unsupported, "not here"));
    assert_eq!(error(errors.timeout_error().await), said(ErrorKind::Timeout, "too slow"));
    let broken = error(errors.runtime_error().await);
    assert_eq!(broken, said(ErrorKind::Device, "something broke"));
    assert_eq!(error(errors.unicode_message().await).1, "café 100% 世界");
    let sum = errors.add(number(1.0), None).await.expect("a sum");
    assert_eq!(sum.to_string(), "11");
    let raw = device.find(path).expect("the driver");
    assert_eq!(
        error(raw.call_values("nosuch", Vec::new()).await),
        said(ErrorKind::MethodNotFound, "method nosuch not found on driver")
    );
    let mut items = errors.count_then_fail(2).await.expect("a stream");
    assert_eq!(items.next().await.expect("an item").expect("a number"), 0);
    assert_eq!(items.next().await.expect("an item").expect("a number"), 1);
    let end = items.next().await.expect("an error");
    assert_eq!(error(end), said(ErrorKind::InvalidArgument, "after the items"));
    assert!(items.next().await.is_none());
}
