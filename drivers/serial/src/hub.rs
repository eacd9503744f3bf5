//! One open port and everybody who is connected to it.
//!
//! A port is opened for the first connection and closed after the last one. All of them get everything that the device
//! says, and what they send is handed over piece by piece: a log that runs in the background does not take anything away
//! from the person at the console.
//!
//! | What happens | Everybody who is connected sees |
//! |---|---|
//! | the device ends its data (a socket can) | the end |
//! | the port is closed on demand | the end |
//! | the device goes away, or reading fails | an error, after everything that was read before |
//!
//! While only one is connected and does not read, the port is not read either, so that flow control reaches the device.
//! As soon as there are several, one that does not read must not stop the others: it may fall behind by [`BEHIND`]
//! bytes, and is cut then.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use futures::future::BoxFuture;
use jumpstarter::{Io, task::spawn};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Mutex as AsyncMutex, Notify, watch},
};

use crate::port::{Input, Lines, Opened, Output, give_back};

/// How much is accepted from a client before the port has taken it; upstream's limit.
const ACCEPTED: usize = 4096;

/// How much waits for the only reader before the port is no longer read.
const AHEAD: usize = 64 * 1024;

/// How far a reader may fall behind others.
const BEHIND: usize = 1024 * 1024;

/// Why a port is no longer open.
#[derive(Clone, Debug)]
enum Over {
    /// The last one has gone.
    Left,
    /// Somebody closed it.
    Closed,
    /// The device ended its data.
    Ended,
    /// The device went away, or something else went wrong.
    Broken(io::ErrorKind, String),
}

impl Over {
    fn of(error: &io::Error) -> Self {
        Self::Broken(error.kind(), error.to_string())
    }

    /// What a reader sees.
    fn for_reader(&self) -> io::Result<()> {
        match self {
            Self::Broken(kind, text) => Err(io::Error::new(*kind, text.clone())),
            _ => Ok(()),
        }
    }

    /// What a writer sees.
    fn for_writer(&self) -> io::Error {
        match self {
            Self::Broken(kind, text) => io::Error::new(*kind, text.clone()),
            _ => io::Error::new(io::ErrorKind::BrokenPipe, "the port was closed"),
        }
    }
}

/// An open port.
pub(crate) struct Hub {
    readers: Mutex<Readers>,
    /// A reader has made room, or has gone.
    changed: Notify,
    output: AsyncMutex<Option<Box<dyn Output>>>,
    /// Taken away with the rest when the port is closed.
    lines: Mutex<Option<Arc<dyn Lines>>>,
    over: watch::Sender<Option<Over>>,
    given_back: watch::Sender<bool>,
}

struct Readers {
    all: Vec<Arc<Reader>>,
    /// Nobody can join any more.
    over: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it protects is whole after every statement: a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Takes over an open port.
    pub(crate) fn start(opened: Opened) -> Arc<Self> {
        let hub = Arc::new(Self {
            readers: Mutex::new(Readers { all: Vec::new(), over: false }),
            changed: Notify::new(),
            output: AsyncMutex::new(Some(opened.output)),
            lines: Mutex::new(Some(opened.lines)),
            over: watch::Sender::new(None),
            given_back: watch::Sender::new(false),
        });
        spawn(hub.clone().run(opened.input));
        hub
    }

    /// Connects one more; `None` when the port is no longer open.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Io> {
        let reader = Arc::new(Reader::default());
        let mut readers = locked(&self.readers);
        if readers.over {
            return None;
        }
        readers.all.push(reader.clone());
        drop(readers);
        self.changed.notify_one();
        Some(Io::new(Connection { hub: self.clone(), reader, sending: None }))
    }

    /// Whether it is open.
    pub(crate) fn is_open(&self) -> bool {
        !locked(&self.readers).over
    }

    /// The control lines.
    pub(crate) fn lines(&self) -> Option<Arc<dyn Lines>> {
        locked(&self.lines).clone()
    }

    /// Closes the port: everybody sees the end.
    pub(crate) fn close(&self) {
        self.end(Over::Closed);
    }

    /// Waits until others can open the port.
    pub(crate) async fn given_back(&self) {
        // It cannot fail: the sender is in `self`.
        let _ = self.given_back.subscribe().wait_for(|given_back| *given_back).await;
    }

    /// The first reason counts.
    fn end(&self, why: Over) {
        locked(&self.readers).over = true;
        self.over.send_if_modified(|over| {
            let first = over.is_none();
            if first {
                *over = Some(why);
            }
            first
        });
    }

    async fn run(self: Arc<Self>, mut input: Box<dyn Input>) {
        let mut over = self.over.subscribe();
        let mut buffer = BytesMut::new();
        let why = loop {
            let reading = async {
                self.room().await;
                input.read(&mut buffer).await
            };
            tokio::select! {
                biased;
                why = asked(&mut over) => break why,
                read = reading => match read {
                    Ok(0) => break Over::Ended,
                    Ok(_) => {
                        self.deliver(&buffer);
                        buffer.clear();
                    }
                    Err(error) => break Over::of(&error),
                },
            }
        };
        self.end(why.clone());
        for reader in std::mem::take(&mut locked(&self.readers).all) {
            reader.end(why.clone());
        }
        let output = self.output.lock().await.take();
        let lines = locked(&self.lines).take();
        give_back((input, output, lines)).await;
        self.given_back.send_replace(true);
    }

    /// Waits until what is read next has a place.
    async fn room(&self) {
        loop {
            {
                let readers = locked(&self.readers);
                let has_room = match readers.all.as_slice() {
                    [only] => only.waiting() < AHEAD,
                    // With several, it is enough that one of them reads.
                    several => several.iter().any(|reader| reader.waiting() < AHEAD),
                };
                if has_room {
                    return;
                }
            }
            self.changed.notified().await;
        }
    }

    fn deliver(&self, data: &[u8]) {
        let mut readers = locked(&self.readers);
        let several = readers.all.len() > 1;
        readers.all.retain(|reader| {
            let keeps_up = !several || reader.waiting() + data.len() <= BEHIND;
            if keeps_up {
                reader.add(data);
            } else {
                let text = format!(
                    "this connection was cut: it did not read, and fell {BEHIND} bytes behind others"
                );
                reader.end(Over::Broken(io::ErrorKind::ConnectionAborted, text));
            }
            keeps_up
        });
    }

    /// Hands data to the device; in whole pieces, when several send at once.
    async fn send(&self, data: Bytes) -> io::Result<()> {
        let mut over = self.over.subscribe();
        let write = async {
            match &mut *self.output.lock().await {
                Some(output) => output.write(&data).await,
                None => Err(Over::Closed.for_writer()),
            }
        };
        tokio::select! {
            biased;
            why = asked(&mut over) => Err(why.for_writer()),
            written = write => written,
        }
    }

    fn leave(&self, reader: &Arc<Reader>) {
        let mut readers = locked(&self.readers);
        readers.all.retain(|other| !Arc::ptr_eq(other, reader));
        let last = readers.all.is_empty();
        // Decided under the lock: nobody joins a port that is about to be closed.
        readers.over |= last;
        drop(readers);
        if last {
            self.end(Over::Left);
        }
        self.changed.notify_one();
    }
}

/// Waits until the port is over.
async fn asked(over: &mut watch::Receiver<Option<Over>>) -> Over {
    let why = over.wait_for(Option::is_some).await;
    why.ok().and_then(|why| why.clone()).unwrap_or(Over::Left)
}

/// What waits for one of those who are connected.
#[derive(Default)]
struct Reader(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    data: BytesMut,
    over: Option<Over>,
    waker: Option<Waker>,
}

impl Reader {
    fn waiting(&self) -> usize {
        locked(&self.0).data.len()
    }

    fn add(&self, data: &[u8]) {
        let mut waiting = locked(&self.0);
        waiting.data.extend_from_slice(data);
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    fn end(&self, why: Over) {
        let mut waiting = locked(&self.0);
        waiting.over.get_or_insert(why);
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }
}

/// One who is connected.
struct Connection {
    hub: Arc<Hub>,
    reader: Arc<Reader>,
    /// What was accepted and is on its way to the device.
    sending: Option<BoxFuture<'static, io::Result<()>>>,
}

impl Connection {
    /// Waits until the device has everything that was accepted.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(sending) = &mut self.sending {
            let sent = ready!(sending.as_mut().poll(cx));
            self.sending = None;
            return Poll::Ready(sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut waiting = locked(&self.reader.0);
        if waiting.data.is_empty() {
            if let Some(why) = &waiting.over {
                return Poll::Ready(why.for_reader());
            }
            waiting.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = waiting.data.len();
        let count = before.min(buffer.remaining());
        buffer.put_slice(&waiting.data[..count]);
        waiting.data.advance(count);
        if waiting.data.is_empty() && waiting.data.capacity() > AHEAD {
            // What a burst needed is not kept for ever.
            waiting.data = BytesMut::new();
        }
        let made_room = before >= AHEAD && waiting.data.len() < AHEAD;
        drop(waiting);
        if made_room {
            self.hub.changed.notify_one();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(cx))?;
        let piece = Bytes::copy_from_slice(&data[..data.len().min(ACCEPTED)]);
        let count = piece.len();
        let hub = self.hub.clone();
        self.sending = Some(Box::pin(async move { hub.send(piece).await }));
        // It begins now, not with the next call.
        match self.poll_sent(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(cx)
    }

    /// A serial line has no end of data: the device hears nothing of it, and goes on talking.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.hub.leave(&self.reader);
    }
}

#[cfg(test)]
mod tests {
    use jumpstarter::time::{Duration, timeout};
    use tokio::io::{
        AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split,
    };

    use super::*;
    use crate::port::NoLines;

    impl Input for ReadHalf<DuplexStream> {
        fn read<'a>(&'a mut self, buffer: &'a mut BytesMut) -> BoxFuture<'a, io::Result<usize>> {
            Box::pin(self.read_buf(buffer))
        }
    }

    impl Output for WriteHalf<DuplexStream> {
        fn write<'a>(&'a mut self, data: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
            Box::pin(self.write_all(data))
        }
    }

    /// A port that says something and goes away.
    struct Dying(bool);
    impl Input for Dying {
        fn read<'a>(&'a mut self, buffer: &'a mut BytesMut) -> BoxFuture<'a, io::Result<usize>> {
            Box::pin(async {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::new(io::ErrorKind::ConnectionReset, "unplugged"));
                }
                buffer.extend_from_slice(b"last words");
                Ok(10)
            })
        }
    }

    fn port(size: usize) -> (Arc<Hub>, DuplexStream) {
        let (near, device) = duplex(size);
        let (input, output) = split(near);
        let opened = Opened { input: Box::new(input), output: Box::new(output), lines: Arc::new(NoLines) };
        (Hub::start(opened), device)
    }

    async fn heard(io: &mut Io, count: usize) -> Vec<u8> {
        let mut data = vec![0; count];
        io.read_exact(&mut data).await.unwrap();
        data
    }

    #[tokio::test]
    async fn everybody_hears_everything_and_whoever_leaves_takes_nothing_along() {
        let (hub, mut device) = port(64);
        let (mut one, mut two) = (hub.join().unwrap(), hub.join().unwrap());
        device.write_all(b"boot").await.unwrap();
        assert_eq!(
            (heard(&mut one, 4).await, heard(&mut two, 4).await),
            (b"boot".to_vec(), b"boot".to_vec())
        );
        drop(one);
        device.write_all(b"more").await.unwrap();
        assert_eq!(heard(&mut two, 4).await, b"more");
        drop(two);
        hub.given_back().await;
        assert!(hub.join().is_none(), "a port that is closed has to be opened again");
        assert!(device.write_all(b"x").await.is_err());
    }

    #[tokio::test]
    async fn closing_is_an_end_and_a_port_that_goes_away_is_an_error_behind_its_last_words() {
        let (hub, _device) = port(64);
        let mut io = hub.join().unwrap();
        hub.close();
        assert_eq!(io.recv().await.unwrap(), None);
        assert_eq!(io.send("x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);

        let (near, _device) = duplex(64);
        let (_, output) = split(near);
        let hub = Hub::start(Opened {
            input: Box::new(Dying(false)),
            output: Box::new(output),
            lines: Arc::new(NoLines),
        });
        let mut io = hub.join().unwrap();
        assert_eq!(io.recv().await.unwrap().unwrap(), "last words");
        assert_eq!(io.recv().await.unwrap_err().to_string(), "unplugged");
        assert_eq!(io.send("x").await.unwrap_err().to_string(), "unplugged");
    }

    #[tokio::test]
    async fn the_only_reader_holds_the_port_back_and_one_of_several_does_not() {
        let (hub, device) = port(1024);
        let mut slow = hub.join().unwrap();
        let (_keep, mut device) = split(device);
        // As much as one may be ahead, what is on its way, and what the line itself holds.
        let filled = async {
            let mut sent = 0;
            while timeout(Duration::from_millis(200), device.write_all(&[b'x'; 512])).await.is_ok() {
                sent += 512;
                assert!(sent < 4 * AHEAD, "the port was read although nobody took anything");
            }
            sent
        };
        assert!(filled.await >= AHEAD);
        let mut quick = hub.join().unwrap();
        let writer = spawn(async move {
            for _ in 0..3 * BEHIND / 1024 {
                device.write_all(&[b'y'; 1024]).await.unwrap();
            }
            device
        });
        // The quick one gets on although the slow one does not read at all.
        heard(&mut quick, 2 * BEHIND).await;
        let mut seen = 0;
        let error = loop {
            match slow.recv().await {
                Ok(Some(piece)) => seen += piece.len(),
                Ok(None) => panic!("being cut is no end"),
                Err(error) => break error,
            }
        };
        assert!(seen <= BEHIND, "{seen}");
        assert!(error.to_string().contains("fell 1048576 bytes behind"), "{error}");
        drop(quick);
        writer.abort();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_joins_a_port_that_the_last_one_is_leaving() {
        for _ in 0..2000 {
            let (hub, mut device) = port(64);
            let leaving = hub.join().unwrap();
            let left = spawn(async move { drop(leaving) });
            if let Some(mut io) = hub.join() {
                device.write_all(b"x").await.unwrap();
                assert_eq!(io.recv().await.unwrap().as_deref(), Some(&b"x"[..]));
            }
            left.await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_was_accepted_is_bounded_and_a_closed_port_lets_go_of_a_stuck_writer() {
        let (hub, mut device) = port(16);
        let mut io = hub.join().unwrap();
        let sent = timeout(Duration::from_millis(50), io.send(vec![b'x'; 3 * ACCEPTED])).await;
        assert!(sent.is_err(), "a device that takes nothing holds its sender back");
        hub.close();
        assert_eq!(io.send("y").await.unwrap_err().to_string(), "the port was closed");
        drop(io);
        hub.given_back().await;
        let mut taken = Vec::new();
        device.read_to_end(&mut taken).await.unwrap();
        assert!(taken.len() <= 16 + ACCEPTED);
    }

    #[tokio::test]
    async fn pitfall_s2_the_end_of_one_direction_leaves_the_other_running() {
        let (hub, mut device) = port(64);
        let mut io = hub.join().unwrap();
        io.send("question").await.unwrap();
        io.finish().await.unwrap();
        let mut asked = [0; 8];
        device.read_exact(&mut asked).await.unwrap();
        device.write_all(b"answer").await.unwrap();
        assert_eq!(io.recv().await.unwrap().unwrap(), "answer");
    }

    #[tokio::test]
    async fn pitfall_s9_what_the_device_says_before_anybody_listens_is_kept() {
        let (near, mut device) = duplex(64);
        device.write_all(b"first words").await.unwrap();
        let (input, output) = split(near);
        let opened = Opened { input: Box::new(input), output: Box::new(output), lines: Arc::new(NoLines) };
        let hub = Hub::start(opened);
        tokio::task::yield_now().await;
        let mut io = hub.join().unwrap();
        assert_eq!(io.recv().await.unwrap().unwrap(), "first words");
    }
}
