//! What is wanted, reported and kept of a notice's way.

use bytes::Bytes;
use herald_core::{Device, GatewayId, GatewayName, Namespace, NotifierId, SessionId};
use herald_proto::wire;
use prost::Message as _;

use super::unreadable;
use crate::{BackplaneError, Receipt, ReceiptState, ReceiptsWanted, Report};

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
    wire::Reports { reports }.encode_to_vec()
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
    }
}

/// Reads a message for a notifier.
pub(crate) fn decode_reports(message: Bytes) -> Result<Vec<(u64, Report)>, BackplaneError> {
    let message = wire::Reports::decode(message)
        .map_err(|error| unreadable("a message of reports", error))?;
    message.reports.into_iter().map(|report| Ok((report.token, decoded(report)?))).collect()
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
    let id = receipt.session_id.as_ref().try_into().map_err(|error| unreadable(what, error))?;
    Ok(Some(Receipt {
        session: SessionId(u128::from_be_bytes(id)),
        namespace: Namespace::new(&receipt.namespace).map_err(|error| unreadable(what, error))?,
        device: Device::new(&receipt.device).ok(),
        connected_at_ms: receipt.connected_at_ms,
        state,
        at_ms: receipt.at_ms,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_report() -> Report {
        let receipt = |state| Receipt {
            session: SessionId::random(),
            namespace: Namespace::new("/notice").unwrap(),
            device: Device::new("phone").ok(),
            connected_at_ms: 5,
            state,
            at_ms: 7,
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
        let expected = vec![(1, first.clone()), (u64::MAX, second)];
        assert_eq!(decode_reports(message.into()).unwrap(), expected);
        assert_eq!(decode_report(encode_report(&first).into()).unwrap(), first);
        assert!(decode_reports(Bytes::from_static(b"\xff")).is_err());
    }

    #[test]
    fn a_state_that_is_not_known_is_left_out() {
        let mut report = encoded(0, &a_report());
        report.receipts[0].state = 99;
        assert_eq!(decoded(report).unwrap().receipts.len(), 4);
    }
}
