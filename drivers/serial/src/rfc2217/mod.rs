//! A port of another machine, with its settings and control lines: RFC 2217 over telnet.
//!
//! Opening it agrees on the option, sets the line, raises DTR and RTS and empties the server's buffers, as pyserial does.
//! Every one of these steps has an answer that is waited for, and an answer with another value is an error.

mod telnet;

use std::{io, sync::Arc};

use bytes::BytesMut;
use futures::future::BoxFuture;
use jumpstarter::{Error, ErrorKind, Result, log::Logger, time::timeout};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::{Mutex, broadcast, watch},
};

use crate::{
    address::{Level, Remote},
    config::{Flow, Parity, Settings},
    port::{Input, Line, Lines, Opened, Output},
    socket,
};
use telnet::{Agreed, BINARY, COM_PORT, Decoder, Event, Options, about_port, escape};

/// What a client asks for. The server's answers have numbers that are larger by [`ANSWER`] (RFC 2217, section 3).
const SET_BAUDRATE: u8 = 1;
const SET_DATASIZE: u8 = 2;
const SET_PARITY: u8 = 3;
const SET_STOPSIZE: u8 = 4;
const SET_CONTROL: u8 = 5;
const FLOWCONTROL_SUSPEND: u8 = 8;
const FLOWCONTROL_RESUME: u8 = 9;
const PURGE_DATA: u8 = 12;
const ANSWER: u8 = 100;

/// Values of SET-CONTROL.
const NO_FLOW_CONTROL: u8 = 1;
const XON_XOFF: u8 = 2;
const HARDWARE: u8 = 3;
const DTR_ON: u8 = 8;
const DTR_OFF: u8 = 9;
const RTS_ON: u8 = 11;
const RTS_OFF: u8 = 12;

/// Values of PURGE-DATA.
const PURGE_BOTH: u8 = 3;

/// How many answers may wait for those who asked.
const ANSWERS: usize = 64;

/// What the reading side tells those who wait.
#[derive(Clone, Debug)]
enum News {
    /// Where we stand with the two options that matter.
    Agreed { port: Agreed, binary: Agreed },
    /// An answer about the port.
    Answer(u8, Vec<u8>),
    /// Nothing more will come.
    End,
}

/// What both directions share.
struct Shared {
    remote: Remote,
    writer: Mutex<OwnedWriteHalf>,
    news: broadcast::Sender<News>,
    /// Whether the server wants to get data.
    flowing: watch::Sender<bool>,
    logger: Logger,
}

impl Shared {
    fn log(&self, level: Level, text: impl FnOnce() -> String) {
        if self.remote.logging.is_some_and(|least| level >= least) {
            match level {
                Level::Debug => self.logger.debug(text()),
                Level::Info => self.logger.info(text()),
                Level::Warning => self.logger.warn(text()),
                Level::Error => self.logger.error(text()),
            }
        }
    }

    fn error(&self, kind: ErrorKind, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("the server at {} {what}", self.remote.place))
    }

    async fn send(&self, bytes: &[u8]) -> Result<()> {
        let sent = self.writer.lock().await.write_all(bytes).await;
        sent.map_err(|error| Error::from(error).context(format_args!("writing to {}", self.remote.place)))
    }

    /// Asks for a value and waits until the server says that it has it.
    async fn ask(&self, what: &str, command: u8, value: &[u8]) -> Result<()> {
        let mut news = self.news.subscribe();
        let mut request = BytesMut::new();
        about_port(command, value, &mut request);
        self.log(Level::Debug, || format!("asking for {what}"));
        self.send(&request).await?;
        let answered = timeout(self.remote.timeout, async {
            loop {
                match news.recv().await {
                    Ok(News::Answer(number, answer)) if number == command + ANSWER => return Some(answer),
                    Ok(News::End) | Err(broadcast::error::RecvError::Closed) => return None,
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                }
            }
        });
        match answered.await {
            Ok(Some(answer)) if answer.get(..value.len()) == Some(value) => {
                self.log(Level::Info, || format!("{what}: done"));
                Ok(())
            }
            Ok(Some(answer)) => {
                let has = number(&answer);
                Err(self.error(ErrorKind::Device, format_args!("did not take {what}: it has {has}")))
            }
            Ok(None) => {
                Err(self.error(ErrorKind::Disconnected, format_args!("went away when asked for {what}")))
            }
            Err(_) => Err(self.error(
                ErrorKind::Timeout,
                format_args!("did not answer within {:?} when asked for {what}", self.remote.timeout),
            )),
        }
    }

    async fn control(&self, what: &str, value: u8) -> Result<()> {
        if self.remote.ignores_control {
            let mut request = BytesMut::new();
            about_port(SET_CONTROL, &[value], &mut request);
            return self.send(&request).await;
        }
        self.ask(what, SET_CONTROL, &[value]).await
    }

    /// Waits until the server has agreed on the option.
    async fn agree(&self, mut news: broadcast::Receiver<News>) -> Result<()> {
        let agreed = timeout(self.remote.timeout, async {
            loop {
                match news.recv().await {
                    Ok(News::Agreed { port: Agreed::Yes, binary }) => {
                        if binary == Agreed::No {
                            self.logger.warn(format!(
                                "the server at {} does not carry all bytes as they are",
                                self.remote.place
                            ));
                        }
                        return Some(true);
                    }
                    Ok(News::Agreed { port: Agreed::No, .. }) => return Some(false),
                    Ok(News::End) | Err(broadcast::error::RecvError::Closed) => return None,
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                }
            }
        });
        match agreed.await {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(self.error(
                ErrorKind::Unsupported,
                "does not know RFC 2217: if it passes bytes on as they are, use `socket://`",
            )),
            Ok(None) => Err(self.error(
                ErrorKind::Disconnected,
                "ended the connection at once: the port may be in use by somebody else",
            )),
            Err(_) => Err(self.error(
                ErrorKind::Timeout,
                format_args!(
                    "did not agree on RFC 2217 within {:?}: if it passes bytes on as they are, use `socket://`",
                    self.remote.timeout
                ),
            )),
        }
    }

    async fn set_up(&self, settings: &Settings, news: broadcast::Receiver<News>) -> Result<()> {
        self.agree(news).await?;
        let rate = settings.baudrate;
        self.ask(&format!("{rate} baud"), SET_BAUDRATE, &rate.to_be_bytes()).await?;
        let bits = settings.bytesize;
        self.ask(&format!("{bits} bits per character"), SET_DATASIZE, &[bits]).await?;
        let (parity, name) = match settings.parity {
            Parity::None => (1, "no parity"),
            Parity::Odd => (2, "odd parity"),
            Parity::Even => (3, "even parity"),
        };
        self.ask(name, SET_PARITY, &[parity]).await?;
        let stop = settings.stopbits;
        self.ask(&format!("{stop} stop bits"), SET_STOPSIZE, &[stop]).await?;
        let (flow, name) = match settings.flow {
            Flow::None => (NO_FLOW_CONTROL, "no flow control"),
            Flow::Characters => (XON_XOFF, "flow control by characters"),
            Flow::Lines => (HARDWARE, "flow control by lines"),
        };
        self.control(name, flow).await?;
        self.control("DTR", DTR_ON).await?;
        if settings.flow != Flow::Lines {
            self.control("RTS", RTS_ON).await?;
        }
        self.ask("empty buffers", PURGE_DATA, &[PURGE_BOTH]).await
    }
}

/// A value as people write it.
fn number(value: &[u8]) -> u64 {
    value.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Opens a port of another machine.
pub(crate) async fn open(remote: &Remote, settings: &Settings, logger: &Logger) -> Result<Opened> {
    let (reader, writer) = socket::connect(&remote.place).await?.into_split();
    let shared = Arc::new(Shared {
        remote: remote.clone(),
        writer: Mutex::new(writer),
        news: broadcast::Sender::new(ANSWERS),
        flowing: watch::Sender::new(true),
        logger: logger.clone(),
    });
    let mut input = Reading {
        reader,
        shared: shared.clone(),
        decoder: Decoder::default(),
        options: Options::default(),
        received: BytesMut::new(),
        answers: BytesMut::new(),
    };
    let news = shared.news.subscribe();
    let mut opening = BytesMut::new();
    input.options.opening(&mut opening);
    shared.send(&opening).await?;
    let mut early = BytesMut::new();
    let set_up = {
        let reading = async {
            loop {
                match input.receive(&mut early).await {
                    Ok(0) => return Err(io::Error::from(io::ErrorKind::ConnectionReset)),
                    Ok(_) => {}
                    Err(error) => return Err::<(), _>(error),
                }
            }
        };
        let set_up = shared.set_up(settings, news);
        tokio::pin!(set_up);
        tokio::select! {
            biased;
            done = &mut set_up => done,
            // Whoever waits for an answer was told, and says it better.
            Err(_) = reading => set_up.as_mut().await,
        }
    };
    set_up?;
    // The server was asked to empty its buffers before it said that it had: what came until then is old.
    drop(early);
    let sending = Sending { shared: shared.clone() };
    Ok(Opened { input: Box::new(input), output: Box::new(sending), lines: shared })
}

/// What comes from the server.
struct Reading {
    reader: OwnedReadHalf,
    shared: Arc<Shared>,
    decoder: Decoder,
    options: Options,
    received: BytesMut,
    /// Answers that are not sent yet.
    answers: BytesMut,
}

impl Reading {
    /// Waits for something from the server; what of it is data goes to `data`. The number is that of all bytes.
    async fn receive(&mut self, data: &mut BytesMut) -> io::Result<usize> {
        if !self.answers.is_empty() {
            let mut writer = self.shared.writer.lock().await;
            while !self.answers.is_empty() {
                writer.write_buf(&mut self.answers).await?;
            }
        }
        self.received.clear();
        let read = self.reader.read_buf(&mut self.received).await;
        if !matches!(read, Ok(1..)) {
            // Only those who wait right now are told; nobody else has to be.
            let _ = self.shared.news.send(News::End);
        }
        let count = read?;
        let mut events = Vec::new();
        self.decoder.feed(&self.received, data, &mut events);
        for event in events {
            self.take(event);
        }
        Ok(count)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Negotiate(verb, option) => {
                self.shared.log(Level::Debug, || format!("the server says {verb:?} {option}"));
                if let Some(answer) = self.options.receive(verb, option) {
                    telnet::negotiate(answer, option, &mut self.answers);
                }
                let (port, binary) = (self.options.ours(COM_PORT), self.options.ours(BINARY));
                let _ = self.shared.news.send(News::Agreed { port, binary });
            }
            Event::About(about) => match about.as_slice() {
                // Some servers use the client's numbers for these two.
                [COM_PORT, FLOWCONTROL_SUSPEND | 108] => {
                    self.shared.log(Level::Info, || "the server takes no data for now".to_owned());
                    self.shared.flowing.send_replace(false);
                }
                [COM_PORT, FLOWCONTROL_RESUME | 109] => {
                    self.shared.log(Level::Info, || "the server takes data again".to_owned());
                    self.shared.flowing.send_replace(true);
                }
                [COM_PORT, number, value @ ..] => {
                    let _ = self.shared.news.send(News::Answer(*number, value.to_vec()));
                }
                other => self
                    .shared
                    .log(Level::Warning, || format!("the server says something unknown: {other:?}")),
            },
        }
    }
}

impl Input for Reading {
    fn read<'a>(&'a mut self, buffer: &'a mut BytesMut) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async move {
            let before = buffer.len();
            loop {
                let received = self.receive(buffer).await;
                // A serial port has no end: a server that goes takes the port away.
                let gone = |why: &dyn std::fmt::Display| {
                    let text = format!("the port at {} is gone: {why}", self.shared.remote.place);
                    io::Error::new(io::ErrorKind::ConnectionReset, text)
                };
                match received {
                    Ok(0) => return Err(gone(&"the server ended the connection")),
                    Err(error) => return Err(gone(&error)),
                    Ok(_) if buffer.len() > before => return Ok(buffer.len() - before),
                    Ok(_) => {}
                }
            }
        })
    }
}

/// What goes to the server.
struct Sending {
    shared: Arc<Shared>,
}

impl Output for Sending {
    fn write<'a>(&'a mut self, data: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            let mut flowing = self.shared.flowing.subscribe();
            // It cannot end: the sender is right beside it.
            let _ = flowing.wait_for(|flowing| *flowing).await;
            let mut escaped = BytesMut::with_capacity(data.len());
            escape(data, &mut escaped);
            self.shared.writer.lock().await.write_all(&escaped).await
        })
    }
}

impl Lines for Shared {
    fn set(&self, line: Line, on: bool) -> BoxFuture<'_, Result<()>> {
        let value = match (line, on) {
            (Line::Dtr, true) => DTR_ON,
            (Line::Dtr, false) => DTR_OFF,
            (Line::Rts, true) => RTS_ON,
            (Line::Rts, false) => RTS_OFF,
        };
        Box::pin(self.control(line.name(), value))
    }
}
