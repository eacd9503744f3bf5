//! Files that travel beside a call: each has a stream of its own, which runs while the call runs.
//!
//! The order matters. First the stream is opened and its handle awaited, because the call's argument *is* the handle;
//! then call and stream run at the same time, because the driver works on the one while the other delivers.
//!
//! What counts as success is decided here as well:
//!
//! * A file that cannot be read, or written, here fails the call with that error, whatever the exporter makes of it.
//! * Data from the exporter is complete when its end was announced; an end that was not announced is an error.
//! * Towards exporters of this implementation, length and digest of what went over the wire travel along and are
//!   verified at the far end.
//! * Exporters of release 0.9.0 never finish packed data. What they send is unpacked on the side, so that an incomplete
//!   file is an error and not a surprise of the day after.

use std::{future::pending, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use jumpstarter_core::{
    Error, Result, Sink, Source,
    dispatch::Attached,
    resource::{Handle, Sha256Digest, hex},
};
use jumpstarter_transport::{
    codec::{self, Encoding},
    frames::{CHUNK, chunks},
    status::{self, Call},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    connection::Patience,
    remote::{Instance, stream_request},
    wire::{self, Dialect, Inbox, Item, Outbox},
};

/// Metadata key with the handle, in the answer to a stream for a file.
const RESOURCE: &str = "resource";

/// Metadata key with the encoding that the exporter takes care of; only its absence means something.
const ACCEPTED: &str = "x_jmp_accept_encoding";

/// How many pieces wait for the check of packed data.
const CHECK_DEPTH: usize = 4;

/// The streams of one call's files. Dropping it cuts them.
pub(crate) struct Pumps {
    uploads: Vec<AbortOnDropHandle<()>>,
    downloads: Vec<AbortOnDropHandle<Result<()>>>,
    /// Failures on this side, each reported before the other side can notice.
    failures: mpsc::Receiver<Error>,
    report: mpsc::Sender<Error>,
    /// Cancelled once the call has returned.
    returned: CancellationToken,
    /// Cancelled once it has failed.
    failed: CancellationToken,
    patience: Patience,
}

impl Pumps {
    /// Opens a stream for each file and starts to feed it; `put` gets each one's handle and the position it stands for.
    pub(crate) async fn start(
        instance: &Instance,
        attached: Vec<(usize, Attached)>,
        mut put: impl FnMut(usize, &Handle),
    ) -> Result<Option<Self>> {
        let mut pumps = None;
        for (index, file) in attached {
            let (handle, packing, len) = match &file {
                Attached::Source(source) => (source.handle(), source.packing(), source.len()),
                Attached::Sink(sink) => (sink.handle(), sink.packing(), None),
            };
            if let Some(handle) = handle {
                if let Some(packing) = packing {
                    return Err(Error::usage(format!(
                        "what the exporter fetches from an address or stores there is passed on as it is: leave out \
                         {packing}, or use a file here"
                    )));
                }
                put(index, handle);
                continue;
            }
            let encoding = packing.map(str::parse::<Encoding>).transpose().map_err(Error::from)?;
            let stream = Opened::open(instance, encoding, len).await?;
            put(index, &stream.handle);
            let pumps: &mut Self = pumps.get_or_insert_with(|| Self::new(instance.connection.patience()));
            match file {
                Attached::Source(source) => pumps.upload(stream, source),
                Attached::Sink(sink) => pumps.download(stream, sink),
            }
        }
        Ok(pumps)
    }

    fn new(patience: Patience) -> Self {
        let (report, failures) = mpsc::channel(1);
        Self {
            uploads: Vec::new(),
            downloads: Vec::new(),
            failures,
            report,
            returned: CancellationToken::new(),
            failed: CancellationToken::new(),
            patience,
        }
    }

    fn upload(&mut self, stream: Opened, source: Source) {
        let report = self.report.clone();
        self.uploads.push(AbortOnDropHandle::new(tokio::spawn(upload(stream, source, report))));
    }

    fn download(&mut self, stream: Opened, sink: Sink) {
        let (returned, failed) = (self.returned.clone(), self.failed.clone());
        let end = CallEnd { returned, failed, patience: self.patience };
        let pump = download(stream, sink, end, self.report.clone());
        self.downloads.push(AbortOnDropHandle::new(tokio::spawn(pump)));
    }

    /// Makes the call while the files travel, and says how all of it went.
    pub(crate) async fn alongside<T>(mut self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let mut call = std::pin::pin!(call);
        let result = tokio::select! {
            result = &mut call => result,
            failure = self.failure() => {
                // The stream is cut already; the call should fail by itself, and tidy up while it does.
                let _ = timeout(self.patience.stall, &mut call).await;
                return Err(failure);
            }
        };
        match result {
            Ok(result) => self.settle().await.map(|()| result),
            Err(error) => {
                self.give_up().await;
                Err(self.failures.try_recv().unwrap_or(error))
            }
        }
    }

    /// After the call has failed: what is received ends with an error as well, which its sink learns before it is dropped.
    async fn give_up(&mut self) {
        self.failed.cancel();
        let ends = futures::future::join_all(self.downloads.drain(..));
        let _ = timeout(self.patience.stall, ends).await;
    }

    /// The first failure on this side; for ever pending if there is none.
    async fn failure(&mut self) -> Error {
        match self.failures.recv().await {
            Some(failure) => failure,
            // Not while `report` is there.
            None => pending().await,
        }
    }

    /// The cause of an error that the other side reports, if it lies on this side.
    pub(crate) fn cause_of(&mut self, error: Error) -> Error {
        self.failures.try_recv().unwrap_or(error)
    }

    /// After the call has succeeded: waits for the rest of what it sends. What it did not read, it did not want.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        self.returned.cancel();
        self.uploads.clear();
        let mut downloads: FuturesUnordered<_> = self.downloads.drain(..).collect();
        while let Some(ended) = downloads.next().await {
            let result =
                ended.unwrap_or_else(|_| Err(Error::internal("the task that receives a file has failed")));
            if let Err(error) = result {
                return Err(self.failures.try_recv().unwrap_or(error));
            }
        }
        // A driver that takes a cut for the end reports success; we know better.
        self.failures.try_recv().map_or(Ok(()), Err)
    }
}

/// A stream for a file, accepted by the exporter.
struct Opened {
    outbox: Outbox,
    inbox: Inbox,
    handle: Handle,
    encoding: Option<Encoding>,
    /// The exporter is too old to pack and unpack: it is done here.
    local: bool,
    /// The exporter understands notes about length and digest.
    notes: bool,
}

impl Opened {
    async fn open(instance: &Instance, encoding: Option<Encoding>, len: Option<u64>) -> Result<Self> {
        let mut request = json!({
            "kind": "resource",
            "uuid": instance.uuid,
            "x_jmp_content_encoding": encoding.map(Encoding::name),
        });
        let notes = instance.speaks_native();
        if notes {
            request["notes"] = true.into();
            if let Some(len) = len {
                request["length"] = len.into();
            }
        }
        let metadata = stream_request(&request)?;
        let (outbox, opening) = wire::open(&instance.connection.channel()?, metadata, Dialect::Frames, true);
        let patience = instance.connection.patience().resource;
        let opened = timeout(patience, opening).await;
        let opened = opened
            .map_err(|_| Error::timeout(format!("the exporter did not take the file within {patience:?}")))?;
        let wire::Opened { metadata, mut inbox } =
            opened.map_err(|status| status::from_status(&status, Call::Stream))?;
        let Some(handle) = metadata.get(RESOURCE) else {
            // The reason, where there is one, comes as the end of the call.
            let reason = match timeout(patience, inbox.next()).await {
                Ok(Some(Err(lost))) => status::from_status(lost.status(), Call::Stream),
                _ => Error::internal("the exporter opened a stream for a file, but sent no handle for it"),
            };
            return Err(reason);
        };
        let text = handle.to_str().unwrap_or_default();
        let handle = Handle::from_json(text).map_err(|error| {
            Error::internal(format!("the exporter's handle for a file makes no sense: {error}"))
        })?;
        if !matches!(handle, Handle::ClientStream { .. }) {
            return Err(Error::internal("the exporter's handle for a file is not one for a stream"));
        }
        // Only the absence of the key says something; its value does not.
        let local = metadata.get(ACCEPTED).is_none();
        Ok(Self { outbox, inbox, handle, encoding, local, notes })
    }
}

/// Length and digest of what went over the wire.
struct Tally {
    length: u64,
    hasher: Option<Sha256>,
}

impl Tally {
    fn new(wanted: bool) -> Self {
        Self { length: 0, hasher: wanted.then(Sha256::new) }
    }

    fn add(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
    }

    /// The note for the end of the data, empty if none is wanted.
    fn note(self) -> Bytes {
        match self.hasher {
            Some(hasher) => {
                let digest: Sha256Digest = hasher.finalize().into();
                json!({"length": self.length, "sha256": hex(&digest)}).to_string().into()
            }
            None => Bytes::new(),
        }
    }

    /// Compares with the other side's note, as far as there is one.
    fn verify(self, note: &[u8]) -> Result<()> {
        if note.is_empty() {
            return Ok(());
        }
        // An unknown kind of note is a newer version's business.
        let Ok(note) = serde_json::from_slice::<serde_json::Value>(note) else { return Ok(()) };
        if let Some(length) = note["length"].as_u64().filter(|length| *length != self.length) {
            return Err(Error::truncated(format!(
                "got {} of the {length} bytes that the exporter has sent",
                self.length
            )));
        }
        if let (Some(hasher), Some(announced)) = (self.hasher, note["sha256"].as_str()) {
            let digest: Sha256Digest = hasher.finalize().into();
            let digest = hex(&digest);
            if !digest.eq_ignore_ascii_case(announced) {
                return Err(Error::truncated(format!(
                    "the data was changed on the way: its sha256 is {digest}, the exporter sent {announced}"
                )));
            }
        }
        Ok(())
    }
}

/// Sends a file. Failures to read it are reported; what the other side does wrong, the call will say.
async fn upload(stream: Opened, source: Source, report: mpsc::Sender<Error>) {
    let Opened { outbox, mut inbox, encoding, local, notes, .. } = stream;
    let mut source =
        if local && encoding.is_some() { Source::new(codec::unpack(encoding, source)) } else { source };
    let mut tally = Tally::new(notes);
    let sending = async {
        while let Some(piece) = source.next().await.map_err(Some)? {
            tally.add(&piece);
            for chunk in chunks(piece, CHUNK) {
                outbox.send(Item::Piece(chunk)).await.map_err(|_| None)?;
            }
        }
        outbox.send(Item::End(tally.note())).await.map_err(|_| None::<Error>)
    };
    // What comes back is of no interest, except for an end: nobody takes the rest then.
    let listen = async {
        while let Some(Ok(_)) = inbox.next().await {}
        if inbox.farewell().is_some() {
            // The driver has nothing to say, which is not the same as not listening.
            pending::<()>().await;
        }
    };
    let sent = tokio::select! {
        sent = sending => sent,
        () = listen => Err(None),
    };
    match sent {
        // The call decides when the stream ends: it may not have read anything yet.
        Ok(()) => pending().await,
        Err(Some(failure)) => {
            // There is room for one: the first is the cause of the others.
            let _ = report.try_send(failure);
        }
        Err(None) => tracing::debug!("the exporter did not take the whole file"),
    }
}

/// Why a download ends whose call has failed.
const CALL_FAILED: &str = "the call has failed";

/// When the call that fills a download has returned, data must keep coming.
struct CallEnd {
    returned: CancellationToken,
    failed: CancellationToken,
    patience: Patience,
}

impl CallEnd {
    /// The next piece. Until the call returns, it takes as long as it takes.
    async fn next(&self, inbox: &mut Inbox) -> Result<Option<Bytes>> {
        let next = tokio::select! {
            biased;
            () = self.failed.cancelled() => return Err(Error::truncated(CALL_FAILED)),
            next = inbox.next() => next,
            () = self.returned.cancelled() => {
                let next = timeout(self.patience.stall, inbox.next()).await;
                next.map_err(|_| {
                    Error::truncated("the call has returned, but the exporter has not sent the end of the data")
                })?
            }
        };
        next.transpose().map_err(Error::from)
    }
}

/// Receives a file.
async fn download(stream: Opened, sink: Sink, end: CallEnd, report: mpsc::Sender<Error>) -> Result<()> {
    let Opened { outbox, mut inbox, encoding, local, notes, .. } = stream;
    // Nothing goes the other way; existing clients say so at once. If the call has ended already, reading says why.
    let _ = outbox.send(Item::End(Bytes::new())).await;
    let mut target = match encoding {
        Some(encoding) if local => Target::Packing(Packing::new(sink, encoding)),
        _ => Target::Plain(sink),
    };
    // Whoever packs with an announced digest does it right; others are checked.
    let mut check = encoding.filter(|_| !local && !notes).map(Check::start);
    let mut tally = Tally::new(notes);
    let received = async {
        while let Some(piece) = end.next(&mut inbox).await? {
            tally.add(&piece);
            if let Some(check) = &check {
                check.add(piece.clone()).await;
            }
            let written = tokio::select! {
                biased;
                written = target.write(piece) => written,
                // Whoever should take it may never do so: a pipe may be full for ever.
                () = end.failed.cancelled() => return Err(Error::truncated(CALL_FAILED)),
            };
            if let Err(error) = written {
                let _ = report.try_send(error.clone());
                return Err(error);
            }
        }
        let Some(note) = inbox.farewell() else {
            return Err(Error::truncated(
                "the exporter closed the stream without saying that the data is complete",
            ));
        };
        let length = tally.length;
        tally.verify(note)?;
        match check.take() {
            Some(check) => check.finish(length).await,
            None => Ok(()),
        }
    };
    match received.await {
        Ok(()) => {
            let failed = async {
                end.failed.cancelled().await;
                sleep(REST).await;
            };
            let finished = tokio::select! {
                biased;
                finished = target.finish() => finished,
                // All of it has come, but nobody waits for ever for whoever takes it. The call says what was wrong.
                () = failed => return Err(Error::truncated(CALL_FAILED)),
            };
            if let Err(error) = &finished {
                let _ = report.try_send(error.clone());
            }
            finished
        }
        Err(error) => {
            target.abort(error.clone()).await;
            Err(error)
        }
    }
}

/// Unpacks data on the side, to see whether it is all there.
struct Check {
    pieces: mpsc::Sender<Bytes>,
    result: AbortOnDropHandle<Result<(), codec::Error>>,
}

impl Check {
    fn start(encoding: Encoding) -> Self {
        let (pieces, receiver) = mpsc::channel::<Bytes>(CHECK_DEPTH);
        let pieces_in = futures::stream::unfold(receiver, async |mut receiver| {
            let piece = receiver.recv().await?;
            Some((Ok::<_, codec::Error>(piece), receiver))
        });
        let unpacked = codec::unpack(Some(encoding), pieces_in);
        let result = tokio::spawn(async move {
            let mut unpacked = std::pin::pin!(unpacked);
            while let Some(piece) = unpacked.next().await {
                piece?;
            }
            Ok(())
        });
        Self { pieces, result: AbortOnDropHandle::new(result) }
    }

    async fn add(&self, piece: Bytes) {
        // A check that has found something needs no more.
        let _ = self.pieces.send(piece).await;
    }

    async fn finish(self, length: u64) -> Result<()> {
        drop(self.pieces);
        let found = match self.result.await {
            // No format packs anything, not even nothing, into no bytes at all.
            Ok(Ok(())) if length == 0 => "there is nothing".to_owned(),
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => return Err(Error::internal("the check of packed data has failed")),
        };
        Err(Error::truncated(format!(
            "the packed data from the exporter is not complete: {found}. Exporters of release 0.9.0 never send the end of \
             what they pack: leave out the compression"
        )))
    }
}

/// Where a download goes.
enum Target {
    Plain(Sink),
    /// Very old exporters leave packing to their clients.
    Packing(Packing),
}

impl Target {
    async fn write(&mut self, piece: Bytes) -> Result<()> {
        match self {
            Self::Plain(sink) => sink.write(piece).await,
            Self::Packing(packing) => packing.write(piece).await,
        }
    }

    async fn finish(self) -> Result<()> {
        match self {
            Self::Plain(sink) => sink.finish().await,
            Self::Packing(packing) => packing.finish().await,
        }
    }

    async fn abort(self, reason: Error) {
        match self {
            Self::Plain(sink) => sink.abort(reason),
            Self::Packing(packing) => packing.abort(reason).await,
        }
    }
}

/// How long a sink may take for what came before a failure, once that is known.
const REST: Duration = Duration::from_secs(2);

/// Packs plain data for a sink.
struct Packing {
    pieces: mpsc::Sender<Result<Bytes>>,
    /// Taken by whoever waits for it.
    result: Option<AbortOnDropHandle<Result<u64>>>,
}

impl Packing {
    fn new(sink: Sink, encoding: Encoding) -> Self {
        let (pieces, receiver) = mpsc::channel::<Result<Bytes>>(CHECK_DEPTH);
        let plain = futures::stream::unfold(receiver, async |mut receiver| {
            let piece = receiver.recv().await?;
            Some((piece, receiver))
        });
        let source = Source::new(codec::pack(Some(encoding), plain).even_if_empty());
        let result = AbortOnDropHandle::new(tokio::spawn(sink.copy_source(source)));
        Self { pieces, result: Some(result) }
    }

    async fn result(result: Option<AbortOnDropHandle<Result<u64>>>) -> Result<()> {
        match result {
            Some(result) => match result.await {
                Ok(written) => written.map(|_| ()),
                Err(_) => Err(Error::internal("the task that packs a file has failed")),
            },
            None => Err(Error::internal("written to a file that has failed before")),
        }
    }

    async fn write(&mut self, piece: Bytes) -> Result<()> {
        if self.pieces.send(Ok(piece)).await.is_ok() {
            return Ok(());
        }
        // Nobody takes pieces any more: writing has failed, and the result says why.
        Self::result(self.result.take()).await?;
        Err(Error::internal("the task that packs a file ended before the file did"))
    }

    async fn finish(self) -> Result<()> {
        let Self { pieces, result } = self;
        drop(pieces);
        Self::result(result).await
    }

    /// The sink gets what came before, and then the reason, if it takes them soon.
    async fn abort(self, reason: Error) {
        let Self { pieces, result } = self;
        let end = async {
            let _ = pieces.send(Err(reason)).await;
            drop(pieces);
            // Its error is the reason.
            let _ = Self::result(result).await;
        };
        let _ = timeout(REST, end).await;
    }
}
