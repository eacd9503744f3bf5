//! What the tests of the whole system share.
//!
//! | Module | Contents |
//! |---|---|
//! | [`recording`] | the recorded conversations of the existing implementation, as types |
//! | [`message`], [`report`], [`compare`], [`bindings`] | recorded and live messages compared by meaning |
//! | [`http2`] | one HTTP/2 connection with nothing hidden |
//! | [`replay`] | a recording replayed as the client, against a live exporter |
//! | [`scripted`] | a recording replayed as the exporter, for a client under test |
//! | [`python`] | the environment with the unmodified Python implementation |
//! | [`node`] | the language server for YAML that editors use |
//! | [`exporter`] | exporters as processes, its and ours |
//! | [`drivers`] | drivers that the recordings need and that are not shipped |
//! | [`ours`] | our exporter inside of the test |
//! | [`lab`] | a lab of ours inside of the test |
//! | [`programs`] | our own `jmp` and `j` |
//! | [`client`] | its clients: commands, scripts, and recorded scenarios repeated |
//! | [`helpers`] | servers that recorded scenarios talk to on the side |
//! | [`counterparts`] | programs of the system that stand for devices |
//! | [`methods`] | which method works between whom, as the documentation shows it |

#![forbid(unsafe_code)]

pub mod bindings;
pub mod client;
pub mod compare;
pub mod counterparts;
pub mod drivers;
pub mod exporter;
pub mod helpers;
pub mod http2;
pub mod lab;
pub mod message;
pub mod methods;
pub mod node;
pub mod ours;
pub mod programs;
pub mod python;
pub mod recording;
pub mod replay;
pub mod report;
pub mod scripted;
