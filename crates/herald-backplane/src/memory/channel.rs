//! The channel to one gateway.

use herald_core::GatewayId;
use tokio::sync::{
    mpsc::{self, OwnedPermit, error::TrySendError},
    watch,
};

use crate::{
    Clock, GatewayEvent, GatewayEvents, Health,
    events::{Queued, Room},
    figures,
};

/// A bounded channel on which a doubt and the end always find room: their
/// places are reserved before they are needed, so that neither has to wait for
/// a reader, or for a task that waits for one.
#[derive(Debug)]
pub(super) struct Channel {
    gateway: GatewayId,
    sender: mpsc::Sender<Queued>,
    /// Absent from when a doubt was sent until there is room again. While it is
    /// absent and the channel is full, that doubt is still unread.
    doubt: Option<OwnedPermit<Queued>>,
    end: OwnedPermit<Queued>,
    room: Room,
}

impl Channel {
    /// Opens one on which `capacity` notices may wait.
    pub(super) fn open(gateway: GatewayId, capacity: usize) -> (Self, GatewayEvents) {
        let (sender, receiver) = mpsc::channel(capacity.max(1) + 2);
        let reserve =
            || sender.clone().try_reserve_owned().expect("a new channel has room for two");
        let (doubt, end) = (Some(reserve()), reserve());
        (
            Self { gateway, sender, doubt, end, room: Room::new() },
            GatewayEvents::new(receiver, Clock::System, watch::channel(Health::Ready).1),
        )
    }

    /// Whether anybody listens.
    pub(super) fn is_heard(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Tells the gateway and returns whether it listens. If the channel is full,
    /// `event` is dropped and the gateway will hear that it has to doubt: a
    /// doubt that it reads after this call returned, and so covers the drop.
    pub(super) fn tell(&mut self, event: Queued) -> bool {
        if event.is_volatile() {
            return self.tell_volatile(event);
        }
        // The doubt's place comes first, before notices fill the last one.
        if self.doubt.is_none() {
            self.doubt = self.sender.clone().try_reserve_owned().ok();
        }
        match self.sender.try_send(event) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                figures::dropped("full");
                if let Some(permit) = self.doubt.take() {
                    tracing::warn!(gateway = %self.gateway, "gateway's channel is full, notices are dropped");
                    permit.send(GatewayEvent::Doubt.into());
                }
                true
            }
        }
    }

    /// Nothing that is read would make good for a volatile notice: no doubt follows.
    fn tell_volatile(&self, mut event: Queued) -> bool {
        if !self.room.hold(&mut event) {
            figures::dropped("full_volatile");
            return self.is_heard();
        }
        match self.sender.try_send(event) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                figures::dropped("full_volatile");
                true
            }
        }
    }

    /// Says that the lease is lost; nothing further comes.
    pub(super) fn lose(self) {
        self.end.send(GatewayEvent::LeaseLost.into());
    }
}

#[cfg(test)]
mod tests {
    use herald_core::{Place, Position, UserId};

    use super::*;
    use crate::Announced;

    fn notice(ms: u64) -> GatewayEvent {
        let place = Place { position: Position { ms, seq: 0 }, random: 0 };
        let user = UserId::new("alice").unwrap();
        GatewayEvent::Notice(Announced {
            user,
            place,
            previous: Position::ZERO,
            previous_random: Some(0),
            notice: None,
            receipts: None,
        })
    }

    #[tokio::test]
    async fn every_drop_is_followed_by_a_doubt() {
        let (mut channel, mut events) = Channel::open(GatewayId(1), 2);
        for round in 0..50 {
            let told: Vec<_> = (0..5).map(|n| notice(round * 10 + n)).collect();
            assert!(told.iter().all(|event| channel.tell(event.clone().into())));
            assert_eq!(events.next().await.as_ref(), Some(&told[0]));
            assert_eq!(events.next().await.as_ref(), Some(&told[1]));
            assert_eq!(events.next().await, Some(GatewayEvent::Doubt));
        }
        assert!(channel.tell(notice(1_000).into()));
        assert_eq!(events.next().await, Some(notice(1_000)));
    }

    #[tokio::test]
    async fn a_drop_while_a_doubt_is_unread_is_covered_by_it() {
        let (mut channel, mut events) = Channel::open(GatewayId(1), 2);
        for n in 0..9 {
            channel.tell(notice(n).into());
        }
        assert_eq!(events.next().await, Some(notice(0)));
        assert_eq!(events.next().await, Some(notice(1)));
        channel.tell(notice(9).into());
        assert_eq!(events.next().await, Some(GatewayEvent::Doubt));
        assert_eq!(events.next().await, Some(notice(9)));
    }

    #[tokio::test]
    async fn a_volatile_notice_that_finds_no_room_is_dropped_without_a_doubt() {
        let (mut channel, mut events) = Channel::open(GatewayId(1), 1);
        let broadcast = |bytes: usize| {
            let payload = herald_core::Payload::from_trusted(vec![b'0'; bytes].into());
            let event = herald_core::EventName::notice();
            let notice = herald_core::Notice { event, payload, traceparent: None };
            let id = herald_core::VolatileId::random();
            GatewayEvent::Broadcast(crate::VolatileNotice { id, sent_at_ms: 1, notice })
        };
        assert!(channel.tell(broadcast(65 << 20).into()), "too large in bytes");
        let first = broadcast(40 << 20);
        assert!(channel.tell(first.clone().into()));
        assert!(channel.tell(broadcast(1).into()), "too many");
        assert_eq!(events.next().await, Some(first));
        let second = broadcast(40 << 20);
        assert!(channel.tell(second.clone().into()), "what was taken makes room");
        assert_eq!(events.next().await, Some(second));
        assert!(channel.tell(notice(1).into()));
        assert_eq!(events.next().await, Some(notice(1)), "no doubt in between");
    }

    #[tokio::test]
    async fn a_full_channel_still_tells_of_its_end() {
        let (mut channel, mut events) = Channel::open(GatewayId(1), 1);
        channel.tell(notice(1).into());
        channel.tell(notice(2).into());
        channel.lose();
        assert_eq!(events.next().await, Some(notice(1)));
        assert_eq!(events.next().await, Some(GatewayEvent::Doubt));
        assert_eq!(events.next().await, Some(GatewayEvent::LeaseLost));
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn what_expired_while_it_waited_is_left_to_be_read() {
        let (mut channel, mut events) = Channel::open(GatewayId(1), 3);
        let payload = herald_core::Payload::from_trusted("1".into());
        let event = herald_core::EventName::notice();
        let sent = herald_core::Notice { event, payload, traceparent: None };
        for (expires_at_ms, is_there) in [(1, false), (u64::MAX, true), (0, true)] {
            let GatewayEvent::Notice(announced) = notice(1) else { unreachable!() };
            let announced = Announced { notice: Some(sent.clone()), ..announced };
            assert!(channel.tell(Queued::notice(announced, expires_at_ms)));
            let Some(GatewayEvent::Notice(heard)) = events.next().await else { panic!() };
            assert_eq!(heard.notice.is_some(), is_there, "{expires_at_ms}");
        }
    }

    #[tokio::test]
    async fn who_dropped_its_end_does_not_hear() {
        let (mut channel, events) = Channel::open(GatewayId(1), 1);
        assert!(channel.is_heard());
        drop(events);
        assert!(!channel.is_heard());
        assert!(!channel.tell(notice(1).into()));
    }
}
