//! The words of Herald as types: users, sessions, notices, positions, cursors
//! and the limits that bound them. Nothing here does IO.
//!
//! | word | type |
//! |---|---|
//! | user | [`UserId`] |
//! | session | [`SessionId`], [`SessionRecord`] |
//! | gateway, lease | [`GatewayId`], [`GatewayName`] |
//! | notifier | [`NotifierId`] |
//! | notice | [`Notice`], [`NoticeId`], [`VolatileId`], [`EventName`], [`Payload`] |
//! | position, cursor | [`Position`], [`Place`], [`Cursor`] |
//! | what a client missed | [`GapReason`] |

pub mod cursor;
pub mod gap;
pub mod ids;
pub mod limits;
pub mod names;
pub mod notice;
pub mod payload;
pub mod position;
pub mod session;

pub use cursor::{Cursor, CursorError};
pub use gap::GapReason;
pub use ids::{Epoch, GatewayId, IdError, NotifierId, SessionId, VolatileId};
pub use limits::{ConnectionLimits, InboxLimits};
pub use names::{Device, EventName, GatewayName, IdempotencyKey, NameError, Namespace, UserId};
pub use notice::{Notice, NoticeId};
pub use payload::{Payload, PayloadError};
pub use position::{Place, Position, PositionError};
pub use session::{SessionRecord, Transport};
