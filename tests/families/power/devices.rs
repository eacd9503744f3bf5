//! Devices with web pages.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

type Told = Arc<Mutex<Vec<String>>>;

/// What a device answers to a path and a body.
type Answer = fn(&str, &str) -> String;

/// A device that answers HTTP requests. What it was told is the path, or the body if there is one.
struct Web {
    address: String,
    told: Told,
    task: JoinHandle<()>,
}

impl Web {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let told = Told::default();
        let shared = told.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone(), answer));
            }
        });
        Self { address, told, task }
    }

    fn told(&self) -> Box<dyn Fn() -> Vec<String>> {
        let told = self.told.clone();
        Box::new(move || std::mem::take(&mut told.lock().expect("a lock")))
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, told: Told, answer: Answer) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            match header.trim().to_ascii_lowercase().split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().map_err(io::Error::other)?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let path = line.split(' ').nth(1).unwrap_or_default();
        let text = answer(path, &body);
        told.lock().expect("a lock").push(if body.is_empty() { path.to_owned() } else { body });
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        stream.write_all(&[head.as_bytes(), text.as_bytes()].concat()).await?;
        stream.flush().await?;
    }
}

/// A switch like Shelly's.
pub(crate) struct Switch(Web);

impl Switch {
    pub(crate) async fn start() -> Self {
        Self(
            Web::start(|path, _| match path {
                "/meter" => r#"{"meters":[{"voltage":229.5}],"current":0.25}"#.to_owned(),
                _ => r#"{"ison":true}"#.to_owned(),
            })
            .await,
        )
    }

    /// The driver's configuration.
    pub(crate) fn keys(&self) -> String {
        let Self(Web { address, .. }) = self;
        format!(
            "name: bench\npower_on: {{url: 'http://{address}/relay/0?turn=on'}}\n\
             power_off: {{url: 'http://{address}/relay/0?turn=off'}}\n\
             power_read: {{url: 'http://{address}/meter', voltage_path: meters.0.voltage}}\n"
        )
    }

    pub(crate) fn told(&self) -> Box<dyn Fn() -> Vec<String>> {
        self.0.told()
    }
}

/// An outlet strip with a page, which shows no states.
pub(crate) struct Strip(Web);

impl Strip {
    pub(crate) async fn start() -> Self {
        Self(Web::start(|_, _| "<html><a href=\"login.html\">Log Out</a></html>".to_owned()).await)
    }

    /// The driver's configuration.
    pub(crate) fn keys(&self) -> String {
        format!("host: '{}'\npassword: secret\nslot: 2\n", self.0.address)
    }

    /// What it was told besides the password.
    pub(crate) fn told(&self) -> Box<dyn Fn() -> Vec<String>> {
        let told = self.0.told();
        Box::new(move || told().into_iter().filter(|told| told.starts_with("cte")).collect())
    }
}
