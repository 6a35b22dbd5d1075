//! Generates `api` and `wire` from the files below `proto/`, without a system protoc.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;

/// The public API, and what reflection has to know to render its error details.
const API: &[&str] = &["herald/v1/notice_service.proto", "google/rpc/error_details.proto"];
const WIRE: &[&str] = &["herald/wire/v1/wire.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // A directory counts with everything below it, new files included.
    for sources in ["herald", "google"] {
        println!("cargo::rerun-if-changed={}", root.join(sources).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let api = protox::compile(API, [&root])?;
    fs::write(out.join("herald_v1.bin"), api.encode_to_vec())?;
    generator().compile_fds(api)?;

    let wire = protox::compile(WIRE, [&root])?;
    generator().build_client(false).build_server(false).compile_fds(wire)?;
    Ok(())
}

fn generator() -> tonic_prost_build::Builder {
    tonic_prost_build::configure().bytes(".").extern_path(".google.rpc", "::tonic_types::pb")
}
