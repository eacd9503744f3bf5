//! Files in storage of any kind: a directory, memory, a bucket, a web server.

use std::collections::BTreeMap;

use jumpstarter::{
    Call, Error, ErrorKind, Result, Sink, Source, Stream, commands, interface, message,
    types::{Bytes, Uuid, Value},
    wire::value,
};

/// Keeps files: reads, writes and arranges them, wherever they are.
#[interface(name = "storage", version = 1, python = "jumpstarter_driver_opendal.client.OpendalClient")]
pub trait Storage {
    /// Open a file. Answers what `file-read`, `file-write` and the like want to know.
    async fn open(
        &self,
        /// Where it is; `/` separates folders.
        path: String,
        /// To read or to write.
        mode: OpenMode,
    ) -> Result<Uuid>;

    /// Read an open file from its position to its end.
    async fn file_read(
        &self,
        /// The open file.
        fd: Uuid,
        dst: Sink,
    ) -> Result<()>;

    /// Append to an open file. What has failed leaves no file.
    async fn file_write(
        &self,
        /// The open file.
        fd: Uuid,
        src: Source,
        #[inject] call: Call,
    ) -> Result<()>;

    /// Move the position of a file that is open for reading. Answers the new position, in bytes.
    async fn file_seek(
        &self,
        /// The open file.
        fd: Uuid,
        /// How far, in bytes.
        pos: i64,
        /// From the beginning (0), from where it is (1), or from the end (2).
        #[default = 0]
        whence: u8,
    ) -> Result<u64>;

    /// The position of a file that is open for reading, in bytes.
    async fn file_tell(
        &self,
        /// The open file.
        fd: Uuid,
    ) -> Result<u64>;

    /// Close a file. What was written is there once this has returned.
    async fn file_close(
        &self,
        /// The open file.
        fd: Uuid,
    ) -> Result<()>;

    /// Whether a file was closed.
    async fn file_closed(
        &self,
        /// The file.
        fd: Uuid,
    ) -> Result<bool>;

    /// Whether a file is open for reading.
    async fn file_readable(
        &self,
        /// The file.
        fd: Uuid,
    ) -> Result<bool>;

    /// Whether an open file has a position that can be moved.
    async fn file_seekable(
        &self,
        /// The file.
        fd: Uuid,
    ) -> Result<bool>;

    /// Whether a file is open for writing.
    async fn file_writable(
        &self,
        /// The file.
        fd: Uuid,
    ) -> Result<bool>;

    /// Describe a file or folder.
    async fn stat(
        &self,
        /// Where it is.
        path: String,
    ) -> Result<Metadata>;

    /// The digest of a file, in hexadecimal.
    async fn hash(
        &self,
        /// Where it is.
        path: String,
        /// How it is made.
        #[default = HashAlgo::Sha256]
        algo: HashAlgo,
    ) -> Result<String>;

    /// Copy a file within the storage.
    async fn copy(
        &self,
        /// What to copy.
        source: String,
        /// Where to.
        target: String,
    ) -> Result<()>;

    /// Rename a file.
    async fn rename(
        &self,
        /// What it is called.
        source: String,
        /// What it shall be called.
        target: String,
    ) -> Result<()>;

    /// Remove a folder with everything in it. `/` removes everything in the storage; the storage itself stays.
    async fn remove_all(
        &self,
        /// The folder.
        path: String,
    ) -> Result<()>;

    /// Make a folder, with those that it is in.
    async fn create_dir(
        &self,
        /// The folder; ends with `/`.
        path: String,
    ) -> Result<()>;

    /// Remove a file, or a folder with nothing in it. It need not be there.
    async fn delete(
        &self,
        /// What to remove.
        path: String,
    ) -> Result<()>;

    /// Whether there is a file or folder.
    async fn exists(
        &self,
        /// Where it would be.
        path: String,
    ) -> Result<bool>;

    /// List what is in a folder. Folders end with `/`.
    async fn list(
        &self,
        /// The folder; ends with `/`.
        path: String,
    ) -> Result<Stream<String>>;

    /// List what is in a folder and in the folders below.
    async fn scan(
        &self,
        /// The folder; ends with `/`.
        path: String,
    ) -> Result<Stream<String>>;

    /// Sign a request that others can describe a file with.
    async fn presign_stat(
        &self,
        /// The file.
        path: String,
        /// How many seconds the request is good for.
        expire_second: u64,
    ) -> Result<PresignedRequest>;

    /// Sign a request that others can read a file with.
    async fn presign_read(
        &self,
        /// The file.
        path: String,
        /// How many seconds the request is good for.
        expire_second: u64,
    ) -> Result<PresignedRequest>;

    /// Sign a request that others can write a file with.
    async fn presign_write(
        &self,
        /// The file.
        path: String,
        /// How many seconds the request is good for.
        expire_second: u64,
    ) -> Result<PresignedRequest>;

    /// What this storage can do.
    async fn capability(&self) -> Result<Capability>;

    /// What was made or written to here since the session began.
    async fn get_created_resources(&self) -> Result<Vec<String>>;

    /// Have something removed at the end that was made by other means, where the storage is set up to tidy up.
    async fn register_path(
        &self,
        /// What was made.
        path: String,
    ) -> Result<()>;
}

/// What a file is opened for.
#[message]
pub enum OpenMode {
    /// To read.
    #[text = "rb"]
    Read,
    /// To write it anew.
    #[text = "wb"]
    Write,
}

/// How a digest is made.
#[message]
pub enum HashAlgo {
    /// MD5: finds accidents, no forgeries.
    Md5,
    /// SHA-256.
    Sha256,
}

/// A file or folder.
#[message]
pub struct Metadata {
    /// What browsers do with it.
    pub content_disposition: Option<String>,
    /// Its size.
    #[unit = "B"]
    pub content_length: u64,
    /// Its MD5 digest, where the storage knows it.
    pub content_md5: Option<String>,
    /// Its media type.
    pub content_type: Option<String>,
    /// Changes when the content does.
    pub etag: Option<String>,
    /// What it is.
    pub mode: EntryMode,
}

/// File or folder. Neither: a device, for example.
#[message]
pub struct EntryMode {
    /// A file.
    pub entry_is_file: bool,
    /// A folder.
    pub entry_is_dir: bool,
}

/// A request that anybody can make until it expires.
#[message]
pub struct PresignedRequest {
    /// Where to.
    pub url: String,
    /// `GET`, `HEAD` or `PUT`.
    pub method: String,
    /// Headers that have to be sent.
    pub headers: BTreeMap<String, String>,
}

macro_rules! capability {
    ($($(#[$attribute:meta])* $name:ident: $ty:ty,)*) => {
        /// What a storage can do.
        #[message]
        pub struct Capability {
            $($(#[$attribute])* pub $name: $ty,)*
        }
    };
}

capability! {
    /// Describe.
    stat: bool,
    /// Describe what has an etag.
    stat_with_if_match: bool,
    /// Describe what does not have an etag.
    stat_with_if_none_match: bool,
    /// Read.
    read: bool,
    /// Read what has an etag.
    read_with_if_match: bool,
    /// Read what does not have an etag.
    read_with_if_none_match: bool,
    /// Sign reads that answer with another cache control.
    read_with_override_cache_control: bool,
    /// Sign reads that answer with another disposition.
    read_with_override_content_disposition: bool,
    /// Sign reads that answer with another media type.
    read_with_override_content_type: bool,
    /// Write.
    write: bool,
    /// Write in several parts.
    write_can_multi: bool,
    /// Write nothing.
    write_can_empty: bool,
    /// Append.
    write_can_append: bool,
    /// Write with a media type.
    write_with_content_type: bool,
    /// Write with a disposition.
    write_with_content_disposition: bool,
    /// Write with a cache control.
    write_with_cache_control: bool,
    /// Largest part.
    write_multi_max_size: Option<u64>,
    /// Smallest part.
    write_multi_min_size: Option<u64>,
    /// Largest file.
    write_total_max_size: Option<u64>,
    /// Make folders.
    create_dir: bool,
    /// Remove.
    delete: bool,
    /// Copy.
    copy: bool,
    /// Rename.
    rename: bool,
    /// List.
    list: bool,
    /// List so many at a time.
    list_with_limit: bool,
    /// List what comes after a name.
    list_with_start_after: bool,
    /// List with folders below.
    list_with_recursive: bool,
    /// Sign requests.
    presign: bool,
    /// Sign requests that read.
    presign_read: bool,
    /// Sign requests that describe.
    presign_stat: bool,
    /// Sign requests that write.
    presign_write: bool,
    /// Others see the same files.
    shared: bool,
    /// Works without waiting for a network.
    blocking: bool,
}

fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    value::map(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// As people read it, which is also what upstream's command prints.
fn metadata_json(metadata: Metadata) -> Value {
    let Metadata { content_disposition, content_length, content_md5, content_type, etag, mode } = metadata;
    let text = |text: Option<String>| text.map_or_else(value::null, value::text);
    // Sizes beyond 2^53 are those of no file.
    #[expect(clippy::cast_precision_loss, reason = "numbers of this form are floating point")]
    let length = value::number(content_length as f64);
    let mode =
        map([("is_file", value::boolean(mode.entry_is_file)), ("is_dir", value::boolean(mode.entry_is_dir))]);
    map([
        ("content_disposition", text(content_disposition)),
        ("content_length", length),
        ("content_md5", text(content_md5)),
        ("content_type", text(content_type)),
        ("etag", text(etag)),
        ("mode", mode),
    ])
}

fn json(message: &impl jumpstarter::wire::Wire) -> Result<Value> {
    message.to_value().map_err(|error| Error::internal(error.to_string()))
}

impl StorageClient {
    /// Writes bytes that are at hand.
    ///
    /// # Errors
    /// When they cannot be written; there is no such file then.
    pub async fn write(&self, path: impl Into<String>, data: impl Into<Bytes>) -> Result<()> {
        self.write_from_path(path.into(), Source::from_bytes(data)).await
    }

    /// Reads a file into memory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self, path: impl Into<String>) -> Result<Bytes> {
        let (sink, bytes) = Sink::to_memory();
        self.read_into_path(path.into(), sink).await?;
        bytes.await
    }

    /// Closes a file, whatever happened to it; the first error is the one that counts.
    async fn closed(&self, fd: Uuid, done: Result<()>) -> Result<()> {
        let closed = self.file_close(fd).await;
        done.and(closed)
    }
}

#[commands]
impl StorageClient {
    /// Write what comes on standard input.
    pub async fn write_bytes(
        &self,
        /// Where to.
        path: String,
        /// What to write instead of standard input.
        #[arg(default_value = "-")]
        data: Source,
    ) -> Result<()> {
        self.write_from_path(path, data).await
    }

    /// Print a file as it is.
    pub async fn read_bytes(
        &self,
        /// Which one.
        path: String,
        /// Where to write it instead of standard output.
        #[arg(default_value = "-")]
        data: Sink,
    ) -> Result<()> {
        self.read_into_path(path, data).await
    }

    /// Write a local file, or one that the exporter fetches from a URL.
    pub async fn write_from_path(
        &self,
        /// Where to.
        dst: String,
        /// The file, or its URL.
        src: Source,
    ) -> Result<()> {
        let fd = self.open(dst, OpenMode::Write).await?;
        let written = self.file_write(fd, src).await;
        self.closed(fd, written).await
    }

    /// Read a file into a local one.
    pub async fn read_into_path(
        &self,
        /// Which one.
        src: String,
        /// Where to.
        dst: Sink,
    ) -> Result<()> {
        let fd = self.open(src, OpenMode::Read).await?;
        let read = self.file_read(fd, dst).await;
        self.closed(fd, read).await
    }

    /// Describe a file or folder, as JSON.
    #[export(replaces = "stat")]
    pub async fn stat_json(
        &self,
        /// Where it is.
        path: String,
    ) -> Result<Value> {
        self.stat(path).await.map(metadata_json)
    }

    /// Succeed if there is such a file or folder.
    #[export(replaces = "exists")]
    pub async fn expect_to_exist(
        &self,
        /// Where it would be.
        path: String,
    ) -> Result<()> {
        if self.exists(path.clone()).await? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Absent, format!("path {path} does not exist")))
    }

    /// Sign a request that others can describe a file with.
    #[export(replaces = "presign_stat")]
    pub async fn presign_stat_json(
        &self,
        /// The file.
        path: String,
        /// How many seconds the request is good for.
        #[arg(long)]
        expire_second: u64,
    ) -> Result<Value> {
        json(&self.presign_stat(path, expire_second).await?)
    }

    /// Sign a request that others can read a file with.
    #[export(replaces = "presign_read")]
    pub async fn presign_read_json(
        &self,
        /// The file.
        path: String,
        /// How many seconds the request is good for.
        #[arg(long)]
        expire_second: u64,
    ) -> Result<Value> {
        json(&self.presign_read(path, expire_second).await?)
    }

    /// Sign a request that others can write a file with.
    #[export(replaces = "presign_write")]
    pub async fn presign_write_json(
        &self,
        /// The file.
        path: String,
        /// How many seconds the request is good for.
        #[arg(long)]
        expire_second: u64,
    ) -> Result<Value> {
        json(&self.presign_write(path, expire_second).await?)
    }

    /// What this storage can do, as JSON.
    #[export(replaces = "capability")]
    pub async fn capability_json(&self) -> Result<Value> {
        json(&self.capability().await?)
    }
}
