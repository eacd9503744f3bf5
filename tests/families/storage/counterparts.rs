//! Servers, and a disk that is soon full.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jumpstarter_tests::helpers::free_address;
use jumpstarter_tests::python::Python;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Chooses the provider of TLS, as programs do.
pub(super) fn install_tls() {
    // Another test of this program may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Name of the bucket that an [`S3`] has.
pub(super) const BUCKET: &str = "images";

/// A server that speaks S3, with one bucket.
pub(super) struct S3 {
    pub(super) endpoint: String,
    pub(super) server: Child,
}

impl S3 {
    pub(super) async fn start(python: &Python) -> Self {
        let address = free_address().await.expect("an address");
        let (host, port) = address.rsplit_once(':').expect("a port");
        let mut command = python.process("python");
        command.args(["-m", "moto.server", "-H", host, "-p", port]);
        command.env("AWS_ACCESS_KEY_ID", KEY.0).env("AWS_SECRET_ACCESS_KEY", KEY.1);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the S3 server");
        let up = async {
            while TcpStream::connect(&address).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_mins(1), up).await.expect("the S3 server listens");
        let mut stream = TcpStream::connect(&address).await.expect("the S3 server");
        let request = format!(
            "PUT /{BUCKET} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await.expect("an answer");
        assert!(answer.contains("200"), "{answer}");
        Self { endpoint: format!("http://{address}"), server }
    }

    /// What `kwargs` has to say to reach it.
    pub(super) fn options(&self) -> [(&'static str, &str); 5] {
        [
            ("bucket", BUCKET),
            ("endpoint", &self.endpoint),
            ("region", "us-east-1"),
            ("access_key_id", KEY.0),
            ("secret_access_key", KEY.1),
        ]
    }
}

/// Any will do.
const KEY: (&str, &str) = ("tester", "secret");

/// What a [`Web`] does with a request for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Answers, also with parts of the file.
    Well,
    /// Closes the connection in the middle.
    Cut,
    /// Says nothing more in the middle, and keeps the connection.
    Stuck,
    /// Says that it is out of order.
    Broken,
}

/// A web server with one file, `/image`; all others are not there.
pub(super) struct Web {
    pub(super) address: String,
    task: JoinHandle<()>,
}

impl Web {
    pub(super) async fn start(content: &'static [u8], mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, content, mood));
            }
        });
        Self { address, task }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(stream: TcpStream, content: &'static [u8], mood: Mood) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        stream.read_line(&mut request).await.ok().filter(|length| *length > 0)?;
        let mut range = None;
        let mut line = String::new();
        while stream.read_line(&mut line).await.ok()? > 0 && !line.trim().is_empty() {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                let (from, to) = value.trim().split_once('-')?;
                let last = content.len() - 1;
                range = Some((from.parse::<usize>().ok()?, to.parse().unwrap_or(last).min(last)));
            }
            line.clear();
        }
        let (method, path) = request.split_once(' ')?;
        if !path.starts_with("/image ") {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.ok()?;
            continue;
        }
        if mood == Mood::Broken && method == "GET" {
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await.ok()?;
            continue;
        }
        let (status, part, extra) = match range {
            Some((from, to)) => (
                "206 Partial Content",
                &content[from..=to],
                format!("content-range: bytes {from}-{to}/{}\r\n", content.len()),
            ),
            None => ("200 OK", content, String::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{extra}\r\n", part.len());
        stream.write_all(head.as_bytes()).await.ok()?;
        if method == "HEAD" {
            continue;
        }
        if mood == Mood::Well {
            stream.write_all(part).await.ok()?;
            continue;
        }
        stream.write_all(&part[..part.len() / 2]).await.ok()?;
        stream.flush().await.ok()?;
        if mood == Mood::Stuck {
            std::future::pending::<()>().await;
        }
        return None;
    }
}

/// A folder with room for four MiB, or none where this user may not mount one.
pub(super) struct SmallDisk {
    folder: TempDir,
    mounted: bool,
}

impl SmallDisk {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "jumpstarter-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        let mounted = mount.await.is_ok_and(|status| status.success());
        Self { folder, mounted }
    }

    /// Folder and file of a place that is full after four MiB. Without a disk of its own, that is a device that is always full.
    pub(super) fn place(&self) -> (PathBuf, &'static str) {
        if self.mounted { (self.folder.path().to_owned(), "image") } else { (PathBuf::from("/dev"), "full") }
    }

    pub(super) fn root(&self) -> Option<&Path> {
        self.mounted.then(|| self.folder.path())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.mounted {
            let unmounted = std::process::Command::new("umount").arg(self.folder.path()).status();
            assert!(unmounted.is_ok_and(|status| status.success()), "{}", self.folder.path().display());
        }
    }
}
