//! What is wanted, reported and kept of a notice's way.

use bytes::Bytes;
use herald_core::{
    Cursor, Device, Epoch, GatewayId, GatewayName, Namespace, NotifierId, Place, SessionId,
};
use herald_proto::wire;
use prost::Message as _;

use super::unreadable;
use crate::{
    BackplaneError, GoneReason, Places, Receipt, ReceiptEvent, ReceiptState, ReceiptsWanted,
    Report, SessionPlace,
};

impl From<ReceiptsWanted> for wire::ReceiptsWanted {
    fn from(ReceiptsWanted { notifier, token, acks }: ReceiptsWanted) -> Self {
        Self { notifier: notifier.0, token, acks }
    }
}

impl From<wire::ReceiptsWanted> for ReceiptsWanted {
    fn from(wire::ReceiptsWanted { notifier, token, acks }: wire::ReceiptsWanted) -> Self {
        Self { notifier: NotifierId(notifier), token, acks }
    }
}

/// One message for a notifier; each report with the token of who wants it.
pub(crate) fn encode_reports<'a>(reports: impl Iterator<Item = (u64, &'a Report)>) -> Vec<u8> {
    let reports = reports.map(|(token, report)| encoded(token, report)).collect();
    wire::Reports { reports, places: Vec::new() }.encode_to_vec()
}

/// One message for a notifier: the answer to what it asked under that token.
pub(crate) fn encode_places(token: u64, places: &Places) -> Vec<u8> {
    let inbox_place = |Cursor { epoch, place }: Cursor| wire::InboxPlace {
        epoch: epoch.0,
        position: place.position.to_string(),
        random: place.random,
    };
    let sessions = places.sessions.iter().map(|session| wire::SessionPlace {
        session_id: Bytes::copy_from_slice(&session.session.0.to_be_bytes()),
        at: Some(inbox_place(session.at)),
        began: session.began.map(inbox_place),
        resumed: session.resumed,
        reading: session.reading,
        lagging: session.lagging,
    });
    let places = wire::Places {
        token,
        gateway_name: places.gateway_name.to_string(),
        gateway: places.gateway.0,
        sessions: sessions.collect(),
    };
    wire::Reports { reports: Vec::new(), places: vec![places] }.encode_to_vec()
}

/// A report as it is kept.
pub(crate) fn encode_report(report: &Report) -> Vec<u8> {
    encoded(0, report).encode_to_vec()
}

fn encoded(token: u64, report: &Report) -> wire::Report {
    wire::Report {
        token,
        gateway_name: report.gateway_name.to_string(),
        roll_call: report.roll_call.map(|gateway| gateway.0),
        receipts: report.receipts.iter().map(encoded_receipt).collect(),
    }
}

fn encoded_receipt(receipt: &Receipt) -> wire::Receipt {
    use wire::ReceiptState as Wire;
    let state = match receipt.state {
        ReceiptState::Accepted => Wire::Accepted,
        ReceiptState::Lagging => Wire::Lagging,
        ReceiptState::Emitted => Wire::Emitted,
        ReceiptState::Acked => Wire::Acked,
        ReceiptState::Gone => Wire::Gone,
    };
    wire::Receipt {
        session_id: Bytes::copy_from_slice(&receipt.session.0.to_be_bytes()),
        state: state.into(),
        at_ms: receipt.at_ms,
        namespace: receipt.namespace.to_string(),
        device: receipt.device.as_ref().map(ToString::to_string).unwrap_or_default(),
        connected_at_ms: receipt.connected_at_ms,
        replayed: receipt.replayed,
        gone: receipt.gone.map_or(wire::GoneReason::Unspecified, Into::into).into(),
    }
}

impl From<GoneReason> for wire::GoneReason {
    fn from(reason: GoneReason) -> Self {
        match reason {
            GoneReason::ClientLeft => Self::ClientLeft,
            GoneReason::ConnectionLost => Self::ConnectionLost,
            GoneReason::Silent => Self::Silent,
            GoneReason::TokenExpired => Self::TokenExpired,
            GoneReason::Kicked => Self::Kicked,
            GoneReason::Evicted => Self::Evicted,
            GoneReason::Purged => Self::Purged,
            GoneReason::Lagging => Self::Lagging,
            GoneReason::GatewayEnded => Self::GatewayEnded,
            GoneReason::Unregistered => Self::Unregistered,
        }
    }
}

fn gone_reason(reason: wire::GoneReason) -> Option<GoneReason> {
    use wire::GoneReason as Wire;
    Some(match reason {
        Wire::Unspecified => return None,
        Wire::ClientLeft => GoneReason::ClientLeft,
        Wire::ConnectionLost => GoneReason::ConnectionLost,
        Wire::Silent => GoneReason::Silent,
        Wire::TokenExpired => GoneReason::TokenExpired,
        Wire::Kicked => GoneReason::Kicked,
        Wire::Evicted => GoneReason::Evicted,
        Wire::Purged => GoneReason::Purged,
        Wire::Lagging => GoneReason::Lagging,
        Wire::GatewayEnded => GoneReason::GatewayEnded,
        Wire::Unregistered => GoneReason::Unregistered,
    })
}

/// Reads a message for a notifier.
pub(crate) fn decode_reports(message: Bytes) -> Result<Vec<ReceiptEvent>, BackplaneError> {
    let message = wire::Reports::decode(message)
        .map_err(|error| unreadable("a message of reports", error))?;
    let reports = message
        .reports
        .into_iter()
        .map(|report| Ok(ReceiptEvent::Report { token: report.token, report: decoded(report)? }));
    let places = message.places.into_iter().map(|places| {
        Ok(ReceiptEvent::Places { token: places.token, places: decoded_places(places)? })
    });
    reports.chain(places).collect()
}

fn decoded_places(places: wire::Places) -> Result<Places, BackplaneError> {
    let what = "places";
    let cursor = |place: wire::InboxPlace| -> Result<Cursor, BackplaneError> {
        let position = place.position.parse().map_err(|error| unreadable(what, error))?;
        Ok(Cursor { epoch: Epoch(place.epoch), place: Place { position, random: place.random } })
    };
    let session = |session: wire::SessionPlace| -> Result<SessionPlace, BackplaneError> {
        Ok(SessionPlace {
            session: session_id(what, &session.session_id)?,
            at: cursor(session.at.ok_or_else(|| unreadable(what, "one is missing"))?)?,
            began: session.began.map(cursor).transpose()?,
            resumed: session.resumed,
            reading: session.reading,
            lagging: session.lagging,
        })
    };
    Ok(Places {
        gateway: GatewayId(places.gateway),
        gateway_name: GatewayName::new(&places.gateway_name)
            .map_err(|error| unreadable(what, error))?,
        sessions: places.sessions.into_iter().map(session).collect::<Result<_, _>>()?,
    })
}

fn session_id(what: &str, bytes: &Bytes) -> Result<SessionId, BackplaneError> {
    let id = bytes.as_ref().try_into().map_err(|error| unreadable(what, error))?;
    Ok(SessionId(u128::from_be_bytes(id)))
}

/// Reads a kept report.
pub(crate) fn decode_report(kept: Bytes) -> Result<Report, BackplaneError> {
    decoded(wire::Report::decode(kept).map_err(|error| unreadable("a kept report", error))?)
}

fn decoded(report: wire::Report) -> Result<Report, BackplaneError> {
    let gateway_name =
        GatewayName::new(&report.gateway_name).map_err(|error| unreadable("a report", error))?;
    let receipts =
        report.receipts.into_iter().filter_map(|receipt| decoded_receipt(receipt).transpose());
    Ok(Report {
        gateway_name,
        roll_call: report.roll_call.map(GatewayId),
        receipts: receipts.collect::<Result<_, _>>()?,
    })
}

/// `None` for one of a state that this build does not know.
fn decoded_receipt(receipt: wire::Receipt) -> Result<Option<Receipt>, BackplaneError> {
    use wire::ReceiptState as Wire;
    let what = "a receipt";
    let state = match receipt.state() {
        Wire::Accepted => ReceiptState::Accepted,
        Wire::Lagging => ReceiptState::Lagging,
        Wire::Emitted => ReceiptState::Emitted,
        Wire::Acked => ReceiptState::Acked,
        Wire::Gone => ReceiptState::Gone,
        Wire::Unspecified => return Ok(None),
    };
    let gone = gone_reason(receipt.gone());
    Ok(Some(Receipt {
        session: session_id(what, &receipt.session_id)?,
        namespace: Namespace::new(&receipt.namespace).map_err(|error| unreadable(what, error))?,
        device: Device::new(&receipt.device).ok(),
        connected_at_ms: receipt.connected_at_ms,
        state,
        at_ms: receipt.at_ms,
        replayed: receipt.replayed,
        gone,
    }))
}

#[cfg(test)]
mod tests {
    use herald_core::Position;

    use super::*;

    fn a_report() -> Report {
        let receipt = |state| Receipt {
            session: SessionId::random(),
            namespace: Namespace::new("/notice").unwrap(),
            device: Device::new("phone").ok(),
            connected_at_ms: 5,
            state,
            at_ms: 7,
            replayed: state == ReceiptState::Emitted,
            gone: (state == ReceiptState::Gone).then_some(GoneReason::TokenExpired),
        };
        let states = [
            ReceiptState::Accepted,
            ReceiptState::Lagging,
            ReceiptState::Emitted,
            ReceiptState::Acked,
            ReceiptState::Gone,
        ];
        Report {
            gateway_name: GatewayName::new("gw:1").unwrap(),
            roll_call: Some(GatewayId(0)),
            receipts: states.map(receipt).to_vec(),
        }
    }

    #[test]
    fn reports_are_read_as_they_were_written() {
        let (first, second) = (a_report(), Report { roll_call: None, ..a_report() });
        let message = encode_reports([(1, &first), (u64::MAX, &second)].into_iter());
        let event = |token, report| ReceiptEvent::Report { token, report };
        let expected = vec![event(1, first.clone()), event(u64::MAX, second)];
        assert_eq!(decode_reports(message.into()).unwrap(), expected);
        assert_eq!(decode_report(encode_report(&first).into()).unwrap(), first);
        assert!(decode_reports(Bytes::from_static(b"\xff")).is_err());
    }

    #[test]
    fn every_reason_is_read_as_it_was_written() {
        let mut known = 0;
        for number in 0.. {
            let Ok(wire) = wire::GoneReason::try_from(number) else { break };
            if let Some(reason) = gone_reason(wire) {
                assert_eq!(wire::GoneReason::from(reason), wire);
                known += 1;
            }
        }
        assert_eq!(known, 10);
    }

    #[test]
    fn places_are_read_as_they_were_written() {
        let cursor = |ms| Cursor {
            epoch: Epoch(ms),
            place: Place { position: Position { ms, seq: 1 }, random: 7 },
        };
        let session = |began, flag| SessionPlace {
            session: SessionId::random(),
            at: cursor(9),
            began,
            resumed: flag,
            reading: !flag,
            lagging: flag,
        };
        let places = Places {
            gateway: GatewayId(3),
            gateway_name: GatewayName::new("gw:1").unwrap(),
            sessions: vec![session(None, false), session(Some(cursor(5)), true)],
        };
        let message = encode_places(4, &places);
        let expected = vec![ReceiptEvent::Places { token: 4, places }];
        assert_eq!(decode_reports(message.into()).unwrap(), expected);
    }

    #[test]
    fn a_state_that_is_not_known_is_left_out() {
        let mut report = encoded(0, &a_report());
        report.receipts[0].state = 99;
        assert_eq!(decoded(report).unwrap().receipts.len(), 4);
    }
}
