//! A driver with every shape that an interface can have, for the generator of Python clients: it answers with what it was
//! given, so whoever calls it sees whether that arrived.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use jumpstarter::types::{Bytes, Delay, Timestamp, Url, Uuid, Value};
use jumpstarter::{
    Children, Error, Io, Result, Sink, Source, Stream, children, driver, interface, message, task,
};
use sha2::{Digest as _, Sha256};

/// Every shape. Says "what it was given".
#[interface(
    name = "shapes",
    version = 1,
    package = "jumpstarter.x",
    python = "jumpstarter_driver_x.client.ShapesClient"
)]
pub trait Shapes {
    /// The sum of numbers of every kind.
    async fn sum(&self, small: u8, signed: i32, wide: i64, narrow: f32, exact: f64, many: u64)
    -> Result<f64>;
    /// What the limit would be.
    async fn set_limit(
        &self,
        /// Which output.
        channel: String,
        /// Amperes.
        #[default = 1.5]
        amps: f64,
        /// In so many steps.
        steps: Option<u32>,
    ) -> Result<Limit>;
    /// The same truth.
    async fn toggle(&self, #[default = true] on: bool) -> Result<bool>;
    /// Both colours.
    async fn paint(
        &self,
        /// The first.
        color: Color,
        #[default = "light_blue"] ground: Color,
    ) -> Result<Vec<Color>>;
    /// The same colours by name.
    async fn mix(&self, colors: BTreeMap<String, Color>) -> Result<BTreeMap<String, Color>>;
    /// The same drawing, which may have drawings inside.
    async fn draw(&self, drawing: Drawing) -> Result<Drawing>;
    /// The same point, which travels as a list.
    async fn corner(&self, point: Point) -> Result<Point>;
    /// The same length of time.
    async fn pause(&self, #[default = "1500ms"] time: Delay) -> Result<Delay>;
    /// The same things that travel as text.
    async fn label(&self, id: Uuid, at: Timestamp, ip: IpAddr, path: PathBuf, link: Url) -> Result<Label>;
    /// The same bytes.
    async fn raw(&self, data: Bytes) -> Result<Bytes>;
    /// The same value, whatever it is.
    async fn anything(&self, value: Value) -> Result<Value>;
    /// The same number, if there is one.
    async fn maybe(&self, number: Option<u32>) -> Result<Option<u32>>;
    /// All names with something in front.
    async fn names(&self, prefix: Option<String>, #[rest] names: Vec<String>) -> Result<Vec<String>>;
    /// Limits, one after the other.
    async fn count(&self, from: i32, #[default = 3] times: u32) -> Result<Stream<Limit>>;
    /// Count, then fail.
    async fn stumble(&self) -> Result<Stream<u32>>;
    /// Read a file.
    async fn upload(&self, file: Source, #[default = "some"] name: String) -> Result<Received>;
    /// Write a file of so many bytes.
    async fn download(&self, file: Sink, size: u32) -> Result<()>;
    /// Write half of a file and say nothing about it.
    async fn download_half(&self, file: Sink) -> Result<()>;
    /// Hear it again, in capitals.
    async fn chat(&self) -> Result<Io>;
    /// A method with the name of a built-in type.
    async fn list(&self) -> Result<Vec<String>>;
    /// A method with the name of one that every client has.
    async fn call(&self) -> Result<String>;
    /// Fail.
    async fn fail(&self) -> Result<()>;
}

/// What an output may give.
#[message]
pub struct Limit {
    /// Which output.
    pub channel: String,
    /// At most.
    #[unit = "A"]
    pub amps: f64,
    /// In so many steps.
    pub steps: Option<u32>,
}

/// A colour.
#[message]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// As blood.
    Red,
    /// As the sky.
    LightBlue,
}

/// Lines, and drawings inside.
#[message]
pub struct Drawing {
    /// Its corners.
    pub corners: Vec<Point>,
    /// Its colour.
    #[default = "red"]
    pub color: Color,
    /// Drawings inside.
    pub inside: Vec<Drawing>,
    /// Notes by name.
    pub notes: BTreeMap<String, String>,
    /// How long it stays.
    #[default = "2s"]
    pub lasts: Delay,
}

/// A place on paper.
#[message(list)]
pub struct Point {
    /// To the right.
    #[unit = "mm"]
    pub x: f64,
    /// Upwards.
    #[unit = "mm"]
    pub y: f64,
}

/// Things that travel as text.
#[message]
pub struct Label {
    /// A UUID.
    pub id: Uuid,
    /// A time.
    pub at: Timestamp,
    /// An address.
    pub ip: IpAddr,
    /// A path.
    pub path: PathBuf,
    /// A URL.
    pub link: Url,
}

/// What came of a file.
#[message]
pub struct Received {
    /// Where it is from: a word that Python keeps for itself.
    pub from: String,
    /// Its size.
    #[unit = "B"]
    pub size: u64,
    /// Its digest.
    pub sha256: String,
}

/// Answers with what it was given.
#[driver(type = "test-shapes", provides(Shapes), open = Default::default)]
#[derive(Default)]
pub struct ShapesDriver;

impl Shapes for ShapesDriver {
    #[allow(clippy::cast_precision_loss)]
    async fn sum(
        &self,
        small: u8,
        signed: i32,
        wide: i64,
        narrow: f32,
        exact: f64,
        many: u64,
    ) -> Result<f64> {
        Ok(f64::from(small) + f64::from(signed) + wide as f64 + f64::from(narrow) + exact + many as f64)
    }

    async fn set_limit(&self, channel: String, amps: f64, steps: Option<u32>) -> Result<Limit> {
        Ok(Limit { channel, amps, steps })
    }

    async fn toggle(&self, on: bool) -> Result<bool> {
        Ok(on)
    }

    async fn paint(&self, color: Color, ground: Color) -> Result<Vec<Color>> {
        Ok(vec![color, ground])
    }

    async fn mix(&self, colors: BTreeMap<String, Color>) -> Result<BTreeMap<String, Color>> {
        Ok(colors)
    }

    async fn draw(&self, drawing: Drawing) -> Result<Drawing> {
        Ok(drawing)
    }

    async fn corner(&self, point: Point) -> Result<Point> {
        Ok(point)
    }

    async fn pause(&self, time: Delay) -> Result<Delay> {
        Ok(time)
    }

    async fn label(&self, id: Uuid, at: Timestamp, ip: IpAddr, path: PathBuf, link: Url) -> Result<Label> {
        Ok(Label { id, at, ip, path, link })
    }

    async fn raw(&self, data: Bytes) -> Result<Bytes> {
        Ok(data)
    }

    async fn anything(&self, value: Value) -> Result<Value> {
        Ok(value)
    }

    async fn maybe(&self, number: Option<u32>) -> Result<Option<u32>> {
        Ok(number)
    }

    async fn names(&self, prefix: Option<String>, names: Vec<String>) -> Result<Vec<String>> {
        let prefix = prefix.unwrap_or_default();
        Ok(names.iter().map(|name| format!("{prefix}{name}")).collect())
    }

    async fn count(&self, from: i32, times: u32) -> Result<Stream<Limit>> {
        let limits = (0..times).map(move |number| Limit {
            channel: format!("{}", i64::from(from) + i64::from(number)),
            amps: f64::from(number),
            steps: None,
        });
        Ok(Stream::from_values(limits.collect::<Vec<_>>()))
    }

    async fn stumble(&self) -> Result<Stream<u32>> {
        let items = [Ok(1), Err(Error::device("a stone"))];
        Ok(Stream::new(futures::stream::iter(items)))
    }

    async fn upload(&self, mut file: Source, name: String) -> Result<Received> {
        let (mut size, mut digest) = (0, Sha256::new());
        while let Some(piece) = file.next().await? {
            size += piece.len() as u64;
            digest.update(&piece);
        }
        file.finish().await?;
        Ok(Received { from: name, size, sha256: jumpstarter::resource::hex(&digest.finalize()) })
    }

    async fn download(&self, mut file: Sink, size: u32) -> Result<()> {
        let mut left = usize::try_from(size).unwrap_or_default();
        while left > 0 {
            let piece = left.min(10_000);
            file.write(vec![b'x'; piece]).await?;
            left -= piece;
        }
        file.finish().await
    }

    async fn download_half(&self, mut file: Sink) -> Result<()> {
        // Dropped without its end: whoever reads must notice.
        file.write("half").await
    }

    async fn chat(&self) -> Result<Io> {
        let (near, mut far) = Io::pair();
        task::spawn(async move {
            while let Some(piece) = far.recv().await? {
                far.send(piece.to_ascii_uppercase()).await?;
            }
            far.finish().await
        });
        Ok(near)
    }

    async fn list(&self) -> Result<Vec<String>> {
        Ok(vec!["one".to_owned(), "two".to_owned()])
    }

    async fn call(&self) -> Result<String> {
        Ok("called".to_owned())
    }

    async fn fail(&self) -> Result<()> {
        Err(Error::device("on purpose"))
    }
}

/// What a family is made of.
#[children]
pub struct Members {
    /// Everybody.
    #[child(rest)]
    pub everybody: Children,
}

/// Something of several parts that has a method itself.
#[interface(
    name = "family",
    version = 1,
    package = "jumpstarter.x",
    python = "jumpstarter_driver_x.client.FamilyClient"
)]
pub trait Family {
    /// How many there are.
    async fn size(&self) -> Result<u32>;
}

macro_rules! family {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        pub struct $name(u32);

        impl jumpstarter::Driver for $name {
            async fn open(_: jumpstarter::NoConfig, cx: &mut jumpstarter::Open<Members>) -> Result<Self> {
                let members = cx.children()?.everybody;
                Ok(Self(u32::try_from(members.len()).unwrap_or(u32::MAX)))
            }
        }

        impl Family for $name {
            async fn size(&self) -> Result<u32> {
                Ok(self.0)
            }
        }
    };
}

family! {
    /// A family whose client label stays with upstream's class.
    #[driver(type = "test-family", provides(Family), children = Members)]
    FamilyDriver
}

family! {
    /// A family that asks for the class of its own.
    #[driver(
        type = "test-typed-family",
        provides(Family),
        children = Members,
        client = "jumpstarter_driver_x.client.FamilyClient"
    )]
    TypedFamilyDriver
}
