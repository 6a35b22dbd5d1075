//! The OpenAPI description says what the protos say, and the server does what it says.

use std::collections::BTreeSet;

use herald_proto::api::FILE_DESCRIPTOR_SET;
use http::Method;
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use serde_json::Value;

use crate::harness::{Herald, connect};

fn openapi() -> Value {
    serde_json::from_str(include_str!("../../openapi/openapi.json")).unwrap()
}

fn descriptors() -> Vec<prost_types::FileDescriptorProto> {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file;
    files.into_iter().filter(|file| file.package() == "herald.v1").collect()
}

type Names = BTreeSet<String>;

fn keys(object: &Value) -> Names {
    object.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

/// The fields of a message as JSON calls them: both ways to give a payload are `data`.
fn json_names(message: &DescriptorProto) -> Names {
    let name = |name: &str| match name {
        "json" => "data".to_owned(),
        name => name.to_owned(),
    };
    message.field.iter().map(|field| name(field.json_name())).collect()
}

/// What a GET of the path is told.
fn parameters(api: &Value, path: &str) -> Names {
    let parameters = api["paths"][path]["get"]["parameters"].as_array().unwrap();
    parameters.iter().filter_map(|p| p["name"].as_str().map(str::to_owned)).collect()
}

fn operations(api: &Value) -> Vec<(Method, String, Value)> {
    let paths = api["paths"].as_object().unwrap();
    let of_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap().clone();
        let path = path.clone();
        methods.into_iter().map(move |(method, operation)| {
            (method.to_uppercase().parse().unwrap(), path.clone(), operation)
        })
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn every_rpc_is_an_operation() {
    let api = openapi();
    let rpcs: Names = descriptors()
        .iter()
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method)
        .map(|method| {
            let (first, rest) = method.name().split_at(1);
            format!("{}{rest}", first.to_lowercase())
        })
        .collect();
    let described: Names = operations(&api)
        .into_iter()
        .map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(described, rpcs);
}

#[test]
fn every_message_and_enum_is_described_with_the_same_names() {
    let api = openapi();
    let schemas = &api["components"]["schemas"];
    let mut checked = 0;
    for file in descriptors() {
        for message in &file.message_type {
            let mut expected = json_names(message);
            let described = match message.name() {
                // What stands in the path or the query is no body.
                "ListNoticesRequest" => parameters(&api, "/v1/users/{userId}/notices"),
                "ExplainNoticeRequest" => {
                    parameters(&api, "/v1/users/{userId}/notices/{noticeId}:explain")
                }
                name => {
                    if ["DisconnectUserRequest", "PurgeUserRequest"].contains(&name) {
                        expected.remove("userId");
                    }
                    assert!(schemas[name].is_object(), "{name} is not described");
                    keys(&schemas[name]["properties"])
                }
            };
            assert_eq!(described, expected, "{}", message.name());
            checked += 1;
        }
        for kind in &file.enum_type {
            let expected: Vec<&str> = kind.value.iter().map(|value| value.name()).collect();
            assert_eq!(
                schemas[kind.name()]["enum"],
                serde_json::json!(expected),
                "{}",
                kind.name()
            );
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

#[tokio::test]
async fn it_is_served_and_every_operation_is_there() {
    let herald = Herald::start().await;
    let answer = herald.get("/openapi.json").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json(), openapi());
    let sent = herald.post("/v1/notices", r#"{"userId":"alice","data":1}"#).await.json();
    let notice = sent["noticeId"].as_str().unwrap();
    let mut operations = operations(&openapi());
    // Afterwards there is nothing to be explained.
    operations.sort_by_key(|(_, path, _)| path.ends_with(":purge"));
    for (method, path, operation) in operations {
        let path = path.replace("{userId}", "alice").replace("{noticeId}", notice);
        let request = herald.build(method, &path, Some("application/json"), "{}");
        let status = herald.request(request).await.status;
        assert!(status != 404 && status != 405, "{path} answers {status}");
        let told = keys(&operation["responses"]);
        assert!(told.contains(status.as_str()) || told.contains("default"), "{path}: {status}");
    }
}

/// Whether `value` has what the schema requires and nothing that it does not name.
fn conforms(api: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        return conforms(api, &api["components"]["schemas"][name], value, at);
    }
    match schema["type"].as_str() {
        Some("object") => {
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                assert!(value.get(name).is_some(), "{at}.{name} is missing: {value}");
            }
            for (name, value) in value.as_object().unwrap_or_else(|| panic!("{at}: {value}")) {
                let schema = &schema["properties"][name];
                assert!(schema.is_object(), "{at}.{name} is not described");
                conforms(api, schema, value, &format!("{at}.{name}"));
            }
        }
        Some("array") => {
            for item in value.as_array().unwrap_or_else(|| panic!("{at}: {value}")) {
                conforms(api, &schema["items"], item, &format!("{at}[]"));
            }
        }
        Some("string") => assert!(value.is_string(), "{at}: {value}"),
        Some("boolean") => assert!(value.is_boolean(), "{at}: {value}"),
        Some("integer") => assert!(value.is_u64(), "{at}: {value}"),
        _ => {}
    }
    if let Some(known) = schema["enum"].as_array() {
        assert!(known.contains(value), "{at}: {value}");
    }
}

#[tokio::test]
async fn answers_are_as_described() {
    let herald = Herald::start().await;
    let (gateway, _events) = herald.gateway("gateway-1:8013").await;
    connect(&gateway, "gateway-1:8013", "alice", 1_000).await;
    let api = openapi();
    let schema = |name: &str| api["components"]["schemas"][name].clone();
    let check = |name: &str, value: Value| conforms(&api, &schema(name), &value, name);

    let sent = herald.post("/v1/notices", r#"{"userId":"alice","data":1}"#).await.json();
    assert_eq!(sent["sessions"].as_array().unwrap().len(), 1);
    let notice = sent["noticeId"].as_str().unwrap().to_owned();
    check("SendNoticeResponse", sent);
    let batch = r#"{"items":[{"ref":"a","notice":{"userId":"alice","data":1}},{}]}"#;
    check("BatchSendNoticesResponse", herald.post("/v1/notices:batch", batch).await.json());
    let page = herald.get("/v1/users/alice/notices").await.json();
    assert_eq!(page["notices"].as_array().unwrap().len(), 2);
    check("ListNoticesResponse", page);
    let presence = herald.post("/v1/presence:query", r#"{"userIds":["alice","bob"]}"#).await.json();
    assert_eq!(presence["users"][0]["sessions"].as_array().unwrap().len(), 1);
    check("BatchGetPresenceResponse", presence);
    let explained = format!("/v1/users/alice/notices/{notice}:explain");
    let explained = herald.get(&explained).await.json();
    assert_eq!(explained["sessions"].as_array().unwrap().len(), 1);
    assert!(!explained["timeline"].as_array().unwrap().is_empty());
    check("ExplainNoticeResponse", explained);
    let unknown = herald.get("/v1/users/alice/notices/1-0-00000000:explain").await;
    assert_eq!(unknown.status, 404);
    check("Status", unknown.json());
    check("Status", herald.post("/v1/notices", "{}").await.json());
    check("Status", herald.get("/nowhere").await.json());
}
