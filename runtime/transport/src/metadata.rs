//! Metadata keys of this implementation, which exporters read and clients write.

/// The instance that a native call is for, by its uuid.
pub const INSTANCE: &str = "x-jumpstarter-driver-uuid";

/// Asks upstream's calls for errors as native calls have them: with their kind, and in the words that are meant for
/// people. Its value is [`KINDS`].
pub const ERRORS: &str = "x-jumpstarter-errors";

/// See [`ERRORS`].
pub const KINDS: &str = "native";
