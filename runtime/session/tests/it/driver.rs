//! A driver that does whatever a test needs, with a description written by hand.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, atomic::AtomicBool},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use jumpstarter_core::{
    Error, ErrorKind, Io, Result, Sink, Source, Stream,
    describe::{Exclusive, Framing, Interface, Kind, Method, Param, Role, Type},
    dispatch::{Args, Calling, Provided, reply, unknown},
    instance::{Instance, Lifecycle},
    log::{LogSink, Logger, Severity},
    resource::hex,
    wire::value,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

const fn method(
    rpc: &'static str,
    export: &'static str,
    kind: Kind,
    params: &'static [Param],
    ret: Type,
) -> Method {
    Method {
        rpc,
        export,
        renamed_from: &[],
        optional: false,
        kind,
        framing: Framing::Bytes,
        exclusive: Exclusive::No,
        params,
        ret,
        doc: "",
    }
}

const fn param(name: &'static str, tag: u32, ty: Type, role: Role) -> Param {
    Param { name, tag, ty, role, default: None, rest: false, doc: "" }
}

const TEXT: &[Param] = &[param("text", 1, Type::Str, Role::Wire)];
const COUNT: &[Param] = &[param("n", 1, Type::I64, Role::Wire)];
const SOURCE: &[Param] = &[param("source", 1, Type::Handle, Role::Source)];
const SINK: &[Param] = &[param("sink", 1, Type::Handle, Role::Sink), param("text", 2, Type::Str, Role::Wire)];

/// The interface.
pub(crate) static TESTER: Interface = Interface {
    package: "jumpstarter.x",
    name: "tester",
    version: 1,
    service: "Tester",
    doc: "Does whatever a test needs.",
    python: "tests.client.TesterClient",
    also: &["jumpstarter.interfaces.tester.v1.TesterInterface"],
    methods: &[
        Method {
            renamed_from: &[("Repeat", "repeat"), ("Say", "say")],
            ..method("Echo", "echo", Kind::Unary, TEXT, Type::Str)
        },
        method(
            "Add",
            "add",
            Kind::Unary,
            &[
                param("a", 1, Type::I64, Role::Wire),
                Param { default: Some(|| value::number(10.0)), ..param("b", 2, Type::I64, Role::Wire) },
            ],
            Type::I64,
        ),
        method(
            "Fail",
            "fail",
            Kind::Unary,
            &[param("kind", 1, Type::Str, Role::Wire), param("text", 2, Type::Str, Role::Wire)],
            Type::Unit,
        ),
        method("Panic", "panic", Kind::Unary, &[], Type::Unit),
        method("Block", "block", Kind::Unary, &[], Type::Unit),
        method("Forever", "forever", Kind::Unary, &[], Type::Unit),
        method("Log", "log", Kind::Unary, TEXT, Type::Unit),
        method("Count", "count", Kind::ServerStream, COUNT, Type::I64),
        method("CountThenFail", "count_then_fail", Kind::ServerStream, COUNT, Type::I64),
        method("CountThenPanic", "count_then_panic", Kind::ServerStream, COUNT, Type::I64),
        method("Endless", "endless", Kind::ServerStream, &[], Type::I64),
        method("Connect", "connect", Kind::Bytes, &[], Type::Unit),
        Method {
            framing: Framing::Messages,
            ..method("Datagrams", "datagrams", Kind::Bytes, &[], Type::Unit)
        },
        method("Refused", "refused", Kind::Bytes, &[], Type::Unit),
        method("Greeter", "greeter", Kind::Bytes, &[], Type::Unit),
        method("Broken", "broken", Kind::Bytes, &[], Type::Unit),
        method("ReadOnly", "read_only", Kind::Bytes, &[], Type::Unit),
        method("Deaf", "deaf", Kind::Bytes, &[], Type::Unit),
        method("Flash", "flash", Kind::Unary, SOURCE, Type::Str),
        method("Refuse", "refuse", Kind::Unary, SOURCE, Type::Str),
        method("Dump", "dump", Kind::Unary, SINK, Type::Unit),
        method("DumpAbort", "dump_abort", Kind::Unary, SINK, Type::Unit),
        method("DumpUnfinished", "dump_unfinished", Kind::Unary, SINK, Type::Unit),
        method("Unsupported", "rescue", Kind::Unary, &[], Type::Unit),
    ],
};

/// The driver; writes down what happens to it.
pub(crate) struct Tester {
    pub(crate) name: String,
    /// Everything that happened, in order.
    pub(crate) events: watch::Sender<Vec<String>>,
    /// Resets and closes, shared by all drivers of a tree.
    pub(crate) life: Arc<Mutex<Vec<String>>>,
    /// Fails its life cycle.
    pub(crate) sick: AtomicBool,
    /// Ends of streams that nobody reads.
    held: Mutex<Vec<Io>>,
}

impl Tester {
    pub(crate) fn new(name: &str, life: &Arc<Mutex<Vec<String>>>) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            events: watch::Sender::new(Vec::new()),
            life: life.clone(),
            sick: AtomicBool::new(false),
            held: Mutex::default(),
        })
    }

    fn note(&self, what: impl Into<String>) {
        self.events.send_modify(|events| events.push(what.into()));
    }

    /// Waits until this has happened.
    pub(crate) async fn seen(&self, what: &str) {
        let mut events = self.events.subscribe();
        let waiting = events.wait_for(|events| events.iter().any(|event| event == what));
        tokio::time::timeout(std::time::Duration::from_secs(30), waiting)
            .await
            .unwrap_or_else(|_| panic!("{what:?} did not happen, but {:?}", self.happened()))
            .unwrap();
    }

    pub(crate) fn happened(&self) -> Vec<String> {
        self.events.borrow().clone()
    }

    /// The instance in the tree.
    pub(crate) fn instance(
        self: &Arc<Self>,
        log: Arc<dyn LogSink>,
        children: Vec<(String, Arc<Instance>)>,
    ) -> Arc<Instance> {
        let uuid = Uuid::new_v4();
        Arc::new(Instance {
            uuid,
            type_name: "tester".to_owned(),
            client: TESTER.python.to_owned(),
            labels: BTreeMap::from([("example.com/place".to_owned(), self.name.clone())]),
            description: Some(format!("the tester called {}", self.name)),
            methods_description: BTreeMap::from([("echo".to_owned(), "says it again".to_owned())]),
            provides: vec![Provided::new(&TESTER, self.clone(), dispatch)],
            children,
            lifecycle: Arc::new(Life(self.clone())),
            logger: Logger::for_driver(log, uuid, "tester"),
            suspect: AtomicBool::new(false),
        })
    }
}

/// A node that only has children.
pub(crate) fn composite(children: Vec<(String, Arc<Instance>)>) -> Arc<Instance> {
    Arc::new(Instance {
        uuid: Uuid::new_v4(),
        type_name: "composite".to_owned(),
        client: jumpstarter_core::driver::COMPOSITE_CLIENT.to_owned(),
        labels: BTreeMap::new(),
        description: Some(String::new()),
        methods_description: BTreeMap::new(),
        provides: Vec::new(),
        children,
        lifecycle: Arc::new(Nothing),
        logger: Logger::default(),
        suspect: AtomicBool::new(false),
    })
}

struct Nothing;

impl Lifecycle for Nothing {
    fn reset(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

struct Life(Arc<Tester>);

impl Life {
    fn step(&self, what: &str) -> Result<()> {
        self.0.life.lock().unwrap().push(format!("{what} {}", self.0.name));
        if self.0.sick.load(std::sync::atomic::Ordering::Relaxed) {
            assert!(what != "close" || self.0.name != "hopeless", "cannot even close");
            return Err(Error::device(format!("{} is sick", self.0.name)));
        }
        Ok(())
    }
}

impl Lifecycle for Life {
    fn reset(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { self.step("reset") })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { self.step("close") })
    }
}

/// Notes when it goes.
struct Dropped(Arc<Tester>, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

fn kind(name: &str) -> ErrorKind {
    match name {
        "unsupported" => ErrorKind::Unsupported,
        "invalid" => ErrorKind::InvalidArgument,
        "timeout" => ErrorKind::Timeout,
        "disconnected" => ErrorKind::Disconnected,
        "absent" => ErrorKind::Absent,
        "cancelled" => ErrorKind::Cancelled,
        "busy" => ErrorKind::Busy,
        _ => ErrorKind::Device,
    }
}

fn counting(n: i64, then: impl Fn() -> Result<Option<(i64, i64)>> + Send + Sync + 'static) -> Stream<i64> {
    let then = Arc::new(then);
    Stream::unfold(0, move |at| {
        let then = then.clone();
        async move { if at < n { Ok(Some((at, at + 1))) } else { then() } }
    })
}

#[allow(clippy::too_many_lines)]
fn dispatch(it: Arc<Tester>, index: usize, args: Args) -> Calling {
    let Some(method) = TESTER.methods.get(index) else { return unknown() };
    match method.export {
        "echo" => reply(async move { args.reader(method)?.arg::<String>(0, None) }),
        "add" => reply(async move {
            let mut reader = args.reader(method)?;
            Ok(reader.arg::<i64>(0, None)? + reader.arg::<i64>(1, Some(|| 10))?)
        }),
        "fail" => reply::<()>(async move {
            let mut reader = args.reader(method)?;
            let kind = kind(&reader.arg::<String>(0, None)?);
            Err(Error::new(kind, reader.arg::<String>(1, None)?))
        }),
        "panic" => reply::<()>(async move {
            args.none(method)?;
            panic!("the smoke came out of {}", it.name)
        }),
        "block" => reply::<()>(async {
            #[expect(clippy::disallowed_methods, reason = "blocking is what this method is for")]
            std::thread::sleep(std::time::Duration::from_millis(1100));
            Ok(())
        }),
        "forever" => reply::<()>(async move {
            let _dropped = Dropped(it.clone(), "forever dropped");
            it.note("forever begun");
            std::future::pending().await
        }),
        "log" => reply::<()>(async move {
            let mut reader = args.reader(method)?;
            let text: String = reader.arg(0, None)?;
            let call: jumpstarter_core::Call = reader.injected()?;
            for severity in
                [Severity::Debug, Severity::Info, Severity::Warning, Severity::Error, Severity::Critical]
            {
                call.logger().log(severity, text.clone(), vec![("key".to_owned(), "fact".to_owned())]);
            }
            Ok(())
        }),
        "count" => reply(async move {
            let n = args.reader(method)?.arg(0, None)?;
            Ok(counting(n, || Ok(None)))
        }),
        "count_then_fail" => reply(async move {
            let n = args.reader(method)?.arg(0, None)?;
            Ok(counting(n, || Err(Error::invalid_argument("after the items"))))
        }),
        "count_then_panic" => reply(async move {
            let n = args.reader(method)?.arg(0, None)?;
            Ok(counting(n, || panic!("the items are burning")))
        }),
        "endless" => reply(async move {
            let dropped = Dropped(it, "endless dropped");
            Ok(Stream::unfold(0, move |at| {
                let _ = &dropped;
                async move { if at == 0 { Ok(Some((at, 1))) } else { std::future::pending().await } }
            }))
        }),
        "connect" | "datagrams" => reply(async move { Ok(echo(it)) }),
        "refused" => reply::<Io>(async { Err(Error::disconnected("connection refused")) }),
        "greeter" => reply(async move { Ok(greeter(it)) }),
        "broken" => reply(async move {
            let (near, mut far) = Io::pair();
            far.send("partial").await?;
            Ok(near)
        }),
        "read_only" => reply(async move { Ok(Io::join(io::Cursor::new("last words"), NoMore)) }),
        "deaf" => reply(async move {
            let (near, far) = Io::pair();
            it.held.lock().unwrap().push(far);
            Ok(near)
        }),
        "flash" => reply(async move {
            let source: Source = args.reader(method)?.arg(0, None)?;
            flash(it, source).await
        }),
        "refuse" => reply::<String>(async move {
            let mut source: Source = args.reader(method)?.arg(0, None)?;
            source.next().await?;
            Err(Error::device("this image is not for me"))
        }),
        "dump" => reply(async move {
            let mut reader = args.reader(method)?;
            let mut sink: Sink = reader.arg(0, None)?;
            for piece in reader.arg::<String>(1, None)?.split_inclusive(' ') {
                sink.write(piece.to_owned()).await?;
            }
            it.note("dumped");
            sink.finish().await
        }),
        "dump_abort" => reply::<()>(async move {
            let mut sink: Sink = args.reader(method)?.arg(0, None)?;
            sink.write("half of").await?;
            let error = Error::device("the medium is gone");
            sink.abort(error.clone());
            Err(error)
        }),
        "dump_unfinished" => reply(async move {
            let mut sink: Sink = args.reader(method)?.arg(0, None)?;
            sink.write("half of").await
        }),
        "rescue" => reply::<()>(async { Err(Error::unsupported()) }),
        _ => unknown(),
    }
}

async fn flash(it: Arc<Tester>, mut source: Source) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut total = 0;
    loop {
        match source.next().await {
            Ok(Some(piece)) => {
                total += piece.len();
                hasher.update(&piece);
                it.note(format!("flashed {total} bytes"));
            }
            Ok(None) => break,
            Err(error) => {
                it.note(format!("flash failed: {:?}", error.kind()));
                return Err(error);
            }
        }
    }
    it.note(format!("flash complete: {total} bytes"));
    Ok(hex(&hasher.finalize()))
}

fn echo(it: Arc<Tester>) -> Io {
    let (near, mut far) = Io::pair();
    tokio::spawn(async move {
        loop {
            match far.recv().await {
                Ok(Some(piece)) => {
                    it.note(format!("got {piece:?}"));
                    if far.send(piece).await.is_err() {
                        it.note("nobody listens");
                    }
                }
                Ok(None) => {
                    it.note("end");
                    let _ = far.finish().await;
                    return;
                }
                Err(error) => return it.note(format!("cut: {:?}", error.kind())),
            }
        }
    });
    near
}

/// Says hello and has nothing more to say, but goes on listening.
fn greeter(it: Arc<Tester>) -> Io {
    let (near, mut far) = Io::pair();
    tokio::spawn(async move {
        let _dropped = Dropped(it.clone(), "greeter gone");
        if far.send("hello").await.is_err() || far.finish().await.is_err() {
            return;
        }
        loop {
            match far.recv().await {
                Ok(Some(piece)) => it.note(format!("got {piece:?}")),
                Ok(None) => return it.note("end"),
                Err(error) => return it.note(format!("cut: {:?}", error.kind())),
            }
        }
    });
    near
}

/// A device that takes nothing.
struct NoMore;

impl tokio::io::AsyncWrite for NoMore {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "unplugged")))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a text looks like for [`flash`].
pub(crate) fn digest(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

/// Bytes of any kind, the same each time.
pub(crate) fn image(length: usize) -> Bytes {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0] & 0x3f
    })
    .take(length)
    .collect::<Vec<_>>()
    .into()
}
