//! Everything together: an inbox, hints on their way, a session that reads and emits, a client
//! that comes and goes, and audits.

use std::collections::VecDeque;

use herald_backplane::{Announced, Page, Since};
use herald_core::{Cursor, Place, UserId};

use super::{
    Dice,
    client::{Client, Order, Packet},
    inbox::{Inbox, notice},
};
use crate::delivery::{Delivery, Next, Verdict};

pub(super) struct World<'t> {
    inbox: Inbox,
    /// Hints on their way, in any order.
    hints: Vec<Announced>,
    session: Option<Session>,
    client: Client,
    from_start: bool,
    /// Whether there are audits. Without them a session has to come to rest by what it hears
    /// alone, and nothing happens that only audits find out: they would cover up other faults.
    audits: bool,
    /// A hint was lost, and nothing came after it that would make the session read.
    silent: bool,
    user: UserId,
    now: u64,
    trace: Option<&'t mut Vec<String>>,
}

/// What `session.rs` and `catch_up.rs` do, one step at a time.
struct Session {
    delivery: Delivery,
    new: bool,
    /// The next read registers.
    register: bool,
    /// Whether the registry has it, so that hints are sent.
    registered: bool,
    asked: Option<Since>,
    /// The page read, when, and how much of it was looked at.
    page: Option<(Page, u64)>,
    waiting: Option<Place>,
    /// Packets that the socket takes before it refuses one.
    room: Option<u64>,
    /// Emitted, and not with the client yet.
    wire: VecDeque<Packet>,
    order: Order,
    audit: Audit,
}

/// How far an audit is that looks at the session.
#[derive(Clone, Copy)]
enum Audit {
    Idle,
    Asking { was: Cursor },
    Answered { was: Cursor, tip: Cursor, registered: bool },
}

impl Session {
    fn new(since: Since) -> Self {
        Self {
            delivery: Delivery::new(since),
            new: true,
            register: true,
            registered: false,
            asked: None,
            page: None,
            waiting: None,
            room: None,
            wire: VecDeque::new(),
            order: Order::default(),
            audit: Audit::Idle,
        }
    }

    fn say(&mut self, packet: Packet) -> Result<(), String> {
        self.order.emits(&packet)?;
        self.wire.push_back(packet);
        Ok(())
    }

    /// Whether the socket takes the notice at `place`.
    fn emit(&mut self, place: Place) -> Result<bool, String> {
        match &mut self.room {
            Some(0) => {
                self.room = None;
                return Ok(false);
            }
            Some(room) => *room -= 1,
            None => {}
        }
        let epoch = self.delivery.cursor().epoch;
        self.say(Packet::Notice(Cursor { epoch, place }))?;
        self.delivery.emitted(place);
        Ok(true)
    }

    fn hear(&mut self, announced: &Announced) -> Result<(), String> {
        if self.delivery.announced(announced) == Verdict::Emit && !self.emit(announced.place)? {
            self.delivery.refused();
        }
        Ok(())
    }

    /// The next thing that a catch-up does.
    fn catch_up(&mut self, inbox: &Inbox, now: u64) -> Result<(), String> {
        if let Some(place) = self.waiting.take() {
            if !self.emit(place)? {
                self.waiting = Some(place);
            }
        } else if let Some((page, read_at)) = self.page.take() {
            self.take(&page, read_at)?;
        } else if let Some(since) = self.asked.take() {
            self.registered |= std::mem::take(&mut self.register);
            self.page = Some((inbox.page(since), now));
        } else if self.delivery.settled().is_none() {
            self.asked = Some(self.delivery.begin_read());
        }
        Ok(())
    }

    fn take(&mut self, page: &Page, read_at: u64) -> Result<(), String> {
        let gap = self.delivery.accept(page);
        if std::mem::take(&mut self.new) {
            self.say(Packet::Ready(self.delivery.cursor()))?;
        }
        if let Some(gap) = gap {
            self.say(Packet::Gap(gap, read_at))?;
        }
        for place in page.notices.iter().map(|notice| notice.place) {
            if self.delivery.wants(place) && !self.emit(place)? {
                self.waiting = Some(place);
                self.delivery.refused();
                return Ok(());
            }
        }
        if self.delivery.finish(page) == Next::Live && self.delivery.settled().is_none() {
            return Err("live, and yet it reads".into());
        }
        Ok(())
    }

    /// The next thing that an audit does.
    fn audit(&mut self, inbox: &Inbox, doubted: bool) {
        self.audit = match self.audit {
            Audit::Idle => match self.delivery.settled() {
                Some(was) => Audit::Asking { was },
                None if doubted => {
                    self.delivery.doubt();
                    Audit::Idle
                }
                None => Audit::Idle,
            },
            Audit::Asking { was } => {
                Audit::Answered { was, tip: inbox.tip(), registered: self.registered }
            }
            Audit::Answered { was, tip, registered } => {
                if !registered {
                    self.register = true;
                    self.delivery.doubt();
                } else if tip != was {
                    self.delivery.audited(was, tip);
                }
                Audit::Idle
            }
        };
    }

    fn is_at_rest(&self, inbox: &Inbox) -> bool {
        let settled = self.delivery.settled() == Some(inbox.tip());
        settled && self.registered && self.wire.is_empty() && self.waiting.is_none()
    }
}

impl<'t> World<'t> {
    pub(super) fn new(dice: &mut Dice, trace: Option<&'t mut Vec<String>>) -> Self {
        let mut inbox = Inbox::new(1 + dice.below(4) as usize);
        for _ in 0..dice.below(5) {
            inbox.append(1);
        }
        Self {
            inbox,
            hints: Vec::new(),
            session: None,
            client: Client::default(),
            from_start: dice.one_in(2),
            audits: dice.one_in(2),
            silent: false,
            user: UserId::new("alice").unwrap(),
            now: 0,
            trace,
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let session = self.session.as_ref().map(|session| &session.delivery);
            trace.push(format!("{} · inbox {} · before it {session:?}", what(), self.inbox.tip()));
        }
    }

    pub(super) fn step(&mut self, dice: &mut Dice) -> Result<(), String> {
        self.now += 1;
        let silently = self.audits;
        match dice.below(100) {
            0..20 => self.publish(dice.one_in(4), dice.below(3)),
            20..40 if !self.hints.is_empty() => {
                let which = dice.below(self.hints.len() as u64) as usize;
                self.arrive(which, dice.one_in(4))?;
            }
            20..62 => self.read()?,
            62..76 => self.receive(1 + dice.below(4))?,
            76..84 => self.audit(),
            84..87 => self.channel_lost(),
            87..90 => {
                let room = dice.below(4);
                self.note(|| format!("room for {room}"));
                if let Some(session) = &mut self.session {
                    session.room = Some(room);
                }
            }
            90..93 => {
                let keep = dice.below(6) as usize;
                self.note(|| format!("only {keep} are kept"));
                self.inbox.trim(keep, self.now);
            }
            93..96 => self.leave(),
            96 if silently => self.unregister(),
            98 if silently => {
                let count = 1 + dice.below(3) as usize;
                self.note(|| format!("the last {count} are lost"));
                self.inbox.lose_tail(count);
            }
            99 if silently => self.emptied(dice.one_in(2)),
            _ => self.lease_lost(),
        }
        Ok(())
    }

    fn publish(&mut self, lost: bool, later: u64) {
        let (place, previous) = self.inbox.append(later);
        let heard = self.session.as_ref().is_some_and(|session| session.registered) && !lost;
        self.note(|| {
            format!("notice {}, hint {}", place.random, if heard { "sent" } else { "lost" })
        });
        if heard {
            let (user, notice) = (self.user.clone(), Some(notice()));
            // Some are too large to travel whole.
            let notice = notice.filter(|_| place.random % 5 != 0);
            self.hints.push(Announced {
                user,
                place,
                previous: previous.position,
                previous_random: Some(previous.random),
                notice,
                receipts: None,
            });
        }
        self.silent = !heard;
    }

    fn arrive(&mut self, which: usize, again: bool) -> Result<(), String> {
        let hint = if again { self.hints[which].clone() } else { self.hints.swap_remove(which) };
        self.note(|| format!("hint of {} arrives", hint.place.random));
        match &mut self.session {
            Some(session) => session.hear(&hint),
            None => Ok(()),
        }
    }

    /// A step of the catch-up; the client comes first if it is not there.
    fn read(&mut self) -> Result<(), String> {
        self.note(|| "catch-up".into());
        if let Some(session) = &mut self.session {
            return session.catch_up(&self.inbox, self.now);
        }
        let since = match self.client.cursor {
            Some(cursor) => Since::After(cursor),
            None if self.from_start => Since::Start,
            None => Since::After(self.inbox.tip()),
        };
        self.session = Some(Session::new(since));
        Ok(())
    }

    fn receive(&mut self, most: u64) -> Result<(), String> {
        self.note(|| format!("the client takes {most}"));
        for _ in 0..most {
            let Some(session) = &mut self.session else { return Ok(()) };
            let Some(packet) = session.wire.pop_front() else { return Ok(()) };
            self.client.receives(packet, &self.inbox)?;
        }
        Ok(())
    }

    fn audit(&mut self) {
        if !self.audits {
            return;
        }
        self.note(|| "audit".into());
        if let Some(session) = &mut self.session {
            session.audit(&self.inbox, false);
        }
    }

    /// All hints on their way are lost, and an audit begins for it.
    fn channel_lost(&mut self) {
        if !self.audits {
            return self.lease_lost();
        }
        self.note(|| "channel lost".into());
        self.hints.clear();
        if let Some(session) = &mut self.session {
            session.audit = Audit::Idle;
            session.audit(&self.inbox, true);
        }
    }

    /// With what was emitted and is not there yet.
    fn leave(&mut self) {
        self.note(|| "the client leaves".into());
        self.silent = false;
        self.session = None;
    }

    fn unregister(&mut self) {
        self.note(|| "registration lost".into());
        if let Some(session) = &mut self.session {
            session.registered = false;
        }
    }

    fn lease_lost(&mut self) {
        self.note(|| "lease lost".into());
        self.hints.clear();
        self.silent = false;
        if let Some(session) = &mut self.session {
            (session.registered, session.register) = (false, true);
            session.delivery.doubt();
        }
    }

    /// With the registry. Hints of before do not outlive a server whose clock begins anew.
    fn emptied(&mut self, clock_back: bool) {
        self.note(|| format!("Redis emptied, clock back: {clock_back}"));
        self.inbox.lose_all(clock_back);
        if clock_back {
            self.hints.clear();
        }
        self.unregister();
    }

    /// Whatever was not lost arrives, the client takes all, and audits go on, as in the long run.
    pub(super) fn rest(&mut self) -> Result<(), String> {
        if !self.audits && std::mem::take(&mut self.silent) {
            // Nobody can know before another notice comes.
            self.come_to_rest(|session, _| session.delivery.settled().is_some())?;
            self.publish(false, 1);
        }
        self.come_to_rest(Session::is_at_rest)
    }

    fn come_to_rest(&mut self, rests: fn(&Session, &Inbox) -> bool) -> Result<(), String> {
        // Each round reads a page at least; a dozen is what audits and resets take beside that.
        for _ in 0..2 * self.inbox.lives.len() + 12 {
            while !self.hints.is_empty() {
                self.arrive(0, false)?;
            }
            for _ in 0..4 {
                self.read()?;
            }
            if let Some(session) = &mut self.session {
                session.room = None;
            }
            self.receive(u64::MAX)?;
            for _ in 0..3 {
                self.audit();
            }
            if self.session.as_ref().is_some_and(|session| rests(session, &self.inbox)) {
                return Ok(());
            }
        }
        let delivery = self.session.as_ref().map(|session| &session.delivery);
        Err(format!("never at rest: {delivery:?}, the inbox at {}", self.inbox.tip()))
    }

    /// What is promised, once everything is at rest.
    pub(super) fn check(&self) -> Result<(), String> {
        self.client.has_all(&self.inbox)
    }
}
