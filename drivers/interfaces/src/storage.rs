//! Media and images.

use jumpstarter::{Call, Context as _, Error, Result, Sink, Source, commands, interface, message};

/// Switches a storage medium between the exporter's host and the device, and reads and writes it on the host's side.
#[interface(name = "storage-mux", version = 1, python = "jumpstarter_driver_opendal.client.StorageMuxClient")]
pub trait StorageMux {
    /// Connect the medium to the exporter's host.
    async fn host(&self) -> Result<()>;

    /// Connect the medium to the device.
    async fn dut(&self) -> Result<()>;

    /// Connect the medium to nobody.
    async fn off(&self) -> Result<()>;

    /// Write an image onto the medium.
    async fn write(
        &self,
        /// The image: a file, or a URL that the exporter fetches.
        src: Source,
        #[inject] call: Call,
    ) -> Result<()>;

    /// Read the medium.
    async fn read(
        &self,
        /// Where to.
        dst: Sink,
    ) -> Result<()>;
}

/// A switched storage medium whose client also flashes: host, write, dut in one step.
#[interface(
    name = "storage-mux-flasher",
    version = 1,
    python = "jumpstarter_driver_opendal.client.StorageMuxFlasherClient"
)]
pub trait StorageMuxFlasher {
    /// Connect the medium to the exporter's host.
    async fn host(&self) -> Result<()>;

    /// Connect the medium to the device.
    async fn dut(&self) -> Result<()>;

    /// Connect the medium to nobody.
    async fn off(&self) -> Result<()>;

    /// Write an image onto the medium.
    async fn write(
        &self,
        /// The image: a file, or a URL that the exporter fetches.
        src: Source,
        #[inject] call: Call,
    ) -> Result<()>;

    /// Read the medium.
    async fn read(
        &self,
        /// Where to.
        dst: Sink,
    ) -> Result<()>;
}

/// Writes and reads images.
#[interface(name = "flasher", version = 1, python = "jumpstarter_driver_opendal.client.FlasherClient")]
pub trait Flasher {
    /// Write an image, to a named partition where the device has several.
    async fn flash(
        &self,
        /// The image: a file, or a URL that the exporter fetches.
        source: Source,
        /// The partition to write.
        target: Option<String>,
    ) -> Result<()>;

    /// Read an image.
    async fn dump(
        &self,
        /// Where to.
        target: Sink,
        /// The partition to read.
        partition: Option<String>,
    ) -> Result<()>;
}

/// How a file is packed. The exporter unpacks what it writes and packs what it reads.
#[message]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// bzip2.
    Bz2,
    /// Zstandard.
    Zstd,
    /// What the file's first bytes tell; only for files that are read here.
    Auto,
}

impl Compression {
    /// The name on the wire, where only a named format can go.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Bz2 => "bz2",
            Self::Zstd => "zstd",
            Self::Auto => "auto",
        }
    }
}

/// The file, said to be packed like this.
async fn packed(file: Source, compression: Option<Compression>) -> Result<Source> {
    match compression {
        Some(Compression::Auto) => file.packed_as_found().await,
        compression => Ok(file.packed_as(compression.map(Compression::name))),
    }
}

/// How a file that is read from the device is packed by the exporter.
#[message]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// bzip2.
    Bz2,
    /// Zstandard.
    Zstd,
}

impl From<Packing> for Compression {
    fn from(packing: Packing) -> Self {
        match packing {
            Packing::Gzip => Self::Gzip,
            Packing::Xz => Self::Xz,
            Packing::Bz2 => Self::Bz2,
            Packing::Zstd => Self::Zstd,
        }
    }
}

impl Packing {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Bz2 => "bz2",
            Self::Zstd => "zstd",
        }
    }
}

/// Whatever happened to the transfer, the device gets its medium back; the first error is the one that counts.
async fn give_back(transfer: Result<()>, back: impl Future<Output = Result<()>>) -> Result<()> {
    let back = back.await.context("connecting the medium to the device again");
    transfer.and(back)
}

#[commands]
impl StorageMuxClient {
    /// Write a local file onto the medium, as it is.
    pub async fn write_local_file(
        &self,
        /// The file.
        file: Source,
    ) -> Result<()> {
        self.write(file).await
    }
}

#[commands]
impl StorageMuxFlasherClient {
    /// Write a local file onto the medium, as it is.
    pub async fn write_local_file(
        &self,
        /// The file.
        file: Source,
    ) -> Result<()> {
        self.write(file).await
    }

    /// Write an image: connect the medium to the host, write, connect it to the device.
    pub async fn flash(
        &self,
        /// The image: a file, or a URL that the exporter fetches.
        file: Source,
        /// The image is packed like this; the exporter unpacks it.
        #[arg(long)]
        compression: Option<Compression>,
    ) -> Result<()> {
        let file = packed(file, compression).await?;
        self.host().await?;
        let transfer = self.write(file).await;
        give_back(transfer, self.dut()).await
    }

    /// Read the medium into a file.
    pub async fn dump(
        &self,
        /// Where to.
        file: Sink,
        /// Have the exporter pack it like this.
        #[arg(long)]
        compression: Option<Packing>,
    ) -> Result<()> {
        let file = file.packed_as(compression.map(Packing::name));
        self.host().await?;
        let transfer = self.read(file).await;
        give_back(transfer, self.dut()).await
    }
}

#[commands]
impl FlasherClient {
    /// Write an image.
    #[export(replaces = "flash")]
    pub async fn flash_file(
        &self,
        /// The image: a file, or a URL that the exporter fetches.
        file: Source,
        /// The partition to write.
        #[arg(short, long)]
        target: Option<String>,
        /// The image is packed like this; the exporter unpacks it.
        #[arg(long)]
        compression: Option<Compression>,
    ) -> Result<()> {
        if target.as_deref() == Some("") {
            return Err(Error::usage(
                "the partition's name is empty: write `--target NAME`, or leave it out",
            ));
        }
        self.flash(packed(file, compression).await?, target).await
    }

    /// Read an image into a file.
    #[export(replaces = "dump")]
    pub async fn dump_file(
        &self,
        /// Where to.
        file: Sink,
        /// The partition to read.
        #[arg(short, long)]
        target: Option<String>,
        /// Have the exporter pack it like this.
        #[arg(long)]
        compression: Option<Packing>,
    ) -> Result<()> {
        self.dump(file.packed_as(compression.map(Packing::name)), target).await
    }
}
