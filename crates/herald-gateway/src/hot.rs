//! Parts of the gateway that nothing outside reaches by themselves: for the benches, and nothing to
//! build on.

use herald_backplane::{Announced, Page, Since};
use herald_core::{Cursor, Notice, Place, UserId};
use socketioxide::extract::SocketRef;

use crate::{
    delivery::{Delivery, Verdict},
    emit::{Outcome, Packet},
};

/// What decides for one session, with a socket that takes everything.
#[derive(Debug)]
pub struct Steps(Delivery);

impl Steps {
    /// A session that begins there, and has to read first.
    #[must_use]
    pub fn new(since: Since) -> Self {
        Self(Delivery::new(since))
    }

    /// Takes an announcement; whether the session emits its notice for it.
    pub fn hear(&mut self, announced: &Announced) -> bool {
        let emits = self.0.announced(announced) == Verdict::Emit;
        if emits {
            self.0.emitted(announced.place);
        }
        emits
    }

    /// Reads, and is answered with this page; how many notices of it the session emits.
    pub fn read(&mut self, page: &Page) -> usize {
        self.0.begin_read();
        self.0.accept(page);
        let mut emitted = 0;
        for notice in &page.notices {
            if self.0.wants(notice.place) {
                self.0.emitted(notice.place);
                emitted += 1;
            }
        }
        self.0.finish(page);
        emitted
    }
}

/// Packs a notice for one socket and hands it over; whether the socket took it.
pub fn emit(
    socket: &SocketRef,
    user: &UserId,
    notice: &Notice,
    place: Place,
    cursor: Cursor,
) -> bool {
    Packet::new(notice, place).emit(socket, user, cursor, false) == Outcome::Taken
}
