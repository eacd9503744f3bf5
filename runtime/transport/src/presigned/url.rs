//! URLs as text: taken apart for connecting, never rewritten.
//!
//! The usual URL types decode, encode, lower-case and resolve while they parse. A presigned URL may not survive
//! that: its signature covers the text.

use bytes::Bytes;
use http::HeaderValue;
use http::uri::{Authority, PathAndQuery};

/// An absolute `http` or `https` URL.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) secure: bool,
    /// `user:password` as written, without the `@`.
    user_info: Option<String>,
    /// Host and port as written: the value of the Host header.
    authority: String,
    /// The host to look up: without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query as written: what the request line says.
    target: String,
}

impl Url {
    /// The error says what is wrong with the text, without repeating it: it may hold secrets.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it must start with http:// or https://")?;
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ => return Err("it must start with http:// or https://".to_owned()),
        };
        // A fragment is for the reader of the answer; it is not part of a request.
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, target) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user_info, authority) = match authority.rsplit_once('@') {
            Some((user_info, authority)) => (Some(user_info.to_owned()), authority),
            None => (None, authority),
        };
        let (host, port) = split_port(authority)?;
        let authority = authority.strip_suffix(':').unwrap_or(authority);
        if !authority.is_ascii() || Authority::try_from(authority).is_err() {
            return Err("its host has characters that a host name cannot have \
                        (names in other scripts are written as xn--…)"
                .to_owned());
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let url = Self {
            secure,
            user_info,
            authority: authority.to_owned(),
            host: host.to_owned(),
            port: port.unwrap_or(if secure { 443 } else { 80 }),
            target,
        };
        url.target()?;
        Ok(url)
    }

    /// Where a `Location` leads that came as the answer to this URL.
    pub(super) fn join(&self, location: &str) -> Result<Self, String> {
        let scheme = if self.secure { "https" } else { "http" };
        let head = location.find(['/', '?', '#']).map_or(location, |at| &location[..at]);
        if head.contains(':') {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        let reference = location.split_once('#').map_or(location, |(before, _)| before);
        let path = self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path);
        let target = match reference.chars().next() {
            None => self.target.clone(),
            Some('/') => reference.to_owned(),
            Some('?') => format!("{path}{reference}"),
            Some(_) => {
                let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
                let (relative, query) = match reference.find('?') {
                    Some(at) => reference.split_at(at),
                    None => (reference, ""),
                };
                format!("{}{query}", without_dots(&format!("{folder}{relative}")))
            }
        };
        let url = Self { target, ..self.clone() };
        url.target()?;
        Ok(url)
    }

    /// What the request line says.
    pub(super) fn target(&self) -> Result<PathAndQuery, String> {
        let wrong =
            || "its path or query has characters that must be percent-encoded, such as spaces".to_owned();
        if self.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(wrong());
        }
        let target =
            PathAndQuery::from_maybe_shared(Bytes::from(self.target.clone())).map_err(|_| wrong())?;
        // The promise of this module, should the type ever start to normalise.
        if target.as_str() == self.target { Ok(target) } else { Err(wrong()) }
    }

    /// The value of the Host header.
    pub(super) fn host_header(&self) -> Result<HeaderValue, String> {
        HeaderValue::try_from(self.authority.as_str()).map_err(|error| error.to_string())
    }

    /// The Authorization header that a user name in the URL stands for.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let user_info = self.user_info.as_deref()?;
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let mut plain = percent_decoded(user);
        plain.push(b':');
        plain.extend(percent_decoded(password));
        let mut value = HeaderValue::try_from(format!("Basic {}", base64(&plain))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether credentials for one may be shown to the other.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        self.secure == other.secure && self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// For messages: no password, no query.
    pub(super) fn redacted(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let user_info = if self.user_info.is_some() { "[REDACTED]@" } else { "" };
        let (path, query) = match self.target.split_once('?') {
            Some((path, "")) => (path, "?"),
            Some((path, _)) => (path, "?[REDACTED]"),
            None => (self.target.as_str(), ""),
        };
        format!("{scheme}://{user_info}{}{path}{query}", self.authority)
    }
}

/// Host without brackets, and the port if there is one.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("its IPv6 address has no closing bracket")?;
        let port = match after.strip_prefix(':') {
            Some(port) => port,
            None if after.is_empty() => "",
            None => return Err("its IPv6 address is followed by something that is no port".to_owned()),
        };
        (host, port)
    } else {
        authority.split_once(':').unwrap_or((authority, ""))
    };
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    if port.is_empty() {
        return Ok((host, None));
    }
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((host, Some(number)))
        }
        _ => Err("its port is not a number from 1 to 65535".to_owned()),
    }
}

/// Resolves `.` and `..`, of an absolute path made from a relative reference.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) if byte == b'%' => {
                decoded.push(value);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = (0..3).fold(0_usize, |number, at| {
            (number << 8) | usize::from(group.get(at).copied().unwrap_or_default())
        });
        for digit in 0..4 {
            if digit <= group.len() {
                let index = (number >> (18 - 6 * digit)) & 63;
                text.push(ALPHABET.get(index).copied().map_or('=', char::from));
            } else {
                text.push('=');
            }
        }
    }
    text
}
