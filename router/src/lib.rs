//! Carries bytes between two callers that hold the same token.
//!
//! A client and an exporter that cannot reach each other both call `RouterService.Stream` here. The controller gave both
//! the same token; its subject names the stream. The first caller waits, the second one is joined with it, and from then on
//! what one sends, the other receives. The router cannot tell which of them is the exporter, and need not.
//!
//! ```text
//!   client ── request ──►┐            ┌── request ── exporter
//!          ◄─ response ──┤   router   ├─ response ─►
//!                        └────────────┘
//! ```
//!
//! A request message and a response message are the same bytes (payload is field 1, frame type is field 2 in both), so
//! **nothing is decoded**: the body of one caller's request, as it comes from the connection, is the body of the other's
//! response. That body is read when the other connection has room for it, and not before; so there are no queues and no
//! tasks, a slow reader holds up its own peer and nobody else, and what waits in the router is at most one window per
//! direction ([`STREAM_WINDOW`]).
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`token`] | who may use which stream: HS256 tokens, checked and made |
//! | [`pairing`] | the first caller waits, the second one finds it; limits |
//! | [`relay`] | one response, made of the other caller's request; ends and breaks |
//! | [`scan`] | where messages begin and end, and which are too large |
//! | [`unpack`] | messages of callers that compress |
//! | [`service`] | the gRPC service around these |
//! | [`serve`] | listeners, certificates, draining: what the program does |

#![forbid(unsafe_code)]

pub mod pairing;
pub mod relay;
pub mod scan;
pub mod serve;
pub mod service;
pub mod token;
pub mod unpack;

pub use pairing::Limits;
pub use service::Router;
pub use token::{Key, Tokens};

/// How many bytes of one direction of one stream may wait here for their reader, in bytes.
pub const STREAM_WINDOW: u32 = 1024 * 1024;

/// Largest message that is passed on, in bytes: the default limit of gRPC in all languages, so nobody can expect more.
pub const MAX_MESSAGE: u32 = 4 * 1024 * 1024;
