//! Descriptions, descriptors and bytes, held against implementations that are not ours: protox compiles what is printed,
//! prost-reflect reads and writes the same messages.

// Everything here is about one sample; its parts are public to the modules of this one binary.
#![allow(missing_docs, unreachable_pub)]

mod descriptor;
mod dynamic;
mod oracle;
mod samples;
