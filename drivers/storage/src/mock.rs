//! The mocks of storage: what is written can be read again, from files in a temporary folder.

use std::{io, path::PathBuf};

use jumpstarter::{
    Call, Context as _, Driver, Error, ErrorKind, NoConfig, Open, Result, Sink, Source, driver, log::Logger,
    task::spawn_blocking,
};
use jumpstarter_files::{Reader, Writer, leftovers::Folder};
use jumpstarter_interfaces::{Flasher, StorageMux, StorageMuxFlasher};

/// How folders of images are called. Earlier versions call theirs `jumpstarter-images-…` and do not lock them, so those are
/// never known to be unused.
const PREFIX: &str = "jumpstarter-mock-images-";

/// Images by name, gone with the driver.
struct Images {
    folder: Folder,
}

impl Images {
    async fn new() -> Result<Self> {
        // Others may have left much there.
        let folder = spawn_blocking(|| Folder::new(PREFIX)).await;
        let folder = folder.map_err(|error| Error::internal(error.to_string()))?;
        Ok(Self { folder: folder.context("preparing a folder for images")? })
    }

    /// Names come from clients, so they are no file names.
    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("image-{}", jumpstarter::resource::hex(name.as_bytes())))
    }

    /// Keeps an image, if all of it comes; otherwise the one before it stays.
    async fn write(&self, name: &str, mut source: Source, call: Option<Call>) -> Result<()> {
        let place = self.place(name);
        // Two at a time do not disturb each other; the one that is complete last stays.
        let arriving = tempfile::NamedTempFile::new_in(self.folder.path()).context("writing an image")?;
        let (file, arriving) = arriving.into_parts();
        let mut writer = Writer::into_file(file).context("writing an image")?;
        let mut progress = call.map(|call| call.progress("writing", source.len()));
        while let Some(piece) = source.next().await? {
            let length = piece.len() as u64;
            writer.write(piece).await.context("writing an image")?;
            if let Some(progress) = &mut progress {
                progress.advance(length);
            }
        }
        writer.finish().await.context("writing an image")?;
        arriving.persist(place).map_err(|error| error.error).context("writing an image")
    }

    async fn read(&self, name: &str, sink: Sink) -> Result<bool> {
        match Reader::open(&self.place(name)).await {
            Ok(reader) => {
                sink.copy_source(reader.into_source().context("reading an image")?).await?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                sink.abort(nothing(name));
                Ok(false)
            }
            Err(error) => Err(Error::from(error).context("reading an image")),
        }
    }
}

fn nothing(name: &str) -> Error {
    Error::new(ErrorKind::Absent, format!("nothing was written to {name:?}"))
}

/// What upstream calls the partition that nobody names.
const DEFAULT: &str = "default";

/// Keeps one image for each partition. For trying things out and for tests.
#[driver(type = "mock-flasher", provides(Flasher), aliases("jumpstarter_driver_opendal.driver.MockFlasher"))]
pub struct MockFlasher {
    images: Images,
}

impl Driver for MockFlasher {
    async fn open(_: NoConfig, _: &mut Open) -> Result<Self> {
        Ok(Self { images: Images::new().await? })
    }
}

impl Flasher for MockFlasher {
    async fn flash(&self, source: Source, target: Option<String>) -> Result<()> {
        self.images.write(target.as_deref().unwrap_or(DEFAULT), source, None).await
    }

    async fn dump(&self, target: Sink, partition: Option<String>) -> Result<()> {
        let name = partition.as_deref().unwrap_or(DEFAULT);
        if self.images.read(name, target).await? { Ok(()) } else { Err(nothing(name)) }
    }
}

/// Says where the medium would be, and keeps what is written in any position, as upstream's mock does.
struct Mux {
    images: Images,
    logger: Logger,
}

impl Mux {
    async fn open(cx: &mut Open) -> Result<Self> {
        let images = Images::new().await?;
        // The medium is there from the beginning, with nothing on it.
        images.write("", Source::from_bytes(""), None).await?;
        Ok(Self { images, logger: cx.logger() })
    }

    fn switch(&self, side: &str) {
        self.logger.debug(format!("medium: {side}"));
    }

    async fn read(&self, dst: Sink) -> Result<()> {
        if self.images.read("", dst).await? { Ok(()) } else { Err(nothing("the medium")) }
    }
}

macro_rules! mux {
    ($(#[$attribute:meta])* $name:ident: $interface:ident) => {
        $(#[$attribute])*
        pub struct $name(Mux);

        impl Driver for $name {
            async fn open(_: NoConfig, cx: &mut Open) -> Result<Self> {
                Ok(Self(Mux::open(cx).await?))
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

            async fn write(&self, src: Source, call: Call) -> Result<()> {
                self.0.images.write("", src, Some(call)).await
            }

            async fn read(&self, dst: Sink) -> Result<()> {
                self.0.read(dst).await
            }
        }
    };
}

mux! {
    /// A medium that only seems to be switched between host and device. For trying things out and for tests.
    #[driver(
        type = "mock-storage-mux",
        provides(StorageMux),
        aliases("jumpstarter_driver_opendal.driver.MockStorageMux")
    )]
    MockStorageMux: StorageMux
}

mux! {
    /// The same, for clients that flash.
    #[driver(
        type = "mock-storage-mux-flasher",
        provides(StorageMuxFlasher),
        aliases("jumpstarter_driver_opendal.driver.MockStorageMuxFlasher")
    )]
    MockStorageMuxFlasher: StorageMuxFlasher
}
