//! Servers that recorded scenarios talk to on the side.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// A server on the loopback interface, stopped when dropped.
pub struct Helper {
    /// `127.0.0.1:port`, always 15 characters: ports below 10000 are not taken.
    pub address: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Helper {
    /// What clients asked for so far: the bytes they sent, or the request lines.
    pub async fn seen(&self) -> Vec<String> {
        self.seen.lock().await.clone()
    }

    /// Answers `hello ` and what it received, then closes.
    pub async fn greeter() -> io::Result<Self> {
        Self::start(|mut stream, seen| async move {
            let mut buffer = vec![0; 4096];
            let length = stream.read(&mut buffer).await?;
            seen.lock().await.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            stream.write_all(&[b"hello ", &buffer[..length]].concat()).await?;
            stream.shutdown().await
        })
        .await
    }

    /// An HTTP server that has one file and gives it for every path.
    pub async fn web(content: &'static [u8]) -> io::Result<Self> {
        Self::start(move |stream, seen| async move {
            let mut stream = BufReader::new(stream);
            let mut request = String::new();
            stream.read_line(&mut request).await?;
            seen.lock().await.push(request.trim_end().to_owned());
            let mut line = String::new();
            while stream.read_line(&mut line).await? > 0 && !line.trim().is_empty() {
                line.clear();
            }
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(content).await?;
            stream.shutdown().await
        })
        .await
    }

    async fn start<F>(
        serve: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = listen().await?;
        let address = listener.local_addr()?.to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, seen, task })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen() -> io::Result<TcpListener> {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        if listener.local_addr()?.port() >= 10_000 {
            return Ok(listener);
        }
    }
}

/// An address on the loopback interface that was free a moment ago, of 15 characters.
pub async fn free_address() -> io::Result<String> {
    Ok(listen().await?.local_addr()?.to_string())
}
