//! The unmodified Python implementation as the other side of the wire.
