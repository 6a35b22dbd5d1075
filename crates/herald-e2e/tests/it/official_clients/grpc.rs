//! Callers on Node: by the proto files, and by reflection.

use serde_json::{Value, json};

use super::{Client, Language::JavaScript, PATIENCE, check_meta, herald, notice, ready};

#[tokio::test]
async fn node_calls_over_grpc_by_the_proto_files_and_by_reflection() {
    let mut sandbox = herald().await;
    let gateway = sandbox.gateways[0].address();
    let mut alice = Client::new(JavaScript, gateway, "alice").start(&mut sandbox);
    ready(&mut alice).await;
    let address = sandbox.notifier().grpc_address().to_string();
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    for protos in [Some(protos), None] {
        // Only from the files does the loader make camelCase of names.
        let case = |name: &'static str, reflected| if protos.is_some() { name } else { reflected };
        let (user_id, user_ids) = (case("userId", "user_id"), case("userIds", "user_ids"));
        let mut call = async |service: &str, method: &str, request: Value| {
            let mut config = json!({"address": address, "service": service, "method": method,
                "request": request});
            if let Some(protos) = protos {
                config["protos"] = json!(protos);
            }
            sandbox.node("grpc-send.mjs", &config).unwrap().next(PATIENCE).await.unwrap()
        };
        const NOTICES: &str = "herald.v1.NoticeService";

        let json = r#"{"n":9007199254740993,"list":[]}"#;
        let request = json!({user_id: "alice", "json": json});
        let answer = call(NOTICES, "sendNotice", request).await;
        assert_eq!(answer["response"]["outcome"], "OUTCOME_ACCEPTED", "{answer}");
        let (_, payload, meta) = notice(&mut alice).await;
        assert_eq!(payload, json!({"n": 9_007_199_254_740_992_u64, "list": []}));
        check_meta(
            &meta,
            answer["response"][case("noticeId", "notice_id")].as_str().unwrap(),
            false,
        );

        // `data` is a google.protobuf.Value.
        let data = json!({case("stringValue", "string_value"): "ü"});
        let request = json!({user_id: "alice", "event": "order.shipped", "data": data});
        let answer = call(NOTICES, "sendNotice", request).await;
        assert_eq!(answer["type"], "response", "{answer}");
        let (event, payload, _) = notice(&mut alice).await;
        assert_eq!((event.as_str(), payload), ("order.shipped", json!("ü")));

        let answer = call(NOTICES, "batchGetPresence", json!({user_ids: ["alice", "bob"]})).await;
        let users = &answer["response"]["users"];
        assert_eq!(
            (&users[0]["online"], &users[1]["online"]),
            (&json!(true), &json!(false)),
            "{answer}"
        );

        let answer = call(NOTICES, "sendNotice", json!({user_id: "", "json": "1"})).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(3)), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("user_id"), "{answer}");

        if protos.is_none() {
            for service in ["", NOTICES] {
                let answer =
                    call("grpc.health.v1.Health", "check", json!({"service": service})).await;
                assert_eq!(answer["response"]["status"], "SERVING", "{answer}");
            }
        }
    }
}
