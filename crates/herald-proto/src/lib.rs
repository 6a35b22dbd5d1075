//! Generated code of Herald's public API ([`api`]) and of what its services tell each other and
//! store ([`wire`]), with the conversions that both sides of the API need: `google.protobuf.Value`
//! and JSON text ([`json`]), durations and times ([`time`]).
//!
//! The sources are the `.proto` files below `proto/`; building needs no protoc. Every `bytes` field
//! is a [`Bytes`](prost::bytes::Bytes), so that a payload is passed on without being copied. Errors of the API are
//! `google.rpc.Status`, which is [`rpc::Status`].

pub mod json;
pub mod time;

/// `google.rpc`: the [`Status`](rpc::Status) that batch results carry, and the details
/// (`BadRequest`, `RetryInfo`) that errors come with.
pub use tonic_types::pb as rpc;

/// The public API: package `herald.v1`, client and server.
pub mod api {
    // Written by the generator, documented as far as the protos are.
    #![allow(missing_docs, unreachable_pub, clippy::all)]

    tonic::include_proto!("herald.v1");

    /// Descriptors of `herald.v1`, of all that it imports and of `google.rpc`'s error details: an
    /// encoded `FileDescriptorSet`, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("herald_v1");
}

/// What travels on channels and is stored: package `herald.wire.v1`, messages only.
pub mod wire {
    // Written by the generator, documented as far as the protos are.
    #![allow(missing_docs, unreachable_pub, clippy::all)]

    tonic::include_proto!("herald.wire.v1");
}
