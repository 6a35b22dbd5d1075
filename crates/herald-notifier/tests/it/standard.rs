//! The standard services beside ours: health and reflection.

use herald_proto::api::notice_service_server::SERVICE_NAME;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

use crate::harness::{Herald, eventually, in_time};

#[tokio::test]
async fn health_follows_readiness_for_the_server_and_the_service() {
    let herald = Herald::start().await;
    in_time(herald.readiness.until_ready()).await;
    let health = HealthClient::new(herald.channel().await);
    let becomes = async |expected: ServingStatus| {
        for service in ["", SERVICE_NAME] {
            let request = HealthCheckRequest { service: service.into() };
            eventually(|| async {
                let answer = health.clone().check(request.clone()).await.unwrap().into_inner();
                (answer.status() == expected).then_some(())
            })
            .await;
        }
    };
    becomes(ServingStatus::Serving).await;
    let other = herald.readiness.condition("something else");
    becomes(ServingStatus::NotServing).await;
    other.set_ready();
    becomes(ServingStatus::Serving).await;
}

macro_rules! reflect {
    ($version:ident, $herald:expr) => {{
        use $version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut client = ServerReflectionClient::new($herald.channel().await);
        let ask = |message_request| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message_request),
        };
        let questions = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol(SERVICE_NAME.into())),
            ask(MessageRequest::FileContainingSymbol("google.rpc.BadRequest".into())),
        ];
        let questions = futures_util::stream::iter(questions);
        let mut answers = client.server_reflection_info(questions).await.unwrap().into_inner();
        let mut next =
            async || in_time(answers.message()).await.unwrap().unwrap().message_response.unwrap();
        let MessageResponse::ListServicesResponse(list) = next().await else { panic!("no list") };
        for _ in 0..2 {
            let MessageResponse::FileDescriptorResponse(file) = next().await else {
                panic!("no descriptor")
            };
            assert!(!file.file_descriptor_proto.is_empty());
        }
        list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
    }};
}

#[tokio::test]
async fn reflection_lists_the_service_in_both_versions() {
    let herald = Herald::start().await;
    for services in [reflect!(v1, herald), reflect!(v1alpha, herald)] {
        for expected in [SERVICE_NAME, "grpc.health.v1.Health"] {
            assert!(services.iter().any(|name| name == expected), "{services:?}");
        }
    }
}
