//! When a lease begins and ends.

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::{GoDuration, Lease, LeaseSpec, time};

/// The three times of a lease as somebody asks for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Not before.
    pub begin: Option<Timestamp>,
    /// For how long.
    pub duration: Option<GoDuration>,
    /// Until.
    pub end: Option<Timestamp>,
}

/// Times that do not make a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTimes {
    /// Three times that contradict each other.
    #[error("duration conflicts with begin_time and end_time")]
    Conflict,
    /// Not enough is given.
    #[error("duration is required, or both begin_time and end_time, or a duration with one of them")]
    Missing,
    /// It would end before it begins.
    #[error("duration must be positive, or end_time after begin_time")]
    NotPositive,
}

impl Times {
    /// Those of a lease.
    pub fn of(spec: &LeaseSpec) -> Self {
        Self {
            begin: spec.begin_time.as_ref().map(|time| time.0),
            duration: spec.duration,
            end: spec.end_time.as_ref().map(|time| time.0),
        }
    }

    /// Puts them into a lease, in whole seconds.
    pub fn put(self, spec: &mut LeaseSpec) {
        spec.begin_time = self.begin.map(time::whole);
        spec.duration = self.duration;
        spec.end_time = self.end.map(time::whole);
    }

    /// Fills in what follows from what is given, or says why it makes no lease.
    pub fn settle(self) -> Result<Self, BadTimes> {
        let given = self.duration.filter(|duration| duration.is_positive());
        let settled = match (self.begin, self.end, given) {
            (Some(begin), Some(end), given) => {
                let between = GoDuration::from(end.duration_since(begin));
                if given.is_some_and(|given| given != between) {
                    return Err(BadTimes::Conflict);
                }
                Self { duration: Some(between), ..self }
            }
            (None, Some(end), Some(duration)) => {
                // Further back than time reaches cannot be meant.
                let begin = end.checked_sub(duration.signed()).map_err(|_| BadTimes::NotPositive)?;
                Self { begin: Some(begin), ..self }
            }
            (_, Some(_), None) => return Err(BadTimes::Missing),
            (_, None, _) => self,
        };
        match settled.duration {
            None => Err(BadTimes::Missing),
            Some(duration) if duration.is_positive() => Ok(settled),
            Some(_) => Err(BadTimes::NotPositive),
        }
    }
}

/// How long a lease is asked for, as access policies count it.
pub fn requested(spec: &LeaseSpec) -> GoDuration {
    match (spec.duration, &spec.begin_time, &spec.end_time) {
        (Some(duration), ..) => duration,
        (None, Some(begin), Some(end)) => end.0.duration_since(begin.0).into(),
        _ => GoDuration::default(),
    }
}

/// The end that a lease has whenever it begins: it asked for one, or for a begin and a duration.
pub fn planned_end(spec: &LeaseSpec) -> Option<Timestamp> {
    if let Some(end) = &spec.end_time {
        return Some(end.0);
    }
    let begin = spec.begin_time.as_ref()?.0;
    Some(after(begin, spec.duration?.signed()))
}

/// When a lease that has begun expires. One without any duration expires at once.
pub fn expiry(lease: &Lease) -> Option<Timestamp> {
    let begun = lease.status.as_ref()?.begin_time.as_ref()?.0;
    let duration = lease.spec.duration.unwrap_or_default().signed();
    Some(planned_end(&lease.spec).unwrap_or_else(|| after(begun, duration)))
}

/// A moment and a while, at most the end of time.
pub(crate) fn after(moment: Timestamp, while_: SignedDuration) -> Timestamp {
    moment.checked_add(while_).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_000_000_000 + 60 * minute).unwrap()
    }

    fn minutes(minutes: i64) -> GoDuration {
        GoDuration::from_secs(60 * minutes)
    }

    #[test]
    fn what_is_missing_follows_from_what_is_given() {
        let both = Times { begin: Some(at(0)), end: Some(at(30)), duration: None };
        let all = Times { duration: Some(minutes(30)), ..both };
        let end = Times { begin: None, end: Some(at(30)), duration: Some(minutes(30)) };
        assert_eq!(both.settle(), Ok(all));
        assert_eq!(all.settle(), Ok(all));
        assert_eq!(end.settle(), Ok(all));
        let only = Times { duration: Some(minutes(5)), ..Times::default() };
        let later = Times { begin: Some(at(9)), ..only };
        assert_eq!(only.settle(), Ok(only), "the end is never filled in");
        assert_eq!(later.settle(), Ok(later));
        // A duration that is not positive does not count as given.
        let zero = Times { duration: Some(minutes(0)), ..both };
        assert_eq!(zero.settle(), Ok(all));
    }

    #[test]
    fn what_makes_no_lease_is_refused_in_the_words_that_clients_know() {
        let times = |begin: Option<i64>, duration: Option<i64>, end: Option<i64>| Times {
            begin: begin.map(at),
            duration: duration.map(minutes),
            end: end.map(at),
        };
        for (times, says) in [
            (times(Some(0), Some(5), Some(30)), "duration conflicts with begin_time and end_time"),
            (times(None, None, Some(30)), "duration is required"),
            (times(Some(0), None, None), "duration is required"),
            (times(None, None, None), "duration is required"),
            (times(None, Some(0), None), "duration must be positive"),
            (times(None, Some(-5), None), "duration must be positive"),
            (times(Some(30), None, Some(0)), "duration must be positive"),
            (times(Some(30), None, Some(30)), "duration must be positive"),
        ] {
            let error = times.settle().expect_err(says).to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn a_scheduled_lease_keeps_its_planned_end() {
        let mut lease = Lease::default();
        lease.spec.duration = Some(minutes(30));
        assert_eq!(expiry(&lease), None);
        lease.status.get_or_insert_default().begin_time = Some(time::whole(at(10)));
        assert_eq!(expiry(&lease), Some(at(40)));
        lease.spec.begin_time = Some(time::whole(at(0)));
        assert_eq!(expiry(&lease), Some(at(30)), "although it began late");
        lease.spec.end_time = Some(time::whole(at(35)));
        assert_eq!(expiry(&lease), Some(at(35)));
        let mut bare = Lease::default();
        bare.status.get_or_insert_default().begin_time = Some(time::whole(at(10)));
        assert_eq!(expiry(&bare), Some(at(10)), "it expires at once");
    }
}
