//! [`Stream`]: what a method returns that answers with many values.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::StreamExt as _;

use crate::Result;

/// A stream of values, each of which may be an error. An error ends the stream.
///
/// It is a type of ours (not an alias of a boxed trait object), so that a method's signature can be recognised by its
/// type. It implements [`futures::Stream`]; the consumer's poll is the back pressure.
pub struct Stream<T>(Pin<Box<dyn futures::Stream<Item = Result<T>> + Send>>);

impl<T: Send + 'static> Stream<T> {
    /// Wraps any stream of results.
    pub fn new(stream: impl futures::Stream<Item = Result<T>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// A stream of values that are at hand.
    pub fn from_values(values: impl IntoIterator<Item = T, IntoIter: Send + 'static>) -> Self {
        Self::new(futures::stream::iter(values.into_iter().map(Ok)))
    }

    /// Builds a stream from a state and an asynchronous step; the step answers `None` at the end.
    ///
    /// ```
    /// # use jumpstarter_core::{Stream, Result};
    /// let countdown: Stream<u32> = Stream::unfold(3, async |left| Ok(if left == 0 { None } else { Some((left, left - 1)) }));
    /// ```
    pub fn unfold<S, F, Fut>(state: S, step: F) -> Self
    where
        S: Send + 'static,
        F: FnMut(S) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<(T, S)>>> + Send + 'static,
    {
        Self::new(futures::stream::try_unfold(state, step))
    }

    /// The next value, or `None` at the end.
    pub async fn next(&mut self) -> Option<Result<T>> {
        self.0.next().await
    }

    /// All values up to the end, or the first error.
    pub async fn collect(self) -> Result<Vec<T>> {
        futures::TryStreamExt::try_collect(self.0).await
    }

    /// Applies a function to each value.
    pub fn map<U: Send + 'static>(self, mut f: impl FnMut(T) -> Result<U> + Send + 'static) -> Stream<U> {
        Stream::new(self.0.map(move |item| item.and_then(&mut f)))
    }
}

impl<T> futures::Stream for Stream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}
