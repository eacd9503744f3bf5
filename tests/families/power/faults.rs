//! Counterparts that are killed, stopped, slow, or refuse: what a user reads.

use std::fmt::Write as _;

use jumpstarter::{Error, Result};
use jumpstarter_interfaces::PowerClient;
use jumpstarter_tests::ours;
use regex::Regex;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::agent::{self, Agent};
use super::broker::{Broker, Plug};
use super::config;

/// Collects what users read, without what differs from run to run.
#[derive(Default)]
struct Read(String);

impl Read {
    fn add(&mut self, what: &str, outcome: Result<()>) {
        let text = match outcome {
            Ok(()) => "works".to_owned(),
            Err(error) => format!("{:?}: {}", error.kind(), error.message()),
        };
        let text = Regex::new(r"127\.0\.0\.1:\d+").expect("a pattern").replace_all(&text, "127.0.0.1:PORT");
        let text =
            Regex::new(r"/\S*/socket").expect("a pattern").replace_all(&text, "/FOLDER/socket").into_owned();
        writeln!(self.0, "{what}\n    {text}").expect("a string");
    }
}

/// Switches on a supply of this configuration.
async fn on(driver: &str, keys: &str) -> Result<()> {
    let exporter = ours::start_text(&config(driver, keys)).await;
    let outcome = exporter.bench().client::<PowerClient>("power")?.on().await;
    // What it cannot close is another story.
    let _ = exporter.into_bench().stop().await;
    outcome
}

/// What somebody reads who starts an exporter with this configuration.
async fn open(driver: &str, keys: &str) -> Result<()> {
    match jumpstarter_testing::serve_text("power.yaml", &config(driver, keys), ours::DRIVERS).await {
        Ok(bench) => {
            let _ = bench.stop().await;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// A server that does this with every connection.
async fn server<F>(serve: fn(TcpStream) -> F) -> String
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn request(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    // What is not read would be answered with a reset.
    stream.read_exact(&mut vec![0; length.unwrap_or(0)]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_when_web_devices_fail() {
    let killed = server(|mut stream| async move {
        request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await
    })
    .await;
    let stopped = server(|mut stream| async move {
        request(&mut stream).await?;
        std::future::pending().await
    })
    .await;
    let slow = server(|mut stream| async move {
        request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").await?;
        loop {
            stream.write_all(b" ").await?;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let confused = server(|mut stream| async move {
        request(&mut stream).await?;
        stream.write_all(b"+OK POP3 server ready\r\n").await
    })
    .await;
    let refusing = server(|mut stream| async move {
        request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await
    })
    .await;
    let keys = |address: &str| {
        format!(
            "power_on: {{url: 'http://{address}/on'}}\npower_off: {{url: 'http://{address}/off'}}\ntimeout: 0.5\n"
        )
    };
    let mut read = Read::default();
    for (what, address) in [
        ("nobody listens", "127.0.0.1:1"),
        ("there is no such host", "no-such-host.invalid"),
        ("killed in the middle of its answer", &killed),
        ("stopped", &stopped),
        ("slow", &slow),
        ("not a web server", &confused),
        ("it refuses", &refusing),
    ] {
        let outcome = on("http-power", &keys(address)).await;
        // The resolver's words are the system's.
        let outcome = outcome.map_err(|error| match error.message().split_once("failed to lookup address") {
            Some((before, _)) => Error::new(error.kind(), format!("{before}failed to lookup address …")),
            None => error,
        });
        read.add(&format!("http-power: {what}"), outcome);
        if what != "stopped" && what != "slow" && what != "there is no such host" {
            // Its time is upstream's, 10 seconds.
            read.add(
                &format!("energenie-power: {what}"),
                on("energenie-power", &format!("host: '{address}'\n")).await,
            );
        }
    }
    insta::assert_snapshot!("faults_web", read.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_when_an_agent_fails() {
    let Some(mut agent) = Agent::start() else { return };
    let mut read = Read::default();
    let aes = agent.keys();
    let fast = |keys: &str| format!("{keys}timeout: 1\n");
    let wrong = aes.replace("secret-of-auth", "wrong-secret");
    read.add("wrong password", on("snmp-power", &fast(&wrong)).await);
    read.add(
        "wrong password for encryption",
        on("snmp-power", &fast(&aes.replace("secret-of-priv", "wrong-secret"))).await,
    );
    read.add("unknown user", on("snmp-power", &fast(&agent.keys_of("stranger", ""))).await);
    let plain = agent.keys_of("aes", "");
    read.add("a user who has to encrypt and does not", on("snmp-power", &fast(&plain)).await);
    read.add(
        "an object that cannot be written",
        on("snmp-power", &fast(&format!("{aes}oid: {}\n", agent::FIXED))).await,
    );
    read.add(
        "an object that is not there",
        on("snmp-power", &fast(&format!("{aes}oid: 1.3.6.1.4.1.99999.1\n"))).await,
    );
    read.add("slow", on("snmp-power", &fast(&format!("{aes}oid: {}\n", agent::SLOW))).await);
    agent.program.signal(Signal::STOP);
    read.add("stopped", on("snmp-power", &fast(&aes)).await);
    agent.program.signal(Signal::CONT);
    read.add("it goes on", on("snmp-power", &aes).await);
    agent.program.kill();
    read.add("killed", on("snmp-power", &fast(&aes)).await);
    let nowhere = aes.replace("host: 127.0.0.1", "host: no-such-host.invalid");
    assert!(
        open("snmp-power", &nowhere)
            .await
            .is_err_and(|error| error.message().contains("looking up no-such-host.invalid"))
    );
    insta::assert_snapshot!("faults_snmp", read.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_when_a_broker_or_its_device_fails() {
    let Some(mut broker) = Broker::start().await else { return };
    let mut read = Read::default();
    let keys = broker.keys().replace("timeout: 2", "timeout: 0.5");
    let plug = Plug::start(&broker).await;
    read.add("wrong password", open("tasmota-power", &keys.replace("secret", "wrong")).await);
    read.add(
        "TLS where there is none",
        open("tasmota-power", &keys.replace("tls: false", "tls: true")).await,
    );
    let exporter = ours::start_text(&config("tasmota-power", &keys)).await;
    let power: PowerClient = exporter.bench().client("power").expect("a supply");
    read.add("all is well", power.on().await);
    broker.program.signal(Signal::STOP);
    read.add("the broker is stopped", power.off().await);
    broker.program.signal(Signal::CONT);
    read.add("it goes on", power.off().await);
    drop(plug);
    // An answer to the command that was not waited for may have come late.
    let gone = power.on().await.map_err(|error| {
        let (before, _) = error.message().split_once(": what it said last").unwrap_or((error.message(), ""));
        Error::new(error.kind(), before.to_owned())
    });
    read.add("the device is gone", gone);
    let stubborn = Plug::answering(&broker, |_, _| Some(("POWER", "OFF".to_owned()))).await;
    read.add("the device stays off", power.on().await);
    drop(stubborn);
    broker.program.kill();
    read.add("the broker is killed", power.on().await);
    let failed = exporter.into_bench().stop().await;
    for (name, error) in failed {
        read.add(&format!("closing {name}"), Err(error));
    }
    read.add("no broker", open("tasmota-power", &keys).await);
    let unix = broker.unix_keys().replace("timeout: 2", "timeout: 0.5");
    std::fs::remove_file(broker.folder().join("socket")).ok();
    read.add("no socket", open("tasmota-power", &unix).await);
    // Which of the two it notices first is a matter of moments.
    let lost = "the connection to the MQTT broker at 127.0.0.1:PORT was lost";
    let read = read.0.replace(lost, "the MQTT broker at 127.0.0.1:PORT cannot be reached");
    insta::assert_snapshot!("faults_mqtt", read);
}
