//! The answer to ExplainNotice.

use herald_proto::{api, time::duration_to_string};
use serde::Serialize;

use super::time;

/// Answers ExplainNotice.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ExplainNotice<'a> {
    notice_id: &'a str,
    read_time: Option<String>,
    create_time: Option<String>,
    standing: &'static str,
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<String>,
    recorded: bool,
    retention: Option<String>,
    retries: u32,
    gateways: Vec<GatewayTrace<'a>>,
    sessions: Vec<SessionTrace<'a>>,
    timeline: Vec<Finding<'a>>,
    truncated: bool,
}

#[derive(Serialize)]
struct GatewayTrace<'a> {
    gateway: &'a str,
    hearing: &'static str,
    reported: bool,
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionTrace<'a> {
    session_id: &'a str,
    gateway: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    connect_time: Option<String>,
    target: bool,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emit_time: Option<String>,
    replayed: bool,
    gone_reason: &'static str,
    place: &'static str,
    source: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'a> {
    time: Option<String>,
    kind: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    text: &'a str,
}

impl<'a> From<&'a api::ExplainNoticeResponse> for ExplainNotice<'a> {
    fn from(response: &'a api::ExplainNoticeResponse) -> Self {
        let retention = response.retention.as_ref();
        Self {
            notice_id: &response.notice_id,
            read_time: time(response.read_time.as_ref()),
            create_time: time(response.create_time.as_ref()),
            standing: response.standing().as_str_name(),
            summary: &response.summary,
            event: response.event.as_deref(),
            stored_bytes: response.stored_bytes,
            expire_time: time(response.expire_time.as_ref()),
            recorded: response.recorded,
            retention: retention.and_then(|retention| duration_to_string(retention).ok()),
            retries: response.retries,
            gateways: response.gateways.iter().map(GatewayTrace::from).collect(),
            sessions: response.sessions.iter().map(SessionTrace::from).collect(),
            timeline: response.timeline.iter().map(Finding::from).collect(),
            truncated: response.truncated,
        }
    }
}

impl<'a> From<&'a api::GatewayTrace> for GatewayTrace<'a> {
    fn from(trace: &'a api::GatewayTrace) -> Self {
        Self {
            gateway: &trace.gateway,
            hearing: trace.hearing().as_str_name(),
            reported: trace.reported,
            text: &trace.text,
        }
    }
}

impl<'a> From<&'a api::SessionTrace> for SessionTrace<'a> {
    fn from(trace: &'a api::SessionTrace) -> Self {
        Self {
            session_id: &trace.session_id,
            gateway: &trace.gateway,
            namespace: &trace.namespace,
            device: trace.device.as_deref(),
            connect_time: time(trace.connect_time.as_ref()),
            target: trace.target,
            state: trace.state().as_str_name(),
            state_time: time(trace.state_time.as_ref()),
            emit_time: time(trace.emit_time.as_ref()),
            replayed: trace.replayed,
            gone_reason: trace.gone_reason().as_str_name(),
            place: trace.place().as_str_name(),
            source: trace.source().as_str_name(),
            text: &trace.text,
        }
    }
}

impl<'a> From<&'a api::Finding> for Finding<'a> {
    fn from(finding: &'a api::Finding) -> Self {
        Self {
            time: time(finding.time.as_ref()),
            kind: finding.kind().as_str_name(),
            source: finding.source().as_str_name(),
            gateway: finding.gateway.as_deref(),
            session_id: finding.session_id.as_deref(),
            text: &finding.text,
        }
    }
}
