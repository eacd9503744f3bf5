//! Every method of every driver: the unmodified Python client on our exporter, our client on the unmodified Python exporter.

use futures::{SinkExt, StreamExt};
use jumpstarter::{Error, ErrorKind, Io};
use jumpstarter_client::Device;
use jumpstarter_interfaces::{NetworkAddressClient, NetworkClient, VncScreenClient};
use jumpstarter_tests::{
    client::Client,
    exporter::{Exporter, Program},
    methods::{Methods, Pair},
    programs,
    python::{Python, python},
};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpStream, UdpSocket, UnixStream},
    process::{Child, Command},
};
use tokio_tungstenite::tungstenite::Message;

use super::{bus, connect, entry, file, peers, place};
use crate::shell::j;

/// A message that is larger than a piece of a byte stream.
const LARGE: usize = 300_000;

/// Everything of the family, with peers behind it.
struct Bench {
    text: String,
    tcp: peers::Peer,
    udp: peers::Peer,
    websocket: peers::Peer,
    _unix: peers::UnixPeer,
    bus: bus::Daemon,
}

impl Bench {
    async fn start() -> Option<Self> {
        let bus = bus::Daemon::start().await?;
        let (tcp, udp, websocket) =
            (peers::tcp(peers::echo).await, peers::udp().await, peers::websocket().await);
        let unix = peers::unix();
        let screen = format!(
            "vnc: {{type: jumpstarter_driver_vnc.driver.Vnc, config: {{default_encrypt: true}}, children: {{{}}}}}",
            entry("tcp", "TcpNetwork", &place(tcp.address))
        );
        let text = file(&[
            entry("tcp", "TcpNetwork", &place(tcp.address)),
            entry("hidden", "TcpNetwork", &format!("{}, enable_address: false", place(tcp.address))),
            entry("unknown", "TcpNetwork", "host: no-such-host.invalid, port: 22"),
            entry("udp", "UdpNetwork", &place(udp.address)),
            entry("unix", "UnixNetwork", &format!("path: {}", unix.path.display())),
            entry("vsock", "VsockNetwork", "cid: 4242, port: 7"),
            entry("system", "DbusNetwork", "kind: system"),
            entry("session", "DbusNetwork", "kind: session"),
            "echo: {type: jumpstarter_driver_network.driver.EchoNetwork}".to_owned(),
            entry("websocket", "WebsocketNetwork", &format!("url: 'ws://{}/console'", websocket.address)),
            screen,
        ]);
        Some(Self { text, tcp, udp, websocket, _unix: unix, bus })
    }

    async fn exporter(&self, program: &Program) -> Exporter {
        Exporter::local_with(program, &self.text, &self.bus.environment()).await.expect("an exporter")
    }
}

/// Whether these are the answers to the steps of `python/checks/stream.py`.
async fn steps(client: &Client, node: &str, steps: &[&str], wanted: &[&str]) -> Result<(), String> {
    let outcome =
        client.check("stream", &[&[node], steps].concat()).await.map_err(|error| error.to_string())?;
    if outcome.code != Some(0) {
        return Err(outcome.stderr);
    }
    let answers: Vec<_> = outcome.stdout.lines().collect();
    if answers == wanted { Ok(()) } else { Err(format!("{answers:?} instead of {wanted:?}")) }
}

/// The Python client, on whichever exporter; what it sees of the drivers is the same with both.
async fn python_client(
    client: &Client,
    bench: &Bench,
) -> Vec<(&'static str, &'static str, Result<(), String>)> {
    let half_close = ["send:hello", "receive", "finish", "receive", "end"];
    let farewell = ["b'hello'", "b'bye'", "end"];
    let messages = ["send:one", "send:", "send:two", "receive", "receive", "receive"];
    let pieces = ["b'one'", "b''", "b'two'"];
    let large = format!("size:{LARGE}");
    let conversation = [&messages[..], &[&large, "receive", "send:text", "receive"]].concat();
    let size = LARGE.to_string();
    let answers = [&pieces[..], &[&size, "b'gr\\xc3\\xbc\\xc3\\x9fe'"]].concat();
    let call = async |node, wanted: &str| steps(client, node, &["call:address"], &[wanted]).await;
    let udp = bench.udp.address;
    vec![
        ("tcp-network", "connect", steps(client, "tcp", &half_close, &farewell).await),
        ("tcp-network", "address", call("tcp", &format!("tcp://{}", bench.tcp.address)).await),
        ("udp-network", "connect", steps(client, "udp", &messages, &pieces).await),
        ("udp-network", "address", call("udp", &format!("udp://{udp}")).await),
        ("unix-network", "connect", steps(client, "unix", &half_close, &farewell).await),
        ("dbus-network", "connect", bus::python_lists_names(client).await),
        ("echo-network", "connect", steps(client, "echo", &messages, &pieces).await),
        ("websocket-network", "connect", steps(client, "websocket", &conversation, &answers).await),
        (
            "websocket-network",
            "address",
            call("websocket", &format!("ws://{}/console", bench.websocket.address)).await,
        ),
    ]
}

async fn python_calls(client: &Client) {
    // What has no address, and what may not tell it; a name that only others may know is told as it is.
    let errors = async |node: &str| {
        let output = client.check("errors", &[node, "address"]).await.expect("the check runs").success();
        let (class, caught, text): (String, Vec<String>, String) =
            serde_json::from_str(&output).expect("JSON");
        (class, caught, text)
    };
    for node in WITHOUT_ADDRESS {
        let (class, _, text) = errors(node).await;
        assert_eq!(class, "DriverMethodNotImplemented", "{node}");
        assert!(text.ends_with("method address not found on driver"), "{node}: {text}");
    }
    let (class, caught, text) = errors("hidden").await;
    assert_eq!(
        (class.as_str(), &caught[..]),
        ("DriverInvalidArgument", &["DriverError", "ValueError"].map(str::to_owned)[..])
    );
    assert!(text.contains("enable_address"), "{text}");
    let address =
        client.python("answer(node('unknown').address(), node('system').kind, node('session').kind)").await;
    let address = address.expect("python runs").success();
    assert!(
        address.lines().any(|line| line == "= tcp://no-such-host.invalid:22 system session"),
        "{address}"
    );
    let words = client.j(&["unknown", "address"]).await.expect("j runs").success();
    assert_eq!(words.trim(), "no-such-host.invalid:22");
    let encrypt =
        client.python("answer(node('vnc').get_default_encrypt())").await.expect("python runs").success();
    assert!(encrypt.lines().any(|line| line == "= True"), "{encrypt}");
}

async fn conversation(mut io: Io, messages: &[&[u8]]) -> Result<Io, Error> {
    for message in messages {
        io.send(message.to_vec()).await?;
    }
    for message in messages {
        let piece = io.recv().await?;
        if piece.as_deref() != Some(message) {
            return Err(Error::device(format!("{piece:?} came in place of {} bytes", message.len())));
        }
    }
    Ok(io)
}

async fn half_close(device: &Device, name: &str) -> Result<(), Error> {
    let network: NetworkClient = device.client(name)?;
    let mut io = conversation(network.connect().await?, &[b"hello"]).await?;
    io.finish().await?;
    let farewell = io.recv().await?;
    let end = io.recv().await?;
    if farewell.as_deref() == Some(peers::FAREWELL) && end.is_none() {
        Ok(())
    } else {
        Err(Error::device(format!("after the end came {farewell:?} and {end:?}")))
    }
}

async fn messages(device: &Device, name: &str, messages: &[&[u8]]) -> Result<(), Error> {
    let network: NetworkClient = device.client(name)?;
    conversation(network.connect().await?, messages).await.map(drop)
}

async fn address(device: &Device, name: &str, wanted: String) -> Result<(), Error> {
    let address = device.client::<NetworkAddressClient>(name)?.address().await?;
    if address == wanted { Ok(()) } else { Err(Error::device(format!("{address} instead of {wanted}"))) }
}

/// Our client, on whichever exporter.
async fn our_client(
    device: &Device,
    bench: &Bench,
    ours: bool,
) -> Vec<(&'static str, &'static str, Result<(), Error>)> {
    let large = vec![b'x'; LARGE];
    let pieces: [&[u8]; 3] = [b"one", b"", b"two"];
    // Python sends no empty datagrams.
    let datagrams = if ours { &pieces[..] } else { &[&b"one"[..], b"two"] };
    vec![
        ("tcp-network", "connect", half_close(device, "tcp").await),
        ("tcp-network", "address", address(device, "tcp", format!("tcp://{}", bench.tcp.address)).await),
        ("udp-network", "connect", messages(device, "udp", datagrams).await),
        ("udp-network", "address", address(device, "udp", format!("udp://{}", bench.udp.address)).await),
        ("unix-network", "connect", half_close(device, "unix").await),
        ("dbus-network", "connect", bus::forward_lists_names(device).await),
        ("echo-network", "connect", messages(device, "echo", &pieces).await),
        ("websocket-network", "connect", messages(device, "websocket", &[b"one", b"", b"two", &large]).await),
        (
            "websocket-network",
            "address",
            address(device, "websocket", format!("ws://{}/console", bench.websocket.address)).await,
        ),
    ]
}

async fn our_calls(device: &Device) {
    let address = async |name: &str| {
        let client: NetworkAddressClient = device.client(name).expect("a client");
        client.address().await
    };
    let hidden = address("hidden").await.expect_err("it is hidden");
    assert_eq!(hidden.kind(), ErrorKind::InvalidArgument, "{hidden}");
    assert_eq!(address("unknown").await.expect("an address"), "tcp://no-such-host.invalid:22");
    // By name, because a typed client knows from the report of our exporter that there is no such method.
    for node in WITHOUT_ADDRESS {
        let missing = device.find(node).expect("a device").call_values("address", Vec::new()).await;
        assert_eq!(missing.expect_err(node).kind(), ErrorKind::MethodNotFound);
    }
}

/// Nobody has a virtual machine in a test: what is said about that is checked, whatever the kernel has.
async fn nobody_at_vsock(device: &Device, ours: bool) {
    let error = match device.find("vsock").expect("a device").open_stream("connect").await {
        Ok(mut io) => Error::from(io.recv().await.expect_err("nobody is there")),
        Err(error) => error,
    };
    if ours {
        let text = error.message();
        let known = [
            "Connection timed out",
            "this kernel has no vsock",
            "there is no virtual machine",
            "nothing listens",
        ];
        assert!(text.starts_with("connecting to vsock 4242:7: "), "{text}");
        assert!(known.iter().any(|words| text.contains(words)), "{text}");
    }
}

const FORWARD_UDP: &str = "j forward-udp";
const RUN: &str = "j run";

/// A `j` that says where it listens and goes on.
async fn listening(mut command: Command) -> Result<(Child, String), String> {
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(|e| e.to_string())?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let line = lines.next_line().await.map_err(|error| error.to_string())?;
    // It may say more: its output stays open.
    child.stdout = Some(lines.into_inner().into_inner());
    Ok((child, line.ok_or("it said nothing")?))
}

async fn says_good_bye(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), String> {
    let conversation = async {
        stream.write_all(b"hello").await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    };
    let answer = conversation.await.map_err(|error| error.to_string())?;
    if answer == "hellobye" { Ok(()) } else { Err(format!("the answer was {answer:?}")) }
}

/// The first words that every bus expects, and its answer to them: which ways to say who one is it knows.
/// Source: D-Bus specification, "Authentication Protocol".
async fn asks_who_it_is(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), String> {
    let conversation = async {
        stream.write_all(b"\0AUTH\r\n").await?;
        let mut answer = String::new();
        BufReader::new(&mut stream).read_line(&mut answer).await.map(|_| answer)
    };
    let answer = conversation.await.map_err(|error| error.to_string())?;
    if answer.starts_with("REJECTED EXTERNAL") { Ok(()) } else { Err(format!("the answer was {answer:?}")) }
}

/// A page's way to the screen, which only echoes here.
async fn session(line: &str) -> Result<(), String> {
    let query = line.split_whitespace().last().and_then(|url| url.split_once('?')).ok_or("no address")?.1;
    let part = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, it)| it)
    };
    let bridge = format!("{}:{}", part("host").ok_or("no host")?, part("port").ok_or("no port")?);
    let stream = TcpStream::connect(&bridge).await.map_err(|error| error.to_string())?;
    let request = format!("ws://{bridge}/websockify");
    let (mut socket, _) =
        tokio_tungstenite::client_async(request, stream).await.map_err(|error| error.to_string())?;
    socket.send(Message::Binary("hello".into())).await.map_err(|error| error.to_string())?;
    match socket.next().await {
        Some(Ok(Message::Binary(data))) if data == b"hello"[..] => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// The commands that both programs have, typed at one of them.
async fn commands(
    ours: bool,
    host: &str,
    python: &Python,
    bench: &Bench,
) -> Vec<(&'static str, &'static str, Result<(), String>)> {
    let command = |words: &[&str]| {
        if ours {
            return j(host, words);
        }
        let mut command = python.process("j");
        command.args(words).env("JUMPSTARTER_HOST", host);
        command
    };
    let address = bench.tcp.address;
    let whole = [("address", address.to_string()), ("address --host", address.ip().to_string())];
    let mut told = Ok(());
    for (words, wanted) in whole.into_iter().chain([("address --port", address.port().to_string())]) {
        let words: Vec<_> = std::iter::once("tcp").chain(words.split(' ')).collect();
        let output = command(&words).output().await.expect("j runs");
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        told = told.and(if said == wanted { Ok(()) } else { Err(format!("{words:?}: {output:?}")) });
    }
    let tcp = async {
        let (_child, address) = listening(command(&["tcp", "forward-tcp", "0"])).await?;
        says_good_bye(TcpStream::connect(address).await.map_err(|error| error.to_string())?).await
    };
    let unix = async {
        let (_child, path) = listening(command(&["unix", "forward-unix"])).await?;
        says_good_bye(UnixStream::connect(path).await.map_err(|error| error.to_string())?).await
    };
    let bus_tcp = async {
        let (_child, address) = listening(command(&["system", "forward-tcp", "0"])).await?;
        asks_who_it_is(TcpStream::connect(address).await.map_err(|error| error.to_string())?).await
    };
    let bus_unix = async {
        let (_child, path) = listening(command(&["session", "forward-unix"])).await?;
        asks_who_it_is(UnixStream::connect(path).await.map_err(|error| error.to_string())?).await
    };
    // Only what has an address can tell it; our exporter also announces that it has none.
    for name in ["unix", "system"] {
        let output = command(&[name, "address"]).output().await.expect("j runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let lacking =
            format!("Error: `{name}` has no `address`: its driver at the exporter does not offer it");
        let words = ["does not support direct connection", "No such command 'address'", &lacking];
        let words = if ours { &words[1..] } else { &words[..1] };
        let told = words.iter().any(|words| said.contains(words));
        assert!(!output.status.success() && told, "{name}: {output:?}");
    }
    let vnc = async {
        let (_child, line) = listening(command(&["vnc", "session", "--no-browser"])).await?;
        session(&line).await
    };
    vec![
        ("tcp-network", "j address", told),
        ("tcp-network", "j forward-tcp", tcp.await),
        ("unix-network", "j forward-unix", unix.await),
        ("dbus-network", "j forward-tcp", bus_tcp.await),
        ("dbus-network", "j forward-unix", bus_unix.await),
        ("vnc", "j session", vnc.await),
    ]
}

async fn forward_udp(host: &str) -> Result<(), String> {
    let (_child, address) = listening(j(host, &["udp", "forward-udp", "0"])).await?;
    let conversation = async {
        let socket = UdpSocket::bind("localhost:0").await?;
        socket.connect(address).await?;
        socket.send(b"hello").await?;
        let mut answer = [0; 64];
        let size = socket.recv(&mut answer).await?;
        Ok::<_, std::io::Error>(answer[..size].to_vec())
    };
    match conversation.await {
        Ok(answer) if answer == b"hello" => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// What nobody else could connect to.
const WITHOUT_ADDRESS: [&str; 3] = ["unix", "system", "session"];

/// The rows about them.
const NOT_TOLD: [(&str, &str); 4] = [
    ("unix-network", "address"),
    ("unix-network", "j address"),
    ("dbus-network", "address"),
    ("dbus-network", "j address"),
];

const NO_ADDRESS: &str = "has none; says so";

const VSOCK: &str = "needs a virtual machine; says why there is no connection";

#[tokio::test(flavor = "multi_thread")]
async fn every_method_works_both_ways() {
    let Some(python) = python() else { return };
    let Some(bench) = Bench::start().await else { return };
    let mut methods = Methods::new("network");
    let program = Program::Ours(programs::jmp());
    let exporter = bench.exporter(&program).await;
    let client = Client::new(&python, &exporter.host());
    for (driver, method, result) in python_client(&client, &bench).await {
        methods.works(Pair::PythonOnOurs, driver, method, result);
    }
    python_calls(&client).await;
    let outcome = client.check("stream", &["vsock", "broken"]).await.expect("python runs").success();
    assert!(outcome.contains("connecting to vsock 4242:7: "), "{outcome}");
    methods.otherwise(Pair::PythonOnOurs, "vsock-network", "connect", VSOCK);
    for (driver, row) in NOT_TOLD {
        methods.otherwise(Pair::PythonOnOurs, driver, row, NO_ADDRESS);
        methods.otherwise(Pair::OursOnPython, driver, row, NO_ADDRESS);
    }
    methods.works(Pair::PythonOnOurs, "vnc", "get_default_encrypt", Ok::<_, String>(()));
    for (driver, command, done) in commands(false, &exporter.host(), &python, &bench).await {
        methods.works(Pair::PythonOnOurs, driver, command, done);
    }
    let why = "0.9.0 does not have it";
    methods.otherwise(Pair::PythonOnOurs, "udp-network", FORWARD_UDP, why);
    methods.otherwise(Pair::PythonOnOurs, "dbus-network", RUN, why);
    for (driver, command, done) in commands(true, &exporter.host(), &python, &bench).await {
        done.unwrap_or_else(|error| panic!("{driver} {command}: {error}"));
    }
    // And our own client, natively.
    let device = connect(&exporter.address).await;
    for (driver, method, result) in our_client(&device, &bench, true).await {
        result.unwrap_or_else(|error| panic!("{driver}.{method}: {error}"));
    }
    our_calls(&device).await;
    nobody_at_vsock(&device, true).await;
    exporter.stop().await.expect("an orderly end");

    let exporter = bench.exporter(&Program::Upstream(python.clone())).await;
    let device = connect(&exporter.address).await;
    for (driver, method, result) in our_client(&device, &bench, false).await {
        methods.works(Pair::OursOnPython, driver, method, result);
    }
    our_calls(&device).await;
    nobody_at_vsock(&device, false).await;
    methods.otherwise(Pair::OursOnPython, "vsock-network", "connect", VSOCK);
    let encrypt = device.client::<VncScreenClient>("vnc").expect("a screen").get_default_encrypt().await;
    assert_eq!(methods.works(Pair::OursOnPython, "vnc", "get_default_encrypt", encrypt), Some(true));
    for (driver, command, done) in commands(true, &exporter.host(), &python, &bench).await {
        methods.works(Pair::OursOnPython, driver, command, done);
    }
    let done = forward_udp(&exporter.host()).await;
    methods.works(Pair::OursOnPython, "udp-network", FORWARD_UDP, done);
    let question = ["system", "run", "dbus-send", "--system"];
    let output =
        j(&exporter.host(), &[&question[..], &bus::QUESTION].concat()).output().await.expect("j runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let done = if said.contains(bus::ANSWER) { Ok(()) } else { Err(format!("{output:?}")) };
    methods.works(Pair::OursOnPython, "dbus-network", RUN, done);
    exporter.stop().await.expect("an orderly end");
    let classes = [
        ("network.driver.TcpNetwork", "tcp-network"),
        ("network.driver.UdpNetwork", "udp-network"),
        ("network.driver.UnixNetwork", "unix-network"),
        ("network.driver.VsockNetwork", "vsock-network"),
        ("network.driver.DbusNetwork", "dbus-network"),
        ("network.driver.EchoNetwork", "echo-network"),
        ("network.driver.WebsocketNetwork", "websocket-network"),
        ("vnc.driver.Vnc", "vnc"),
    ]
    .map(|(class, name)| (format!("jumpstarter_driver_{class}"), name));
    methods.covers(&python, &classes.each_ref().map(|(class, name)| (class.as_str(), *name)));
    methods.finish();
}
