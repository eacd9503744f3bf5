//! Transfers that the exporter makes by itself: handles of kind `presigned_request`.
//!
//! Instead of sending bytes, a client may hand over an HTTP request with everything that authorises it: a
//! `GET` for what a driver reads, a `PUT` for what it writes. The signature of such a request usually covers
//! the exact text of its URL, so the text is sent as it came and redirects are followed by hand; a general
//! HTTP client would normalise both.
//!
//! ```no_run
//! use futures::StreamExt;
//! use jumpstarter_transport::presigned::{Http, Request};
//!
//! # async fn example() -> Result<(), jumpstarter_transport::presigned::Error> {
//! let request = Request::new("GET", "https://example.com/image.bin?signature=a%2Fb", [("accept", "*/*")])?;
//! let mut download = Http::new().get(&request).await?;
//! while let Some(piece) = download.next().await {
//!     let piece = piece?; // an error here: what came before is not the whole
//! #   drop(piece);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The rules, in short: at most 10 redirects (301, 302, 303, 307 and 308, for `GET` only, because the bytes of
//! an upload exist once); a redirect to another origin loses credentials; anything but 2xx is an error; an
//! answer cut short is an error; `gzip`, `deflate` and `zstd` content encodings of an answer are undone; one
//! time limit for the whole transfer. Proxies of the environment are not used. Queries and passwords of URLs
//! never appear in messages.
//!
//! Modules: `url` takes URLs apart without changing them, `http` connects and exchanges messages, `transfer`
//! holds the two directions.

mod http;
mod transfer;
mod url;

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue};

use jumpstarter_core::ErrorKind;

pub use self::http::Http;
pub use transfer::{Download, Upload};

use self::url::Url;
use crate::codec;

/// How long a transfer may take altogether, redirects included.
pub const TIME_LIMIT: Duration = Duration::from_hours(2);

/// How long a server may say nothing while somebody waits for its answer or the next piece of it.
pub const SILENCE: Duration = Duration::from_mins(1);

/// How many redirects are followed.
pub const REDIRECTS: usize = 10;

/// What the request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The driver reads what the server sends.
    Get,
    /// The driver writes, the server receives.
    Put,
}

impl Method {
    /// The name in the handle and in HTTP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
        }
    }
}

/// A checked `presigned_request` handle.
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
}

impl Request {
    /// Checks the fields of a handle.
    ///
    /// `method` is `GET` or `PUT`, `url` starts with `http://` or `https://`. Its text is kept; a fragment is
    /// dropped, and a user name and password become basic credentials. Anything else is [`Error::Handle`].
    pub fn new<N, V>(
        method: &str,
        url: &str,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, Error>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let method = match method {
            "GET" => Method::Get,
            "PUT" => Method::Put,
            other => {
                return Err(Error::Handle(format!(
                    "method: `{}` is neither GET nor PUT",
                    other.escape_debug()
                )));
            }
        };
        let url = Url::parse(url).map_err(|reason| Error::Handle(format!("url: {reason}")))?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = name.as_ref();
            let wrong = |what| Error::Handle(format!("headers: `{}` {what}", name.escape_debug()));
            let key = HeaderName::try_from(name).map_err(|_| wrong("is not the name of a header"))?;
            let mut value = HeaderValue::try_from(value.as_ref())
                .map_err(|_| wrong("has a value with line breaks or control characters"))?;
            value.set_sensitive(true);
            map.try_append(key, value).map_err(|_| wrong("is one header too many"))?;
        }
        Ok(Self { method, url, headers: map })
    }

    /// What the request does.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The URL without its query and password, for messages and logs.
    pub fn redacted_url(&self) -> String {
        self.url.redacted()
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method.name(), self.url.redacted())
    }
}

/// Why a transfer could not be made, or ended early. URLs in it are redacted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The handle itself is wrong, or used in the wrong direction.
    #[error("presigned_request: {0}")]
    Handle(String),
    /// The server refused.
    #[error("Presigned HTTP {method} request failed: status={status}, reason='{reason}', url={url}")]
    Status {
        /// `GET` or `PUT`.
        method: &'static str,
        /// The number in the answer.
        status: u16,
        /// The words beside it, or the usual ones.
        reason: String,
        /// Where the request of the handle went.
        url: String,
    },
    /// The time limit ran out, on the way there or in the middle of the transfer.
    #[error("Presigned HTTP {method} request timed out after {seconds}s for {url}")]
    TimedOut {
        /// `GET` or `PUT`.
        method: &'static str,
        /// The limit, in seconds.
        seconds: String,
        /// Where the request of the handle went.
        url: String,
    },
    /// The server has said nothing for too long.
    #[error("Presigned HTTP GET: the server has sent nothing for {seconds}s: {url}")]
    Silent {
        /// How long, in seconds.
        seconds: String,
        /// Where the bytes should come from.
        url: String,
    },
    /// A redirect that cannot be followed.
    #[error("Presigned HTTP GET redirect of {url} cannot be followed: {reason}")]
    Redirect {
        /// The URL that redirected.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection, or it was lost before an answer came.
    #[error("Presigned HTTP {method} got no answer for {url}: {reason}")]
    Connection {
        /// `GET` or `PUT`.
        method: &'static str,
        /// Where it tried to go.
        url: String,
        /// What the system or the TLS library says.
        reason: String,
    },
    /// The transfer stopped before its end: what was moved so far is not the whole.
    #[error("Presigned HTTP {method} transfer was cut short for {url}: {reason}")]
    Cut {
        /// `GET` or `PUT`.
        method: &'static str,
        /// Where the bytes come from or go to.
        url: String,
        /// What was noticed.
        reason: String,
    },
    /// The answer is in a content encoding that cannot be undone, or is damaged.
    #[error("Presigned HTTP GET answer for {url} cannot be unpacked: {reason}")]
    Content {
        /// Where the bytes come from.
        url: String,
        /// What was noticed.
        reason: String,
    },
}

impl From<codec::Error> for Error {
    /// Without a URL, which [`Download`] fills in.
    fn from(error: codec::Error) -> Self {
        Self::Content { url: String::new(), reason: error.to_string() }
    }
}

impl From<Error> for jumpstarter_core::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Handle(_) => ErrorKind::InvalidArgument,
            Error::TimedOut { .. } | Error::Silent { .. } => ErrorKind::Timeout,
            Error::Connection { .. } => ErrorKind::Disconnected,
            Error::Cut { .. } => ErrorKind::Truncated,
            Error::Status { .. } | Error::Redirect { .. } | Error::Content { .. } => ErrorKind::Device,
        };
        Self::new(kind, error.to_string()).caused_by(error)
    }
}

#[cfg(test)]
mod tests;
