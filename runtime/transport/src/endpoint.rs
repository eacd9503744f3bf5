//! Where a session is.

use std::{fmt, path::PathBuf, str::FromStr};

use jumpstarter_core::{Error, Result};

/// Where a session is, as in the environment variable `JUMPSTARTER_HOST`: `host:port`, or the absolute path of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Path of a unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

impl Endpoint {
    /// Reads `host:port` or the absolute path of a socket.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Err(Error::usage(format!(
                "{text:?} is no endpoint: {why}; expected host:port or the absolute path of a socket"
            )))
        };
        if text.is_empty() {
            return wrong("it is empty");
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return wrong(&format!("leave out {scheme:?} and write {rest:?}"));
        }
        let port = text.rsplit_once(':').and_then(|(host, port)| Some((host, decimal(port)?)));
        let Some((host, port)) = port else {
            return match text.strip_prefix("unix:") {
                Some(rest) => wrong(&format!("leave out \"unix:\" and write {rest:?}")),
                None if text.starts_with('/') => Ok(Self::Unix(PathBuf::from(text))),
                None if text.contains('/') => wrong("the path is relative"),
                None => wrong("there is no port"),
            };
        };
        let Ok(port @ 1..) = u16::try_from(port) else {
            return wrong("ports are 1 to 65535");
        };
        if host.contains('/') {
            return wrong(
                "a socket's path must not end in a colon and digits, others would take them for a port",
            );
        }
        let host = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
            Some(Some(address)) => address,
            Some(None) => return wrong("a bracket is missing"),
            None if host.contains(':') => return wrong(&format!("write [{host}]:{port}")),
            None => host,
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return wrong("the host is missing");
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

/// A number in digits only; one that does not fit is the largest.
fn decimal(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().unwrap_or(u32::MAX))
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use jumpstarter_core::ErrorKind;

    use super::*;

    #[test]
    fn endpoints_are_read_as_the_existing_client_reads_them() {
        let tcp = |host: &str, port| Endpoint::Tcp { host: host.to_owned(), port };
        for (text, endpoint) in [
            (
                "/run/user/1000/jumpstarter-x/socket",
                Endpoint::Unix("/run/user/1000/jumpstarter-x/socket".into()),
            ),
            ("/tmp/a:b", Endpoint::Unix("/tmp/a:b".into())),
            ("localhost:8082", tcp("localhost", 8082)),
            ("127.0.0.1:1", tcp("127.0.0.1", 1)),
            ("[::1]:65535", tcp("::1", 65535)),
        ] {
            let parsed = Endpoint::parse(text).expect(text);
            assert_eq!(parsed, endpoint);
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn wrong_endpoints_say_what_to_write_instead() {
        for (text, remedy) in [
            ("", "it is empty"),
            ("unix:///tmp/s", r#"write "/tmp/s""#),
            ("unix:/tmp/s", r#"write "/tmp/s""#),
            ("https://host:1", r#"write "host:1""#),
            ("run/socket", "the path is relative"),
            ("localhost", "there is no port"),
            ("localhost:0", "ports are 1 to 65535"),
            ("localhost:65536", "ports are 1 to 65535"),
            ("localhost:99999999999999", "ports are 1 to 65535"),
            ("/tmp/socket:5", "must not end in a colon and digits"),
            ("::1:80", "write [::1]:80"),
            ("[::1:80", "a bracket is missing"),
            (":80", "the host is missing"),
        ] {
            let error = Endpoint::parse(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().contains(remedy), "{text}: {error}");
        }
    }
}
