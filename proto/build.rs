//! Turns the protocol's `.proto` files into Rust with a parser in Rust, so that building needs no `protoc`.

use std::{env, fs, path::PathBuf};

use miette::{IntoDiagnostic, Result};
use prost::Message;

/// Files to generate code for, relative to this package.
const FILES: &[&str] = &[
    "jumpstarter/admin/v1/admin.proto",
    "jumpstarter/annotations/annotations.proto",
    "jumpstarter/client/v1/client.proto",
    "jumpstarter/v1/common.proto",
    "jumpstarter/v1/jumpstarter.proto",
    "jumpstarter/v1/kubernetes.proto",
    "jumpstarter/v1/router.proto",
];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=jumpstarter");
    // Imports are kept: a reflection service has to answer for google's files as well.
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    let with_comments = compiler.file_descriptor_set();

    // Comments become documentation, but nobody reads them from a running server. The parser's own encoding is used
    // because the generator's types would drop options they do not know, such as `resource_handle`.
    let mut bare = protox::Compiler::new(["."])?;
    bare.include_imports(true);
    bare.open_files(FILES)?;
    let output = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(output.join("descriptors.bin"), bare.encode_file_descriptor_set()).into_diagnostic()?;

    // The generator may use another major version of the descriptor types than the parser; bytes fit both.
    let set = tonic_prost_build::FileDescriptorSet::decode(with_comments.encode_to_vec().as_slice())
        .into_diagnostic()?;
    tonic_prost_build::configure()
        // Frames are handed on, not copied.
        .bytes(".")
        .codec_path("crate::codec::SmallCodec")
        // Channels are made by our own transport, and an RPC may be called `Connect`.
        .build_transport(false)
        .compile_fds(set)
        .into_diagnostic()
}
