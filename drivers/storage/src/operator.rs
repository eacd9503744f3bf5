//! Files of an OpenDAL `Operator` of one's own, as sources and sinks of a client.
//!
//! Whoever keeps images in a bucket hands them to a device without storing them first:
//!
//! ```no_run
//! # async fn example(flasher: jumpstarter_interfaces::FlasherClient) -> jumpstarter::Result<()> {
//! use jumpstarter_driver_storage::operator;
//! use opendal::{Operator, services::Memory};
//!
//! let images = Operator::new(Memory::default()).unwrap();
//! flasher.flash(operator::source(&images, "board/image.bin").await?, None).await?;
//! flasher.dump(operator::sink(&images, "board/dump.bin").await?, None).await?;
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::BoxFuture;
use jumpstarter::{Error, Result, Sink, Source, resource::SinkBody, time::Duration};
use opendal::Operator;

use crate::{
    error::told,
    place::{Place, Writing},
};

/// How long a signed request is good for: as long as upstream's.
const GOOD_FOR: Duration = Duration::from_mins(1);

/// A file of an operator. Where it can sign requests, the exporter fetches the file itself, within a minute; otherwise the
/// data goes through this program.
///
/// # Errors
/// When there is no such file, or it cannot be opened.
pub async fn source(operator: &Operator, path: &str) -> Result<Source> {
    if !operator.info().capability().presign_read {
        return stream(operator, path).await;
    }
    let request = operator.presign_read(path, GOOD_FOR).await;
    let request = request.map_err(|error| told(error, format_args!("sign a request that reads {path}")))?;
    let mut headers = BTreeMap::new();
    for (name, value) in request.header() {
        let value = value.to_str().map_err(|_| Error::internal(format!("header {name} is not text")))?;
        headers.insert(name.as_str().to_owned(), value.to_owned());
    }
    Ok(Source::from_url(request.uri().to_string(), headers))
}

/// A file of an operator whose data goes through this program in any case: for files that are packed, which exporters do
/// not unpack when they fetch them by themselves.
///
/// # Errors
/// When there is no such file, or it cannot be opened.
pub async fn stream(operator: &Operator, path: &str) -> Result<Source> {
    let reading = Place::new(operator.clone(), None).read(path).await?;
    let source = reading.from(0).await?.into_source();
    Ok(match reading.len() {
        Some(len) => source.with_len(len),
        None => source,
    })
}

/// A file of an operator, to be written. What is not complete is not stored.
///
/// # Errors
/// When it cannot be written.
pub async fn sink(operator: &Operator, path: &str) -> Result<Sink> {
    let writing = Place::new(operator.clone(), None).write(path).await?;
    Ok(Sink::new(Body(writing)))
}

struct Body(Writing);

impl SinkBody for Body {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.0.write(piece))
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(self.0.finish())
    }

    // Dropping it discards what was written.
    fn abort(self: Box<Self>, _: Error) {}
}
