//! Values as people write them on a command line: lengths of time, moments, selectors, pairs.

use std::{collections::BTreeMap, time::Duration};

use clap::ArgMatches;
use jiff::{Timestamp, civil, tz::TimeZone};
use jumpstarter_core::{Delay, Selector};

use crate::{report::Stop, words::Place};

/// A length of time: `90`, `30m`, `1h 30m`, `1:30`, `PT1H30M`, `2 days, 01:30:00`. Not negative.
fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    // Minutes and seconds, as existing clients read it.
    if let Some((minutes, seconds)) = text.split_once(':')
        && let (Ok(minutes), Ok(seconds)) = (minutes.parse::<u32>(), seconds.parse::<u32>())
        && seconds < 60
    {
        return Ok(Duration::from_secs(u64::from(minutes) * 60 + u64::from(seconds)));
    }
    let parsed: Delay = text.parse().map_err(|_| {
        format!("'{text}' is not a valid duration (write 90, 30m, 1h30m, 1:30:00 or PT1H30M)")
    })?;
    Ok(parsed.get())
}

/// The duration of an option, at least so long.
pub(crate) fn duration_of(
    matches: &ArgMatches,
    place: &Place,
    name: &str,
    least: Duration,
) -> Result<Option<Duration>, Stop> {
    let Some(text) = matches.get_one::<String>(name) else { return Ok(None) };
    let wrong = |why: String| place.wrong(format!("Invalid value for '--{name}': {why}"));
    let value = duration(text).map_err(&wrong)?;
    if value < least {
        return Err(wrong(format!("'{text}' must be at least {} seconds", least.as_secs())));
    }
    Ok(Some(value))
}

/// For how long a lease is wanted.
pub(crate) fn lease_duration(matches: &ArgMatches, place: &Place) -> Result<Option<Duration>, Stop> {
    let value = duration_of(matches, place, "duration", Duration::ZERO)?;
    if value.is_some_and(|value| value.is_zero()) {
        return Err(place.wrong("Invalid value for '--duration': a lease lasts longer than nothing."));
    }
    Ok(value)
}

/// A moment: ISO 8601 with or without a zone (then it is local time), a date alone, or seconds or milliseconds since 1970.
fn moment(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    /// From here on, a number means milliseconds: seconds would be after the year 5000.
    const MILLISECONDS: i64 = 100_000_000_000;
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        let read =
            if number.abs() < MILLISECONDS { Timestamp::from_second } else { Timestamp::from_millisecond };
        return read(number).ok();
    }
    // What is no full date, or no full time, is more often a slip than meant.
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, ""));
    if date.matches('-').count() != 2 || !(time.is_empty() || time.contains(':')) {
        return None;
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    let local: civil::DateTime = text.parse().ok()?;
    local.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
}

/// The moment of `--begin-time`.
pub(crate) fn begin_of(matches: &ArgMatches, place: &Place) -> Result<Option<Timestamp>, Stop> {
    let Some(text) = matches.get_one::<String>("begin-time") else { return Ok(None) };
    moment(text, &TimeZone::system()).map(Some).ok_or_else(|| {
        place.wrong(format!(
            "Invalid value for '--begin-time': '{text}' is not a date and time (write 2026-11-20T22:43:48, with a zone \
             such as Z or +01:00 if it is not local time)."
        ))
    })
}

/// The selector that an option gives, as it was written; several are joined. What makes no sense is refused before it is
/// sent anywhere: part of a selector selects too much.
pub(crate) fn selector_of(matches: &ArgMatches, place: &Place, name: &str) -> Result<Option<String>, Stop> {
    let Some(all) = matches.get_many::<String>(name) else { return Ok(None) };
    let text = all.map(|text| text.trim()).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(",");
    parsed(&text, place, name)?;
    Ok(Some(text))
}

/// A selector that was written for an option.
pub(crate) fn parsed(text: &str, place: &Place, name: &str) -> Result<Selector, Stop> {
    text.parse::<Selector>()
        .map_err(|error| place.wrong(format!("Invalid value for '--{name}': {}", error.message())))
}

/// Pairs of an option that can be repeated: `KEY=VALUE`, the last one of a key counts.
pub(crate) fn pairs(
    matches: &ArgMatches,
    place: &Place,
    name: &str,
) -> Result<BTreeMap<String, String>, Stop> {
    let mut pairs = BTreeMap::new();
    for text in matches.get_many::<String>(name).unwrap_or_default() {
        let (key, value) = text
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| place.wrong(format!("Invalid {name} format: '{text}' (expected key=value)")))?;
        pairs.insert(key.to_owned(), value.to_owned());
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_existing_clients_read_them() {
        for (text, seconds) in [
            ("90", 90.0),
            ("1:30", 90.0),
            ("30m", 1800.0),
            ("3h30m", 12_600.0),
            ("01:30:00", 5400.0),
            ("1d3h40m", 99_600.0),
            ("1w", 604_800.0),
            ("1mo", 2_592_000.0),
            ("1y", 31_536_000.0),
            ("1h 30m", 5400.0),
            ("10 s", 10.0),
            ("1 hour", 3600.0),
            ("2 hours 5 minutes", 7500.0),
            ("1 week, 2 days", 777_600.0),
            ("2 days, 01:30:00", 178_200.0),
            ("1.5h", 5400.0),
            ("PT1H30M", 5400.0),
            ("500ms", 0.5),
            ("P1DT2H30M", 95_400.0),
            ("1e3", 1000.0),
            ("P1W", 604_800.0),
            ("1.5", 1.5),
            ("PT0.5S", 0.5),
            ("+1h", 3600.0),
            ("12:30:15.5", 45_015.5),
        ] {
            let parsed = duration(text).map(|duration| duration.as_secs_f64());
            assert_eq!(parsed, Ok(seconds), "{text}");
        }
        for text in ["abc", "", "1h30", "1:2:3:4", "-5", "-1h", "nan", "inf", "1:75", "99999999999999999999y"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_have_a_date_and_local_time_unless_they_say_otherwise() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (text, expected) in [
            ("2026-11-20T22:43:48Z", "2026-11-20T22:43:48Z"),
            ("2026-11-20 22:43:48", "2026-11-20T20:43:48Z"),
            ("2026-11-20T22:43", "2026-11-20T20:43:00Z"),
            ("2026-11-20T22:43:48.5+01:00", "2026-11-20T21:43:48.5Z"),
            ("2026-11-20", "2026-11-19T22:00:00Z"),
            ("1790000000", "2026-09-21T14:13:20Z"),
            ("1790000000500", "2026-09-21T14:13:20.5Z"),
        ] {
            assert_eq!(
                moment(text, &zone).map(|moment| moment.to_string()).as_deref(),
                Some(expected),
                "{text}"
            );
        }
        for text in ["12:00", "2024-01-01T12", "20240101T120000", "tomorrow", ""] {
            assert_eq!(moment(text, &zone), None, "{text}");
        }
    }
}
