//! The unmodified Python implementation on the other side of the wire.
//!
//! | Module | Client | Exporter |
//! |---|---|---|
//! | `checks` | what each pair has to be able to do | |
//! | `upstream` | Python | Python: proves the checks |

mod checks;
mod upstream;
