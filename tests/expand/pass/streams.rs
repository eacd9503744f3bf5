//! What a method answers is decided by types, through aliases.

use jumpstarter::{Io, Result, Stream, interface};

/// An alias that nobody could see through who only reads names.
pub type Answers = Result<Stream<u32>>;

/// Answers in many ways.
#[interface(name = "answers", version = 3, package = "example")]
#[exclusive(busy = "fail")]
pub trait Answering {
    /// Many values.
    async fn many(&self) -> Answers;
    /// A byte stream.
    async fn bytes(&self) -> Result<Io>;
    /// A byte stream of messages.
    #[export(framing = "messages")]
    async fn messages(&self) -> Result<Io>;
}
