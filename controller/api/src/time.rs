//! Times as objects carry them: RFC 3339, UTC, whole seconds.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::Time;

/// A moment as objects carry it: what is below a second is lost when it is written, so it is dropped here already, and what
/// was written compares equal to what is read.
pub fn whole(moment: Timestamp) -> Time {
    Time(Timestamp::from_second(moment.as_second()).unwrap_or(moment))
}

/// The first moment of the year 1 in UTC, in seconds since 1970: what programs in Go write when they mean none.
pub const ZERO_IN_GO: i64 = -62_135_596_800;

/// A time that may be absent: left out, null, or the zero time of Go.
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let time = Option::<Time>::deserialize(deserializer)?;
    Ok(time.filter(|time| time.0.as_second() != ZERO_IN_GO))
}
