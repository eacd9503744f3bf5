//! A local port that leads to a device's TCP port: what somebody gets who forwards SSH or copies an image with it.

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use jumpstarter_client::{Device, Options, adapters::TcpForward};
use jumpstarter_tests::exporter::{Exporter, Program};
use jumpstarter_transport::connect::Endpoint;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{
    Effort, Outcome,
    bare::{self, Piece},
    process::Server,
    programs::Programs,
    report::{Goal, Row, in_turns, median},
};

/// Bytes per round; the Python implementation gets a part of them.
const VOLUME: usize = 128 << 20;
const PYTHON_PART: usize = 4;

/// Questions per round, of one byte each.
const QUESTIONS: usize = 1_000;

/// How much is written and read at once.
const CHUNK: usize = 64 << 10;

/// A device: answers each byte, sends as much as it is told to, or counts what comes.
async fn device(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0x5a; CHUNK];
    match stream.read_u8().await? {
        b'e' => loop {
            let byte = stream.read_u8().await?;
            stream.write_u8(byte).await?;
        },
        b's' => {
            let mut left = usize::try_from(stream.read_u64().await?).unwrap_or(0);
            while left > 0 {
                let count = left.min(CHUNK);
                stream.write_all(&buffer[..count]).await?;
                left -= count;
            }
            stream.shutdown().await
        }
        _ => {
            let mut seen = 0;
            loop {
                match stream.read(&mut buffer).await? {
                    0 => break,
                    count => seen += count as u64,
                }
            }
            stream.write_u64(seen).await?;
            stream.shutdown().await
        }
    }
}

/// Ends with its handle.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The device's port, in this process: all sides have the same one.
async fn serve_device() -> Outcome<(SocketAddr, Task)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(device(stream));
        }
    });
    Ok((address, Task(task)))
}

/// Megabytes per second from the device.
async fn down(port: SocketAddr, volume: usize) -> Outcome<f64> {
    let mut stream = TcpStream::connect(port).await?;
    let begun = Instant::now();
    stream.write_u8(b's').await?;
    stream.write_u64(volume as u64).await?;
    let mut buffer = vec![0; CHUNK];
    let mut seen = 0;
    while seen < volume {
        match stream.read(&mut buffer).await? {
            0 => return Err(format!("{seen} of {volume} bytes came").into()),
            count => seen += count,
        }
    }
    Ok(volume as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

/// Megabytes per second to the device, until it says that it has all of them.
async fn up(port: SocketAddr, volume: usize) -> Outcome<f64> {
    let mut stream = TcpStream::connect(port).await?;
    let begun = Instant::now();
    stream.write_u8(b'c').await?;
    let buffer = vec![0x5a; CHUNK];
    for _ in 0..volume / CHUNK {
        stream.write_all(&buffer).await?;
    }
    stream.shutdown().await?;
    let seen = stream.read_u64().await?;
    if seen == (volume / CHUNK * CHUNK) as u64 {
        Ok(volume as f64 / 1e6 / begun.elapsed().as_secs_f64())
    } else {
        Err(format!("{seen} of {volume} bytes came").into())
    }
}

/// Microseconds from a byte to its answer, p50.
async fn latency(port: SocketAddr, questions: usize) -> Outcome<f64> {
    let mut stream = TcpStream::connect(port).await?;
    stream.set_nodelay(true)?;
    stream.write_u8(b'e').await?;
    let mut times = Vec::with_capacity(questions);
    for _ in 0..questions {
        let begun = Instant::now();
        stream.write_u8(1).await?;
        stream.read_u8().await?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times).unwrap_or_default())
}

/// A forward made of bare gRPC: read, send, receive, write, and nothing else.
async fn bare_forward(client: &bare::Client, device: SocketAddr) -> Outcome<(SocketAddr, Task)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let client = client.clone();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut client = client.clone();
            tokio::spawn(async move { bare_connection(&mut client, device, stream).await });
        }
    });
    Ok((address, Task(task)))
}

async fn bare_connection(client: &mut bare::Client, device: SocketAddr, stream: TcpStream) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let (sender, mut pieces) = client.forward(device).await?;
    let (mut reader, mut writer) = stream.into_split();
    let up = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK);
            if reader.read_buf(&mut buffer).await? == 0 {
                drop(sender);
                return Outcome::Ok(());
            }
            sender.send(Piece { payload: buffer.split().freeze() }).await?;
        }
    };
    let down = async {
        while let Some(piece) = pieces.message().await? {
            writer.write_all(&piece.payload).await?;
        }
        Outcome::Ok(writer.shutdown().await?)
    };
    tokio::try_join!(up, down)?;
    Ok(())
}

fn file(device: SocketAddr) -> String {
    format!(
        "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nmetadata:\n  namespace: default\n  name: figures\n\
         export:\n  tcp:\n    type: jumpstarter_driver_network.driver.TcpNetwork\n    config: {{host: {}, port: {}}}\n",
        device.ip(),
        device.port()
    )
}

/// The Python implementation's own forward at its own exporter.
async fn python_forward(
    exporter: &Exporter,
    python: &jumpstarter_tests::python::Python,
) -> Outcome<(SocketAddr, Child)> {
    let mut command: Command = python.process("j");
    command.args(["tcp", "forward-tcp", "--address", "127.0.0.1", "0"]);
    command.env("JUMPSTARTER_HOST", exporter.host()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    let line = BufReader::new(output).lines().next_line().await?.ok_or("no address")?;
    Ok((line.parse()?, child))
}

/// Throughput and latency of a forwarded port.
pub(crate) async fn take(effort: Effort, programs: &Programs) -> Outcome<Vec<Row>> {
    let Some(jmp) = programs.ours.clone() else { return Ok(Vec::new()) };
    let (device_port, _device) = serve_device().await?;
    let exporter = Exporter::local(&Program::Ours(jmp), &file(device_port)).await?;
    let endpoint = Endpoint::parse(&exporter.host())?;
    let device = Device::connect(&endpoint, &Options::default()).await?;
    let forward = TcpForward::local(&device.find("tcp")?).await?;
    let ours = forward.address();
    let server = Server::start("bare")?;
    let client = bare::Client::connect(&server.socket).await?;
    let (bare, _bare) = bare_forward(&client, device_port).await?;

    let volume = effort.of(VOLUME).max(CHUNK) / CHUNK * CHUNK;
    let questions = effort.of(QUESTIONS);
    let pairs = in_turns(effort.rounds, async || down(ours, volume).await, async || down(bare, volume).await);
    let goal = Goal::AtLeastBare(0.8);
    let mut from = Row::new("forward", "TCP, from the device", "MB/s", goal).of(&pairs.await?);
    let pairs = in_turns(effort.rounds, async || up(ours, volume).await, async || up(bare, volume).await);
    let mut to = Row::new("forward", "TCP, to the device", "MB/s", goal).of(&pairs.await?);
    // What the way adds to the loopback interface's own time.
    let direct = latency(device_port, questions).await?;
    let added = async |port| Ok((latency(port, questions).await? - direct).max(0.0));
    let pairs = in_turns(effort.rounds, async || added(ours).await, async || added(bare).await);
    let mut answer =
        Row::new("forward", "TCP, added to one answer, p50", "µs", Goal::AtMostBare(1.25)).of(&pairs.await?);
    let mut upstream = [
        from.again(Goal::AtLeastUpstream(2.0)),
        to.again(Goal::AtLeastUpstream(2.0)),
        answer.again(Goal::None),
    ];
    if let Some(python) = &programs.upstream {
        let exporter = Exporter::local(&Program::Upstream(python.clone()), &file(device_port)).await?;
        let (port, _child) = python_forward(&exporter, python).await?;
        let rounds = effort.rounds.div_ceil(3);
        let volume = (volume / PYTHON_PART).max(CHUNK) / CHUNK * CHUNK;
        let mut taken = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            taken[0].push(timed(down(port, volume)).await?);
            taken[1].push(timed(up(port, volume)).await?);
            taken[2].push(timed(latency(port, questions)).await? - direct);
        }
        for ((row, other), taken) in
            [&mut from, &mut to, &mut answer].into_iter().zip(&mut upstream).zip(taken)
        {
            row.upstream = median(taken);
            other.upstream = row.upstream;
        }
    }
    let [from_goal, to_goal, _] = upstream;
    Ok(vec![from, from_goal, to, to_goal, answer])
}

async fn timed(figure: impl Future<Output = Outcome<f64>>) -> Outcome<f64> {
    tokio::time::timeout(Duration::from_mins(2), figure).await?
}
