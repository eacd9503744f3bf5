//! HTTP requests to devices.

use std::{error::Error as _, time::Duration};

use jumpstarter::{Error, ErrorKind, Result};
use reqwest::{Client, RequestBuilder, Url};

use crate::tls;

/// Longest answer that is read. Devices answer with a page, or a few hundred bytes of JSON.
const LONGEST: usize = 1024 * 1024;

/// A client whose requests take no longer than this, from the connection to the last byte.
pub(crate) fn client(timeout: Duration) -> Result<Client> {
    let builder = Client::builder().timeout(timeout).tls_backend_preconfigured(tls::config()?);
    builder.build().map_err(|error| Error::internal(format!("HTTP: {}", reason(&error))))
}

/// An address of a configuration.
pub(crate) fn address(key: &str, text: &str) -> Result<Url> {
    let wrong =
        |why: &str| Error::configuration(format!("`{key}`: {why}: write it like http://192.0.2.7/on"));
    let url = Url::parse(text).map_err(|error| wrong(&format!("this is no URL ({error})")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(wrong(&format!("URLs with `{other}:` are not supported"))),
    }
}

/// The address without what may be secret: name, password and query.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // It fails for addresses that have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

/// Sends a request and answers what came back, which must be a success.
pub(crate) async fn ask(request: RequestBuilder) -> Result<String> {
    let (client, request) = request.build_split();
    let request = request.map_err(|error| Error::configuration(reason(&error)))?;
    let what = format!("{} {}", request.method(), shown(request.url()));
    let failed = |error: reqwest::Error| {
        let kind = match () {
            () if error.is_timeout() => ErrorKind::Timeout,
            () if error.is_connect() => ErrorKind::Disconnected,
            () => ErrorKind::Device,
        };
        let reason =
            if error.is_timeout() { "the device does not answer".to_owned() } else { reason(&error) };
        Error::new(kind, format!("{what}: {reason}"))
    };
    let mut response = client.execute(request).await.map_err(failed)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > LONGEST {
            return Err(Error::device(format!("{what}: the answer is longer than {LONGEST} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    if !status.is_success() {
        return Err(Error::device(format!("{what}: the device answers {status}")));
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The innermost cause: those around it only say that a request failed.
fn reason(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = cause.map_or_else(|| error.to_string(), ToString::to_string);
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        text = inner.to_string();
        cause = Some(inner);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_an_address_are_not_shown() {
        let url =
            address("url", "http://me:secret@192.0.2.7:8080/cm?user=admin&password=x&cmnd=Power").unwrap();
        assert_eq!(shown(&url), "http://192.0.2.7:8080/cm");
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_its_key() {
        for (text, message) in [
            (
                "192.0.2.7",
                "`power_on.url`: this is no URL (relative URL without a base): write it like http://192.0.2.7/on",
            ),
            (
                "ftp://192.0.2.7/",
                "`power_on.url`: URLs with `ftp:` are not supported: write it like http://192.0.2.7/on",
            ),
        ] {
            assert_eq!(address("power_on.url", text).unwrap_err().message(), message);
        }
    }
}
