//! Documents that are derived from the descriptions of interfaces, for programs in other languages.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`description`] | an interface as JSON: what generators read |
//! | [`python`] | a typed Python package for interfaces that upstream's clients do not know |

#![forbid(unsafe_code)]

pub mod description;
pub mod python;
