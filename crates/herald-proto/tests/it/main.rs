//! What the public API's descriptors promise to those who generate clients or ask by reflection.

use std::collections::HashSet;

use herald_proto::api::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, SourceCodeInfo,
};

// Field numbers of descriptor.proto, which paths of source locations are made of.
const FILE_MESSAGE: i32 = 4;
const FILE_ENUM: i32 = 5;
const FILE_SERVICE: i32 = 6;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_NESTED: i32 = 3;
const MESSAGE_ENUM: i32 = 4;
const MESSAGE_ONEOF: i32 = 8;
const ENUM_VALUE: i32 = 2;
const SERVICE_METHOD: i32 = 2;

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the set that the build wrote decodes")
}

fn own_files() -> Vec<FileDescriptorProto> {
    let own: Vec<_> =
        descriptors().file.into_iter().filter(|file| file.package() == "herald.v1").collect();
    assert!(!own.is_empty());
    own
}

fn at(path: &[i32], field: i32, index: usize) -> Vec<i32> {
    let index = i32::try_from(index).expect("a descriptor has fewer elements");
    [path, &[field, index]].concat()
}

/// Every element of the API: its name and the path of its source location.
fn elements(file: &FileDescriptorProto) -> Vec<(String, Vec<i32>)> {
    let mut all = Vec::new();
    for (i, message) in file.message_type.iter().enumerate() {
        message_elements(message, at(&[], FILE_MESSAGE, i), &mut all);
    }
    for (i, item) in file.enum_type.iter().enumerate() {
        enum_elements(item, at(&[], FILE_ENUM, i), &mut all);
    }
    for (i, service) in file.service.iter().enumerate() {
        let path = at(&[], FILE_SERVICE, i);
        for (j, method) in service.method.iter().enumerate() {
            all.push((method.name().to_owned(), at(&path, SERVICE_METHOD, j)));
        }
        all.push((service.name().to_owned(), path));
    }
    all
}

fn message_elements(message: &DescriptorProto, path: Vec<i32>, all: &mut Vec<(String, Vec<i32>)>) {
    let named = |name: &str| format!("{}.{name}", message.name());
    for (i, field) in message.field.iter().enumerate() {
        all.push((named(field.name()), at(&path, MESSAGE_FIELD, i)));
    }
    for (i, oneof) in message.oneof_decl.iter().enumerate() {
        // `optional` makes a oneof that stands nowhere in the source.
        if !oneof.name().starts_with('_') {
            all.push((named(oneof.name()), at(&path, MESSAGE_ONEOF, i)));
        }
    }
    for (i, nested) in message.nested_type.iter().enumerate() {
        message_elements(nested, at(&path, MESSAGE_NESTED, i), all);
    }
    for (i, item) in message.enum_type.iter().enumerate() {
        enum_elements(item, at(&path, MESSAGE_ENUM, i), all);
    }
    all.push((message.name().to_owned(), path));
}

fn enum_elements(item: &EnumDescriptorProto, path: Vec<i32>, all: &mut Vec<(String, Vec<i32>)>) {
    for (i, value) in item.value.iter().enumerate() {
        all.push((value.name().to_owned(), at(&path, ENUM_VALUE, i)));
    }
    all.push((item.name().to_owned(), path));
}

fn documented(info: &SourceCodeInfo, path: &[i32]) -> bool {
    info.location
        .iter()
        .any(|location| location.path == path && !location.leading_comments().trim().is_empty())
}

#[test]
fn every_element_of_the_api_is_documented() {
    let mut missing = Vec::new();
    for file in own_files() {
        let info = file.source_code_info.clone().unwrap_or_default();
        missing.extend(
            elements(&file)
                .into_iter()
                .filter(|(_, path)| !documented(&info, path))
                .map(|(name, _)| name),
        );
    }
    assert!(missing.is_empty(), "without a comment: {missing:?}");
}

#[test]
fn enum_values_carry_their_prefix_and_zero_is_unspecified() {
    for file in own_files() {
        for item in &file.enum_type {
            let prefix = screaming_snake(item.name());
            for value in &item.value {
                assert!(
                    value.name().starts_with(&format!("{prefix}_")),
                    "{} of {}",
                    value.name(),
                    item.name()
                );
            }
            let zero = item.value.iter().find(|value| value.number() == 0);
            assert_eq!(
                zero.map(|value| value.name().to_owned()),
                Some(format!("{prefix}_UNSPECIFIED"))
            );
        }
    }
}

fn screaming_snake(camel: &str) -> String {
    let mut out = String::new();
    for c in camel.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

#[test]
fn each_rpc_has_its_own_request_and_response() {
    let mut seen = HashSet::new();
    for service in own_files().iter().flat_map(|file| &file.service) {
        for method in &service.method {
            let name = method.name();
            assert_eq!(method.input_type(), format!(".herald.v1.{name}Request"));
            assert_eq!(method.output_type(), format!(".herald.v1.{name}Response"));
            seen.insert(name.to_owned());
        }
    }
    let promised = [
        "SendNotice",
        "BatchSendNotices",
        "ListNotices",
        "BatchGetPresence",
        "DisconnectUser",
        "PurgeUser",
        "ExplainNotice",
        "Broadcast",
    ];
    assert_eq!(seen, promised.map(str::to_owned).into());
}

#[test]
fn reflection_gets_a_closed_set_that_can_render_error_details() {
    let set = descriptors();
    let names: HashSet<_> = set.file.iter().map(FileDescriptorProto::name).collect();
    for file in &set.file {
        for dependency in &file.dependency {
            assert!(names.contains(dependency.as_str()), "{dependency} is missing");
        }
    }
    let details = set
        .file
        .iter()
        .find(|file| file.name() == "google/rpc/error_details.proto")
        .expect("part of the set");
    for name in ["BadRequest", "RetryInfo"] {
        assert!(details.message_type.iter().any(|message| message.name() == name));
    }
}
