//! The mocks of upstream's storage drivers: what is written can be read again, from files in a temporary folder.

use std::io;
use std::path::PathBuf;

use jumpstarter::log::Logger;
use jumpstarter::{
    Call, Context as _, Driver, Error, ErrorKind, NoConfig, Open, Result, Sink, Source, driver,
};
use jumpstarter_interfaces::{Flasher, StorageMux, StorageMuxFlasher};
use tempfile::TempDir;
use tokio::fs::{self, File};

/// Images by name, gone with the driver.
struct Images {
    folder: TempDir,
}

impl Images {
    fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("jumpstarter-images-").tempdir();
        Ok(Self { folder: folder.context("preparing a folder for images")? })
    }

    /// Names come from clients, so they are no file names.
    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("image-{}", jumpstarter::resource::hex(name.as_bytes())))
    }

    /// Keeps an image, if all of it comes.
    async fn write(&self, name: &str, mut source: Source) -> Result<()> {
        let place = self.place(name);
        let arriving = place.with_extension("part");
        let mut file = File::create(&arriving).await.context("writing an image")?;
        source.copy_to(&mut file).await?;
        fs::rename(arriving, place).await.context("writing an image")
    }

    async fn read(&self, name: &str, sink: Sink) -> Result<()> {
        match File::open(self.place(name)).await {
            Ok(file) => sink.copy_from(file).await.map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::new(ErrorKind::Absent, format!("nothing was written to {name:?}")))
            }
            Err(error) => Err(Error::from(error).context("reading an image")),
        }
    }
}

/// Keeps one image for each partition.
#[driver(type = "test-flasher", provides(Flasher), aliases("jumpstarter_driver_opendal.driver.MockFlasher"))]
pub struct MockFlasher {
    images: Images,
}

impl Driver for MockFlasher {
    async fn open(_: NoConfig, _: &mut Open) -> Result<Self> {
        Ok(Self { images: Images::new()? })
    }
}

impl Flasher for MockFlasher {
    async fn flash(&self, source: Source, target: Option<String>) -> Result<()> {
        self.images.write(&target.unwrap_or_default(), source).await
    }

    async fn dump(&self, target: Sink, partition: Option<String>) -> Result<()> {
        self.images.read(&partition.unwrap_or_default(), target).await
    }
}

/// Says where the medium would be, and keeps what is written in any position, as upstream's mock does.
struct Mux {
    images: Images,
    logger: Logger,
}

impl Mux {
    fn open(cx: &mut Open) -> Result<Self> {
        Ok(Self { images: Images::new()?, logger: cx.logger() })
    }

    fn switch(&self, side: &str) {
        self.logger.debug(format!("medium: {side}"));
    }
}

macro_rules! mux {
    ($(#[$attribute:meta])* $name:ident: $interface:ident) => {
        $(#[$attribute])*
        pub struct $name(Mux);

        impl Driver for $name {
            async fn open(_: NoConfig, cx: &mut Open) -> Result<Self> {
                Ok(Self(Mux::open(cx)?))
            }
        }

        impl $interface for $name {
            async fn host(&self) -> Result<()> {
                self.0.switch("host");
                Ok(())
            }

            async fn dut(&self) -> Result<()> {
                self.0.switch("dut");
                Ok(())
            }

            async fn off(&self) -> Result<()> {
                self.0.switch("off");
                Ok(())
            }

            async fn write(&self, src: Source, _: Call) -> Result<()> {
                self.0.images.write("", src).await
            }

            async fn read(&self, dst: Sink) -> Result<()> {
                self.0.images.read("", dst).await
            }
        }
    };
}

mux! {
    /// A medium that can be switched.
    #[driver(
        type = "test-storage-mux",
        provides(StorageMux),
        aliases("jumpstarter_driver_opendal.driver.MockStorageMux")
    )]
    MockStorageMux: StorageMux
}

mux! {
    /// The same, for clients that flash.
    #[driver(
        type = "test-storage-mux-flasher",
        provides(StorageMuxFlasher),
        aliases("jumpstarter_driver_opendal.driver.MockStorageMuxFlasher")
    )]
    MockStorageMuxFlasher: StorageMuxFlasher
}
