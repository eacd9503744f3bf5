//! A message that upstream knows as a list.

use jumpstarter::message;

/// A piece of output.
#[message(list)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// The exit code, at the end.
    pub code: Option<i64>,
}
