//! An MQTT broker, Mosquitto, and a Tasmota device behind it.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jumpstarter_tests::counterparts::counterpart;
use jumpstarter_tests::helpers::free_address;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, NetworkOptions, QoS};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Counterpart;

/// The broker.
pub(crate) struct Broker {
    pub(crate) program: Counterpart,
    port: u16,
    secure_port: u16,
    folder: TempDir,
}

impl Broker {
    /// Starts it, with a user; `None` when the user left out programs of the system.
    pub(crate) async fn start() -> Option<Self> {
        let mosquitto = counterpart("mosquitto", "mosquitto")?;
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port().await;
        let secure_port = free_port().await;
        // Its own authority.
        let certified =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let at = |name: &str| folder.path().join(name).display().to_string();
        // `rig:secret`, as `mosquitto_passwd` writes it: SHA-512 with the salt, both in base64.
        fs::write(at("users"), USERS).expect("a file");
        fs::write(at("certificate.pem"), certified.cert.pem()).expect("a file");
        fs::write(at("key.pem"), certified.signing_key.serialize_pem()).expect("a file");
        let config = format!(
            "listener {secure_port} 127.0.0.1\ncertfile {}\nkeyfile {}\nlistener {port} 127.0.0.1\nlistener 0 {}\nallow_anonymous false\npassword_file {}\n\
             set_tcp_nodelay true\npersistence false\nlog_dest stderr\nuser root\n",
            at("certificate.pem"),
            at("key.pem"),
            at("socket"),
            at("users")
        );
        fs::write(at("mosquitto.conf"), config).expect("a configuration");
        let file = at("mosquitto.conf");
        let program = Counterpart::start(&mosquitto, &["-c", &file], folder.path(), "running");
        Some(Self { program, port, secure_port, folder })
    }

    /// The driver's configuration.
    pub(crate) fn keys(&self) -> String {
        format!("host: 127.0.0.1\nport: {}\n{REST}", self.port)
    }

    /// The same with TLS. `SSL_CERT_FILE` has to name [`certificate`](Self::certificate), or this is a stranger.
    pub(crate) fn secure_keys(&self) -> String {
        let rest = REST.replace("tls: false", "tls: true");
        format!("host: localhost\nport: {}\n{rest}", self.secure_port)
    }

    /// The file of its certificate.
    pub(crate) fn certificate(&self) -> String {
        self.folder.path().join("certificate.pem").display().to_string()
    }

    /// The same through the unix socket.
    pub(crate) fn unix_keys(&self) -> String {
        format!("host: {}\ntransport: unix\n{REST}", self.folder.path().join("socket").display())
    }

    /// The folder of its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

async fn free_port() -> u16 {
    let address = free_address().await.expect("an address");
    address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

const REST: &str = "tls: false\nusername: rig\npassword: secret\ntimeout: 2\n\
                    cmnd_topic: cmnd/plug/POWER\nstat_topic: stat/plug/POWER\n";

const USERS: &str = include_str!("mosquitto-users");

/// A plug with Tasmota's firmware: it answers commands under `cmnd/plug/` with messages under `stat/plug/`.
pub(crate) struct Plug {
    told: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Plug {
    /// Starts it; it listens.
    pub(crate) async fn start(broker: &Broker) -> Self {
        Self::answering(broker, |command, payload| match (command, payload) {
            ("POWER", "ON" | "OFF") => Some(("POWER", payload.to_owned())),
            ("STATUS", "8") => Some((
                "STATUS10",
                r#"{"StatusSNS":{"Time":"2026-01-01T00:00:00","ENERGY":{"Voltage":229,"Current":0.048}}}"#
                    .to_owned(),
            )),
            _ => None,
        })
        .await
    }

    /// A plug that answers like this.
    pub(crate) async fn answering(
        broker: &Broker,
        answer: fn(&str, &str) -> Option<(&'static str, String)>,
    ) -> Self {
        let mut options = MqttOptions::new("plug", "127.0.0.1", broker.port);
        options.set_credentials("rig", "secret");
        let (client, mut events) = AsyncClient::new(options, 8);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let told = Arc::new(Mutex::new(Vec::new()));
        let shared = told.clone();
        client.subscribe("cmnd/plug/#", QoS::AtLeastOnce).await.expect("a request");
        let (ready, listening) = oneshot::channel();
        let mut ready = Some(ready);
        let task = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::SubAck(_))) => {
                        ready.take().map(|ready| ready.send(()));
                    }
                    Ok(Event::Incoming(Incoming::Publish(message))) => {
                        let payload = String::from_utf8_lossy(&message.payload).into_owned();
                        let command = message.topic.rsplit('/').next().unwrap_or_default().to_owned();
                        let reply = answer(&command, &payload);
                        if command == "POWER" {
                            shared.lock().expect("a lock").push(payload);
                        }
                        if let Some((topic, payload)) = reply {
                            let topic = format!("stat/plug/{topic}");
                            client.publish(topic, QoS::AtMostOnce, false, payload).await.expect("a request");
                        }
                    }
                    Ok(_) => {}
                    // The broker is gone; the test is about what the driver does then.
                    Err(_) => return,
                }
            }
        });
        listening.await.expect("a plug that listens");
        Self { told, task }
    }

    /// What it was told since it was asked last.
    pub(crate) fn told(&self) -> Box<dyn Fn() -> Vec<String>> {
        let told = self.told.clone();
        Box::new(move || std::mem::take(&mut told.lock().expect("a lock")))
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        self.task.abort();
    }
}
