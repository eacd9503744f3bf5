//! One interface with everything in it.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use jumpstarter::{
    Call, Delay, Error, Io, Open, Result, Sink, Source, Stream, children, commands, config, driver,
    interface, message,
};

/// One measurement.
#[message]
pub struct Reading {
    /// Volts.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// Where it was measured.
    #[default = "front"]
    pub place: String,
}

/// A piece of output.
#[message(list)]
pub struct Piece {
    /// Number of the stream.
    pub stream: i64,
    /// What was written.
    pub text: String,
    /// The exit code, at the end.
    pub code: Option<i64>,
}

/// Where storage is connected to.
#[message]
pub enum Side {
    /// To us.
    Host,
    /// To the device.
    Dut,
    /// To nobody.
    #[tag = 9]
    NotConnected,
}

/// A tree.
#[message]
pub struct Partition {
    /// Name.
    pub name: String,
    /// Partitions in this one.
    pub inner: Vec<Partition>,
    /// Side.
    #[tag = 7]
    pub side: Option<Side>,
}

/// A laboratory bench.
///
/// It has everything.
#[interface(name = "bench", version = 2, package = "jumpstarter.x", python = "some.where.BenchClient", also = ["old.Bench"])]
pub trait Bench {
    /// Switch on.
    async fn on(&self) -> Result<()>;
    /// Limit what a channel delivers.
    async fn set_limit(
        &self,
        channel: String,
        /// At most.
        #[default = 1.5]
        amps: f64,
        steps: Option<i64>,
    ) -> Result<String>;
    /// Wait.
    async fn wait_for(&self, #[default = "500ms"] delay: Delay) -> Result<Delay>;
    /// Measure.
    async fn read(&self, #[default = 2] count: u32) -> Result<Stream<Reading>>;
    /// Talk.
    #[export(framing = "messages")]
    async fn talk(&self) -> Result<Io>;
    /// Call something.
    async fn call_method(&self, name: String, #[rest] args: Vec<String>) -> Result<Piece>;
    /// Pass a piece back.
    #[renamed_from = "old_echo"]
    async fn echo(&self, piece: Piece, side: Side) -> Result<BTreeSides>;
    /// Partitions.
    async fn layout(&self, root: Partition) -> Result<Partition>;
    /// Write an image.
    async fn flash(&self, source: Source, target: Option<String>, #[inject] call: Call) -> Result<u64>;
    /// Read an image.
    #[export(params = ["target", "partition"])]
    async fn dump(&self, sink: Sink, partition: Option<String>) -> Result<()>;
    /// Block.
    #[blocking]
    fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// One at a time.
    #[exclusive(busy = "fail")]
    async fn alone(&self) -> Result<Stream<u32>>;
    /// What no bench has to have.
    async fn rescue(&self, _mode: String) -> Result<()> {
        Err(Error::unsupported())
    }
}

/// An alias, which a macro that reads names could not see through.
pub type BTreeSides = std::collections::BTreeMap<String, Vec<Side>>;

/// What a test adds.
#[commands]
impl BenchClient {
    /// Off and on again.
    pub async fn cycle(
        &self,
        /// How long to wait.
        #[arg(short, long, default_value = "2s")]
        wait: Delay,
        #[arg(long)] quiet: bool,
        name: Option<String>,
    ) -> Result<String> {
        self.on().await?;
        Ok(helper(&format!("{wait} {quiet} {name:?}")))
    }
}

fn helper(text: &str) -> String {
    text.to_owned()
}

/// How a bench is set up.
#[config]
#[derive(Debug, PartialEq)]
pub struct BenchConfig {
    /// Where it is.
    #[default = "/dev/bench"]
    pub path: std::path::PathBuf,
    /// Bits per second.
    #[default = 115_200]
    #[alias("baud")]
    #[unit = "bit/s"]
    pub baudrate: u32,
    /// Wait after power-on.
    #[default = "500ms"]
    pub settle: Delay,
    /// Mode.
    #[default = BenchMode::Fast]
    pub mode: BenchMode,
    /// Required.
    #[alias("caption")]
    pub title: String,
    /// Extra.
    #[unit = "V"]
    #[schemars(extend("examples" = [3.3]))]
    pub extra: Option<f64>,
}

/// How fast.
#[config]
pub enum BenchMode {
    /// Slowly.
    VerySlow,
    /// Fast.
    Fast,
}

/// A second interface.
#[interface(name = "lamp", version = 1)]
pub trait Lamp {
    /// Light.
    async fn shine(&self) -> Result<bool>;
}

/// Children of the bench.
#[children]
pub struct BenchParts {
    /// A lamp.
    #[child(also("light"))]
    pub lamp: LampClient,
    /// Another.
    pub spare: Option<LampClient>,
    /// Made here.
    #[child(made)]
    pub own: LampClient,
    /// Others.
    #[child(rest)]
    pub others: jumpstarter::Children,
}

/// A bench that only remembers.
#[driver(type = "demo-bench", provides(Bench, Lamp), config = BenchConfig, children = BenchParts,
         aliases("some.where.DemoBench"), labels("example.org/kind" = "demo"), client = "some.where.Else")]
pub struct DemoBench {
    pub config: BenchConfig,
    pub parts: BenchParts,
    pub inner: MemoryBench,
}

impl jumpstarter::Driver for DemoBench {
    async fn open(config: BenchConfig, cx: &mut Open<BenchParts>) -> Result<Self> {
        cx.make("own", MadeLamp::default());
        Ok(Self { config, parts: cx.children()?, inner: MemoryBench::default() })
    }
}

impl Lamp for DemoBench {
    async fn shine(&self) -> Result<bool> {
        let BenchParts { lamp, spare, own, others } = &self.parts;
        let spare = match spare {
            Some(spare) => spare.shine().await?,
            None => false,
        };
        Ok(own.shine().await?
            && lamp.shine().await?
            && !spare
            && others.len() == 1
            && self.config.extra.is_none())
    }
}

/// Without configuration.
#[driver(type = "memory-bench", provides(Bench), open = Default::default)]
#[derive(Default)]
pub struct MemoryBench {
    pub on: AtomicBool,
    pub image: Mutex<Vec<u8>>,
}

/// Made by its parent.
#[driver(type = "made-lamp", provides(Lamp), open = made("demo-bench"))]
#[derive(Default)]
pub struct MadeLamp {
    pub on: AtomicBool,
}

/// Opened from its configuration.
#[driver(type = "plain-lamp", provides(Lamp), config = LampConfig, open = PlainLamp::new)]
pub struct PlainLamp(pub LampConfig);

/// On or off.
#[config]
pub struct LampConfig {
    /// Whether it shines.
    #[default = true]
    pub bright: bool,
}

impl PlainLamp {
    fn new(config: LampConfig) -> Self {
        Self(config)
    }
}

impl Lamp for PlainLamp {
    async fn shine(&self) -> Result<bool> {
        Ok(self.0.bright)
    }
}

impl Lamp for MadeLamp {
    async fn shine(&self) -> Result<bool> {
        Ok(!self.on.fetch_xor(true, Ordering::SeqCst))
    }
}

impl Bench for MemoryBench {
    async fn on(&self) -> Result<()> {
        self.on.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn set_limit(&self, channel: String, amps: f64, steps: Option<i64>) -> Result<String> {
        Ok(format!("{channel} {amps} {steps:?}"))
    }

    async fn wait_for(&self, delay: Delay) -> Result<Delay> {
        Ok(delay)
    }

    async fn read(&self, count: u32) -> Result<Stream<Reading>> {
        let on = self.on.load(Ordering::SeqCst);
        let reading = move |i| Reading {
            voltage: if on { 5.0 } else { 0.0 },
            current: f64::from(i),
            place: "back".into(),
        };
        Ok(Stream::from_values((0..count).map(reading)))
    }

    async fn talk(&self) -> Result<Io> {
        let (ours, theirs) = Io::pair();
        drop(ours);
        Ok(theirs)
    }

    async fn call_method(&self, name: String, args: Vec<String>) -> Result<Piece> {
        Ok(Piece { stream: 1, text: format!("{name} {}", args.join("+")), code: Some(0) })
    }

    async fn echo(&self, piece: Piece, side: Side) -> Result<BTreeSides> {
        Ok([(piece.text, vec![side, Side::NotConnected])].into())
    }

    async fn layout(&self, root: Partition) -> Result<Partition> {
        Ok(Partition { name: "outer".into(), inner: vec![root], side: Some(Side::Dut) })
    }

    async fn flash(&self, source: Source, target: Option<String>, call: Call) -> Result<u64> {
        assert!(!call.is_cancelled());
        let image = source.read_to_end(1 << 20).await?;
        let mut all = self.image.lock().unwrap();
        *all = image.to_vec();
        Ok(all.len() as u64 + target.map_or(0, |target| target.len() as u64))
    }

    async fn dump(&self, mut sink: Sink, _: Option<String>) -> Result<()> {
        let image = self.image.lock().unwrap().clone();
        sink.write(image).await?;
        sink.finish().await
    }

    fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| Error::invalid_argument("too large"))
    }

    async fn alone(&self) -> Result<Stream<u32>> {
        Ok(Stream::from_values([1, 2, 3]))
    }
}

impl Bench for DemoBench {
    async fn on(&self) -> Result<()> {
        self.inner.on().await
    }

    async fn set_limit(&self, channel: String, amps: f64, steps: Option<i64>) -> Result<String> {
        self.inner.set_limit(channel, amps, steps).await
    }

    async fn wait_for(&self, delay: Delay) -> Result<Delay> {
        self.inner.wait_for(delay).await
    }

    async fn read(&self, count: u32) -> Result<Stream<Reading>> {
        self.inner.read(count).await
    }

    async fn talk(&self) -> Result<Io> {
        self.inner.talk().await
    }

    async fn call_method(&self, name: String, args: Vec<String>) -> Result<Piece> {
        self.inner.call_method(name, args).await
    }

    async fn echo(&self, piece: Piece, side: Side) -> Result<BTreeSides> {
        self.inner.echo(piece, side).await
    }

    async fn layout(&self, root: Partition) -> Result<Partition> {
        self.inner.layout(root).await
    }

    async fn flash(&self, source: Source, target: Option<String>, call: Call) -> Result<u64> {
        self.inner.flash(source, target, call).await
    }

    async fn dump(&self, sink: Sink, partition: Option<String>) -> Result<()> {
        self.inner.dump(sink, partition).await
    }

    fn add(&self, a: i64, b: i64) -> Result<i64> {
        self.inner.add(a, b)
    }

    async fn alone(&self) -> Result<Stream<u32>> {
        self.inner.alone().await
    }
}
