//! Why a session ended.

use herald_backplane::{EndReason, GoneReason};

use crate::edge::CloseReason;

/// Why a session ended, as far as is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndCause {
    TransportClose,
    MultiplePolls,
    BadPacket,
    TransportError,
    Heartbeat,
    /// Its client left the namespace.
    Client,
    /// Socket.IO's own disconnect.
    Server,
    /// The gateway stops.
    Closing,
    /// The gateway sends it elsewhere.
    Draining,
    /// Before anything was sent.
    Early,
    /// Found gone.
    Lost,
    /// For good.
    Ended(EndReason),
}

impl EndCause {
    /// All of them, to declare their figures.
    pub(crate) const ALL: [Self; 14] = [
        Self::TransportClose,
        Self::MultiplePolls,
        Self::BadPacket,
        Self::TransportError,
        Self::Heartbeat,
        Self::Client,
        Self::Server,
        Self::Closing,
        Self::Draining,
        Self::Early,
        Self::Lost,
        Self::Ended(EndReason::Kicked),
        Self::Ended(EndReason::Evicted),
        Self::Ended(EndReason::Purged),
    ];

    /// The cause as a label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TransportClose => "transport_close",
            Self::MultiplePolls => "multiple_polls",
            Self::BadPacket => "bad_packet",
            Self::TransportError => "transport_error",
            Self::Heartbeat => "heartbeat",
            Self::Client => "client",
            Self::Server => "server",
            Self::Closing => "closing",
            Self::Draining => "draining",
            Self::Early => "early",
            Self::Lost => "lost",
            Self::Ended(why) => why.as_str(),
        }
    }

    /// What senders are told. `closed` is why the gateway had closed the session's transport, if it
    /// had: Socket.IO knows nothing of that.
    pub(crate) fn gone(self, closed: Option<CloseReason>) -> Option<GoneReason> {
        match (self, closed) {
            (Self::Ended(EndReason::Kicked), _) => Some(GoneReason::Kicked),
            (Self::Ended(EndReason::Evicted), _) => Some(GoneReason::Evicted),
            (Self::Ended(EndReason::Purged), _) => Some(GoneReason::Purged),
            (Self::Closing | Self::Draining, _) => Some(GoneReason::GatewayEnded),
            (_, Some(closed)) => Some(match closed {
                CloseReason::Expired => GoneReason::TokenExpired,
                CloseReason::Lagging => GoneReason::Lagging,
                CloseReason::Draining | CloseReason::Shutdown => GoneReason::GatewayEnded,
                CloseReason::Kicked => GoneReason::Kicked,
                CloseReason::Evicted => GoneReason::Evicted,
                CloseReason::Unregistered | CloseReason::Unauthenticated => {
                    GoneReason::Unregistered
                }
            }),
            (Self::Heartbeat, None) => Some(GoneReason::Silent),
            (Self::Client, None) => Some(GoneReason::ClientLeft),
            (
                Self::TransportClose | Self::TransportError | Self::MultiplePolls | Self::BadPacket,
                None,
            ) => Some(GoneReason::ConnectionLost),
            (Self::Server | Self::Early | Self::Lost, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_did_itself_goes_before_what_socketio_says() {
        let expired = Some(CloseReason::Expired);
        assert_eq!(EndCause::TransportClose.gone(expired), Some(GoneReason::TokenExpired));
        assert_eq!(EndCause::TransportClose.gone(None), Some(GoneReason::ConnectionLost));
        assert_eq!(EndCause::Ended(EndReason::Kicked).gone(expired), Some(GoneReason::Kicked));
        assert_eq!(EndCause::Lost.gone(None), None, "nobody saw why");
    }
}
