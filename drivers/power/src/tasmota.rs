//! Tasmota devices, over MQTT.
//!
//! | Part | Responsibility |
//! |---|---|
//! | [`TasmotaPower`] | commands, and waiting for what the device says |
//! | `listen` | the connection to the broker, made again when it is lost |
//! | `relay` | TLS in front of the client, which has none of its own |

mod relay;

use std::sync::Arc;

use jumpstarter::{
    Delay, Driver, Error, ErrorKind, Open, Result, Stream, config, driver,
    log::Logger,
    sync::{Mutex, broadcast, watch},
    task,
    time::{Duration, Instant, sleep, timeout},
};
use jumpstarter_interfaces::{Power, PowerReading};
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, NetworkOptions, QoS};
use serde_json::Value;
use tokio::time::timeout_at;

use crate::simulated::Simulated;

/// How long the broker and the device may take, where the configuration does not say.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the broker is left alone after it was not there.
const PAUSE: Duration = Duration::from_secs(1);
/// How many requests wait for the connection.
const REQUESTS: usize = 8;
/// How many messages wait for whoever waits for one of them.
const MESSAGES: usize = 64;

/// Which device at which broker.
#[config]
#[derive(Clone, Debug)]
pub struct TasmotaPowerConfig {
    /// Name or address of the broker; with the transport `unix`, the path of its socket.
    #[schemars(length(min = 1), extend("examples" = ["broker.example.com"]))]
    pub host: String,
    /// Port of the broker.
    #[default = 1883]
    #[unit = "TCP port"]
    pub port: u16,
    /// Whether the connection is encrypted. The broker's certificate has to be one that the system trusts.
    #[default = true]
    pub tls: bool,
    /// How the broker is reached.
    #[default = Transport::Tcp]
    pub transport: Transport,
    /// What this client is called at the broker; something random if it is not given.
    #[schemars(extend("examples" = ["rig3"]))]
    pub client_id: Option<String>,
    /// Who connects.
    #[schemars(extend("examples" = ["lab"]))]
    pub username: Option<String>,
    /// The password of that user.
    #[schemars(extend("examples" = ["a long password"]))]
    pub password: Option<String>,
    /// Where the device takes commands, such as `cmnd/plug/POWER`.
    #[schemars(length(min = 1), extend("examples" = ["cmnd/plug/POWER"]))]
    pub cmnd_topic: String,
    /// Where the device says what its state is, such as `stat/plug/POWER`.
    #[schemars(length(min = 1), extend("examples" = ["stat/plug/POWER"]))]
    pub stat_topic: String,
    /// How long the broker, and then the device, may take; 10 seconds if it is not given.
    #[schemars(extend("examples" = ["10s"]))]
    pub timeout: Option<Delay>,
}

/// A way to a broker.
#[config]
pub enum Transport {
    /// TCP.
    Tcp,
    /// WebSockets; not available in this program.
    Websockets,
    /// A unix socket.
    Unix,
}

impl TasmotaPowerConfig {
    fn check(&self) -> Result<()> {
        self.refused().into_iter().next().map_or(Ok(()), Err)
    }

    fn refused(&self) -> Vec<Error> {
        let mut refused = Vec::new();
        if self.transport == Transport::Websockets {
            refused.push(Error::configuration(
                "`transport`: websockets is not available: let the broker listen for `tcp` or `unix` as well",
            ));
        }
        for (key, topic) in [("cmnd_topic", &self.cmnd_topic), ("stat_topic", &self.stat_topic)] {
            if topic.is_empty() || topic.contains(['#', '+', '\0']) {
                refused.push(Error::configuration(format!(
                    "`{key}`: {topic:?} is not the topic of one device: write it without wildcards, such as stat/plug/POWER"
                )));
            }
        }
        if self.timeout == Some(Delay::ZERO) {
            refused.push(Error::configuration("`timeout` has to be above 0"));
        }
        refused
    }

    /// Where the device takes the command `STATUS`, if its topics are Tasmota's usual ones.
    fn measuring(&self) -> Option<Measuring> {
        let relay = |topic: &str| {
            let (before, last) = topic.rsplit_once('/')?;
            let number = last.strip_prefix("POWER")?;
            number.chars().all(|c| c.is_ascii_digit()).then(|| before.to_owned())
        };
        let (command, status) = (relay(&self.cmnd_topic)?, relay(&self.stat_topic)?);
        Some(Measuring {
            command: format!("{command}/STATUS"),
            answers: [8, 10].map(|number| format!("{status}/STATUS{number}")),
        })
    }
}

/// How a device is asked what it measures: `STATUS 8`, whose answer newer versions number 10.
#[derive(Clone, Debug)]
struct Measuring {
    command: String,
    answers: [String; 2],
}

/// A message of the device.
#[derive(Clone, Debug)]
struct Said {
    topic: String,
    payload: String,
}

/// How the connection to the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Link {
    /// Nobody knows yet.
    Beginning,
    /// The broker listens, and sends what the device says.
    Up,
    /// It is not there, and why.
    Down(String),
}

/// A Tasmota device that is switched over MQTT. After each command, the device has to say that it has the state. It is off
/// when a session begins and when it ends.
#[driver(
    type = "tasmota-power",
    provides(Power),
    config = TasmotaPowerConfig,
    aliases("jumpstarter_driver_tasmota.driver.TasmotaPower")
)]
pub struct TasmotaPower {
    config: TasmotaPowerConfig,
    patience: Duration,
    client: AsyncClient,
    link: watch::Receiver<Link>,
    said: broadcast::Sender<Said>,
    /// One command at a time: what the device says has no number that tells which command it answers.
    turn: Mutex<()>,
    listening: task::AbortHandle,
    logger: Logger,
}

impl Driver for TasmotaPower {
    fn check(config: &TasmotaPowerConfig) -> Vec<Error> {
        config.refused()
    }

    async fn open(config: TasmotaPowerConfig, cx: &mut Open) -> Result<Self> {
        config.check()?;
        let patience = config.timeout.map_or(PATIENCE, Delay::get);
        let unix = config.transport == Transport::Unix;
        let relay =
            if config.tls && !unix { Some(relay::Relay::start(&config.host, config.port)?) } else { None };
        let id = config
            .client_id
            .clone()
            .unwrap_or_else(|| format!("jumpstarter-{}", jumpstarter::types::Uuid::new_v4().simple()));
        let host = match &relay {
            Some(relay) => relay.path(),
            None => config.host.clone(),
        };
        let mut options = MqttOptions::new(id, host, config.port);
        if unix || relay.is_some() {
            options.set_transport(rumqttc::Transport::Unix);
        }
        if config.username.is_some() || config.password.is_some() {
            options.set_credentials(
                config.username.clone().unwrap_or_default(),
                config.password.clone().unwrap_or_default(),
            );
        }
        let (client, mut events) = AsyncClient::new(options, REQUESTS);
        // Commands are small and each one is waited for.
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let (link, state) = watch::channel(Link::Beginning);
        let (said, _) = broadcast::channel(MESSAGES);
        let mut topics = vec![config.stat_topic.clone()];
        topics.extend(config.measuring().into_iter().flat_map(|measuring| measuring.answers));
        let listener =
            Listener { client: client.clone(), topics, link, said: said.clone(), relay, logger: cx.logger() };
        let listening = task::spawn(listener.run(events)).abort_handle();
        let driver = Self {
            config,
            patience,
            client,
            link: state,
            said,
            turn: Mutex::new(()),
            listening,
            logger: cx.logger(),
        };
        driver.reached(Instant::now() + patience).await?;
        Ok(driver)
    }

    async fn reset(&self) -> Result<()> {
        self.switch(false).await
    }

    async fn close(&self) -> Result<()> {
        let outcome = self.switch(false).await;
        // A broker that is not there needs no farewell.
        let _ = timeout(PAUSE, self.client.disconnect()).await;
        self.listening.abort();
        outcome
    }
}

impl Drop for TasmotaPower {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl TasmotaPower {
    fn broker(&self) -> String {
        match self.config.transport {
            Transport::Unix => self.config.host.clone(),
            _ => format!("{}:{}", self.config.host, self.config.port),
        }
    }

    /// Waits until the broker is there.
    async fn reached(&self, deadline: Instant) -> Result<()> {
        let mut link = self.link.clone();
        let known = timeout_at(deadline, link.wait_for(|link| *link == Link::Up)).await;
        let why = match known {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(_)) => "the driver was closed".to_owned(),
            Err(_) => match &*self.link.borrow() {
                Link::Down(why) => why.clone(),
                _ => format!("it does not answer within {:?}", self.patience),
            },
        };
        Err(Error::disconnected(format!("the MQTT broker at {} cannot be reached: {why}", self.broker())))
    }

    /// Sends a command and waits for a message that answers it.
    async fn command<T>(&self, topic: &str, payload: &str, answer: impl Fn(&Said) -> Option<T>) -> Result<T> {
        let _turn = self.turn.lock().await;
        self.reached(Instant::now() + self.patience).await?;
        let mut said = self.said.subscribe();
        let publish = self.client.publish(topic, QoS::AtLeastOnce, false, payload.as_bytes());
        timeout(self.patience, publish)
            .await
            .map_err(|_| Error::timeout("the MQTT broker does not take the command"))?
            .map_err(|_| Error::disconnected("the connection to the MQTT broker has ended"))?;
        let deadline = Instant::now() + self.patience;
        let mut last = None;
        loop {
            match timeout_at(deadline, said.recv()).await {
                Ok(Ok(message)) => match answer(&message) {
                    Some(answer) => return Ok(answer),
                    None => last = Some(message),
                },
                Ok(Err(broadcast::error::RecvError::Lagged(_))) => {}
                Ok(Err(broadcast::error::RecvError::Closed)) => {
                    return Err(Error::disconnected("the driver was closed"));
                }
                Err(_) => return Err(self.silent(topic, payload, last)),
            }
        }
    }

    fn silent(&self, topic: &str, payload: &str, last: Option<Said>) -> Error {
        let patience = self.patience;
        if let Link::Down(why) = &*self.link.borrow() {
            let broker = self.broker();
            return Error::disconnected(format!(
                "the connection to the MQTT broker at {broker} was lost: {why}"
            ));
        }
        let what = format!("the device does not answer `{payload}` on {topic} within {patience:?}");
        Error::timeout(match last {
            Some(Said { topic, payload }) => format!("{what}: what it said last is {payload:?} on {topic}"),
            None => what,
        })
    }

    async fn switch(&self, on: bool) -> Result<()> {
        let wanted = if on { "ON" } else { "OFF" };
        self.logger.info(format!("sending {wanted}"));
        let stat = &self.config.stat_topic;
        self.command(&self.config.cmnd_topic, wanted, |said| {
            (said.topic == *stat && is_state(&said.payload, wanted)).then_some(())
        })
        .await
    }
}

/// Whether this is the state: plain, or as the `RESULT` topic has it, `{"POWER1":"ON"}`.
fn is_state(payload: &str, wanted: &str) -> bool {
    if payload == wanted {
        return true;
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(payload) else { return false };
    fields.iter().any(|(name, value)| name.starts_with("POWER") && value.as_str() == Some(wanted))
}

/// What a device measures, from its answer to `STATUS 8`. Devices with several channels give lists: the first one is taken.
fn measured(payload: &str) -> Option<PowerReading> {
    let answer: Value = serde_json::from_str(payload).ok()?;
    let energy = answer.pointer("/StatusSNS/ENERGY")?;
    let number = |name: &str| match energy.get(name)? {
        Value::Array(channels) => channels.first()?.as_f64(),
        value => value.as_f64(),
    };
    Some(PowerReading { voltage: number("Voltage")?, current: number("Current")? })
}

impl Power for TasmotaPower {
    async fn on(&self) -> Result<()> {
        self.switch(true).await
    }

    async fn off(&self) -> Result<()> {
        self.switch(false).await
    }

    async fn read(&self) -> Result<Stream<PowerReading>> {
        let Some(Measuring { command, answers }) = self.config.measuring() else {
            return Err(Error::unsupported_because(
                "this supply cannot measure: its topics do not end with POWER, so there is none to ask for its state",
            ));
        };
        let payload = self
            .command(&command, "8", |said| answers.contains(&said.topic).then(|| said.payload.clone()))
            .await?;
        let reading = measured(&payload)
            .ok_or_else(|| Error::unsupported_because("this device has no sensor for voltage and current"))?;
        Ok(Stream::from_values([reading]))
    }
}

/// Keeps the connection to the broker.
struct Listener {
    client: AsyncClient,
    topics: Vec<String>,
    link: watch::Sender<Link>,
    said: broadcast::Sender<Said>,
    relay: Option<relay::Relay>,
    logger: Logger,
}

impl Listener {
    async fn run(self, mut events: EventLoop) {
        let mut open = 0;
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    open = self.topics.len();
                    for topic in &self.topics {
                        // It fails only when the event loop is gone, which is here.
                        let _ = self.client.try_subscribe(topic, QoS::AtMostOnce);
                    }
                }
                Ok(Event::Incoming(Incoming::SubAck(_))) => {
                    open = open.saturating_sub(1);
                    if open == 0 {
                        self.link.send_replace(Link::Up);
                    }
                }
                Ok(Event::Incoming(Incoming::Publish(message))) => {
                    let payload = String::from_utf8_lossy(&message.payload).into_owned();
                    // Nobody may be waiting.
                    let _ = self.said.send(Said { topic: message.topic, payload });
                }
                Ok(_) => {}
                Err(error) => {
                    let why =
                        self.relay.as_ref().and_then(relay::Relay::failure).unwrap_or_else(|| reason(&error));
                    if *self.link.borrow() == Link::Up {
                        self.logger.warn(format!("the connection to the MQTT broker was lost: {why}"));
                    }
                    self.link.send_replace(Link::Down(why));
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Io(error) => of_system(error),
        ConnectionError::ConnectionRefused(code) => format!("it refuses the connection ({code:?})"),
        ConnectionError::NetworkTimeout
        | ConnectionError::FlushTimeout
        | ConnectionError::MqttState(rumqttc::StateError::AwaitPingResp) => "it does not answer".to_owned(),
        ConnectionError::MqttState(rumqttc::StateError::ConnectionAborted) => {
            "it has closed the connection".to_owned()
        }
        // Whether a connection is lost before or after a first byte has come changes only what it is wrapped in.
        other => match inside(other) {
            Some(error) => of_system(error),
            None => other.to_string().to_lowercase(),
        },
    }
}

/// The system's error that an error is made of.
fn inside(error: &ConnectionError) -> Option<&std::io::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(system) = error.downcast_ref() {
            return Some(system);
        }
        next = error.source();
    }
    None
}

fn of_system(error: &std::io::Error) -> String {
    Error::from(std::io::Error::new(error.kind(), error.to_string())).message().to_owned()
}

/// A device with the configuration of `tasmota-power` that exists in memory.
#[driver(type = "mock-tasmota-power", provides(Power), config = TasmotaPowerConfig)]
#[derive(Debug)]
pub struct MockTasmotaPower {
    supply: Arc<Simulated>,
    measures: bool,
}

impl Driver for MockTasmotaPower {
    fn check(config: &TasmotaPowerConfig) -> Vec<Error> {
        config.refused()
    }

    async fn open(config: TasmotaPowerConfig, cx: &mut Open) -> Result<Self> {
        config.check()?;
        Ok(Self { supply: Arc::new(Simulated::new(cx.logger())), measures: config.measuring().is_some() })
    }

    async fn reset(&self) -> Result<()> {
        self.off().await
    }

    async fn close(&self) -> Result<()> {
        self.off().await
    }
}

impl Power for MockTasmotaPower {
    async fn on(&self) -> Result<()> {
        self.supply.switch(true);
        Ok(())
    }

    async fn off(&self) -> Result<()> {
        self.supply.switch(false);
        Ok(())
    }

    async fn read(&self) -> Result<Stream<PowerReading>> {
        if self.measures {
            Ok(self.supply.read())
        } else {
            Err(Error::new(ErrorKind::Unsupported, "this supply cannot measure"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_plain_or_in_json() {
        for (payload, is) in [
            ("ON", true),
            ("{\"POWER\":\"ON\"}", true),
            ("{\"POWER2\":\"ON\"}", true),
            ("OFF", false),
            ("on", false),
            ("{\"POWER\":\"OFF\"}", false),
            ("{\"StatusSNS\":{}}", false),
            ("[\"ON\"]", false),
            ("", false),
        ] {
            assert_eq!(is_state(payload, "ON"), is, "{payload}");
        }
    }

    #[test]
    fn what_a_device_measures_is_in_its_status() {
        let one = r#"{"StatusSNS":{"Time":"2026-01-01T00:00:00","ENERGY":{"Total":1.2,"Voltage":229,"Current":0.048}}}"#;
        assert_eq!(measured(one), Some(PowerReading { voltage: 229.0, current: 0.048 }));
        let two = r#"{"StatusSNS":{"ENERGY":{"Voltage":230,"Current":[0.5,0.25]}}}"#;
        assert_eq!(measured(two), Some(PowerReading { voltage: 230.0, current: 0.5 }));
        assert_eq!(measured(r#"{"StatusSNS":{"Time":"2026-01-01T00:00:00"}}"#), None);
    }
}
