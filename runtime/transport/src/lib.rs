//! Bytes between Jumpstarter's processes: gRPC servers and channels on unix sockets, TCP, TLS and tunnels, the framing of
//! byte streams, compression, and statuses. Knows HTTP/2 and gRPC; has never heard of drivers, leases or commands.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`server`] | a service on any connection; windows, limits, bounded shutdown |
//! | [`refusal`] | a connection on which whoever calls is told why there is nothing |
//! | [`connect`] | channels; what "insecure" means |
//! | [`distrust`] | why a certificate is not trusted, and what helps |
//! | `endpoint` | the `JUMPSTARTER_HOST` contract |
//! | [`authority`] | clients whose `:authority` is a path |
//! | [`socket`] | private directories for unix sockets |
//! | [`frames`] | what the frames of `RouterService.Stream` mean: data, end, loss |
//! | [`stream`] | a call of `RouterService.Stream`, which cannot end by accident |
//! | [`tunnel`] | such a call as a connection, which anything can be served on |
//! | [`grpc_options`] | what the `grpcOptions` of a file change |
//! | [`metadata`] | keys that only our own ends know |
//! | [`status`] | errors as gRPC statuses, and back: the only place |
//! | [`codec`] | streaming compression |
//! | [`presigned`] | transfers that the exporter does by itself over HTTP |
//!
//! Failures are [`jumpstarter_core::Error`], where the caller can be told, and [`frames::Lost`] for a stream.

#![forbid(unsafe_code)]

pub mod authority;
mod body;
pub mod codec;
pub mod connect;
pub mod distrust;
mod endpoint;
pub mod frames;
pub mod grpc_options;
pub mod metadata;
pub mod presigned;
pub mod refusal;
pub mod server;
pub mod socket;
pub mod status;
pub mod stream;
mod tls;
pub mod tunnel;
