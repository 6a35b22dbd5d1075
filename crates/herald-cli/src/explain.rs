//! `herald explain`: what became of one notice.

use std::{ffi::OsString, fmt::Write as _, process::ExitCode};

use clap::Parser;
use herald_notifier::explanation_json;
use herald_proto::{
    api::{ExplainNoticeRequest, ExplainNoticeResponse, SessionTrace},
    time::timestamp_to_rfc3339,
};
use herald_service::Exit;

use crate::{
    notifier::{Failed, Notifier},
    words,
};

/// Tell what became of one notice: who got it, who did not, and why
///
/// Asks a notifier, which looks at the inbox, at what was recorded of the notice's way, and asks the
/// gateways where the user's sessions stand. The way is recorded where the sender waited for
/// acknowledgements, and kept as long as the inbox keeps notices (24 h).
///
/// Exit codes: 0 told, 1 nothing is known of the notice, 64 wrong arguments, 69 the notifier cannot
/// be reached or is not able to answer now, 77 the caller may not ask, 70 anything else.
#[derive(Debug, Parser)]
#[command(name = "herald explain")]
struct Arguments {
    /// Whose inbox
    user: String,
    /// The notice's id, as sending answered it and clients see it in meta.id
    notice: String,
    /// Print the answer as JSON, as it is served over HTTP
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    notifier: Notifier,
}

pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Arguments = match words::parse("herald explain", arguments) {
        Ok(arguments) => arguments,
        Err(exit) => return exit.into(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("herald explain: {error}");
            return Exit::Internal.into();
        }
    };
    match runtime.block_on(ask(&arguments)) {
        Ok(text) => {
            println!("{text}");
            Exit::Clean.into()
        }
        Err(failed) => {
            eprintln!("herald explain: {failed}");
            failed.exit()
        }
    }
}

async fn ask(arguments: &Arguments) -> Result<String, Failed> {
    let Arguments { user, notice, json, notifier } = arguments;
    let message = ExplainNoticeRequest { user_id: user.clone(), notice_id: notice.clone() };
    let request = notifier.request(message)?;
    let mut client = notifier.connect().await?;
    let answer = client.explain_notice(request).await.map_err(Failed::Refused)?.into_inner();
    if *json {
        let json = explanation_json(&answer);
        return json.map_err(|error| Failed::Wrong(format!("the answer is no JSON: {error}")));
    }
    Ok(page(&answer))
}

/// The answer for people.
fn page(answer: &ExplainNoticeResponse) -> String {
    let mut page = format!("Notice {}\n", answer.notice_id);
    // Writing to a text does not fail.
    let mut line = |text: String| _ = writeln!(page, "{text}");
    line(answer.summary.clone());
    line("\nWhat happened".into());
    for finding in &answer.timeline {
        let time = finding.time.as_ref().map(timestamp_to_rfc3339).unwrap_or_default();
        line(format!("  {time}  {}", finding.text));
    }
    if !answer.gateways.is_empty() {
        line("\nGateways that held sessions of the user then".into());
    }
    for gateway in &answer.gateways {
        line(format!("  {}\n      {}", gateway.gateway, gateway.text));
    }
    if !answer.sessions.is_empty() {
        line("\nSessions".into());
    }
    for session in &answer.sessions {
        line(format!("  {}\n      {}", heading(session), session.text));
    }
    if answer.truncated {
        line("\nThere is more than fits here: only the first entries are listed.".into());
    }
    page.trim_end().to_owned()
}

/// What a session is called, and how far the notice came with it.
fn heading(session: &SessionTrace) -> String {
    let SessionTrace { session_id, gateway, namespace, device, .. } = session;
    let state = session.state().as_str_name().trim_start_matches("SESSION_STATE_").to_lowercase();
    let state = if state == "unspecified" { "nothing recorded".to_owned() } else { state };
    let device = device.as_deref().unwrap_or("a device without a name");
    format!("{state:<8} {device}, {namespace} on {gateway}, session {session_id}")
}

#[cfg(test)]
mod tests {
    use herald_proto::{
        api::{Finding, GatewayTrace, SessionState},
        time::timestamp_from_unix_ms,
    };

    use super::*;

    #[test]
    fn a_page_reads_from_the_whole_to_the_parts() {
        let session = SessionTrace {
            session_id: "ab".into(),
            gateway: "gw:1".into(),
            namespace: "/notice".into(),
            device: Some("phone".into()),
            state: SessionState::Acked.into(),
            text: "It has it.".into(),
            ..Default::default()
        };
        let unnamed = SessionTrace { device: None, state: 0, ..session.clone() };
        let text = |text: &str| text.to_owned();
        let answer = ExplainNoticeResponse {
            notice_id: text("1-0-00000001"),
            summary: text("All is well."),
            timeline: vec![Finding {
                time: Some(timestamp_from_unix_ms(1)),
                text: text("accepted"),
                ..Default::default()
            }],
            gateways: vec![GatewayTrace {
                gateway: text("gw:1"),
                text: text("It listened."),
                ..Default::default()
            }],
            sessions: vec![session, unnamed],
            truncated: true,
            ..Default::default()
        };
        let expected = "\
Notice 1-0-00000001
All is well.

What happened
  1970-01-01T00:00:00.001Z  accepted

Gateways that held sessions of the user then
  gw:1
      It listened.

Sessions
  acked    phone, /notice on gw:1, session ab
      It has it.
  nothing recorded a device without a name, /notice on gw:1, session ab
      It has it.

There is more than fits here: only the first entries are listed.";
        assert_eq!(page(&answer), expected);
    }
}
