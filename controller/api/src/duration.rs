//! Durations as objects carry them: `1h30m0s`, the notation of Go.

use std::{fmt, str::FromStr, time::Duration};

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A duration in nanoseconds, at most some 292 years either way. Written and read as Go does: units `ns`, `us`, `µs`, `ms`,
/// `s`, `m`, `h`, in any order, with fractions (`1h30m`, `1.5h`); printed as `24h0m0s`, `1.5s`, `300ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(i64);

/// Units, from the longest; with two spellings of the micro sign.
const UNITS: [(&str, i64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

impl GoDuration {
    /// A number of seconds; what does not fit becomes the longest duration there is.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Whether it is longer than nothing.
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// The same for calculations with times.
    pub fn signed(self) -> SignedDuration {
        SignedDuration::from_nanos(self.0)
    }
}

impl From<SignedDuration> for GoDuration {
    /// What does not fit becomes the longest or the shortest duration there is.
    fn from(duration: SignedDuration) -> Self {
        let longest = if duration.is_negative() { i64::MIN } else { i64::MAX };
        Self(i64::try_from(duration.as_nanos()).unwrap_or(longest))
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration: {why}; write for example 90s, 30m or 1h30m")]
pub struct NotADuration {
    text: String,
    why: &'static str,
}

impl FromStr for GoDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let wrong = |why| NotADuration { text: text.to_owned(), why };
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(wrong("there is no number"));
        }
        // Summed below zero, where one more nanosecond fits.
        let mut sum = 0_i128;
        while !rest.is_empty() {
            let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
            let whole = digits(rest);
            let mut number = whole;
            let mut fraction = "";
            if rest[whole..].starts_with('.') {
                let count = digits(&rest[whole + 1..]);
                fraction = &rest[whole + 1..whole + 1 + count];
                number = whole + 1 + count;
            }
            if whole == 0 && fraction.is_empty() {
                return Err(wrong("there is no number"));
            }
            let until = rest[number..].find(|letter: char| letter == '.' || letter.is_ascii_digit());
            let end = until.map_or(rest.len(), |at| number + at);
            let unit = &rest[number..end];
            if unit.is_empty() {
                return Err(wrong("a number has no unit"));
            }
            let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(wrong("the units are h, m, s, ms, us and ns"));
            };
            sum += value(&rest[..whole], fraction, *unit).ok_or_else(|| wrong("it is too long"))?;
            rest = &rest[end..];
        }
        let sum = if negative { -sum } else { sum };
        i64::try_from(sum).map(Self).map_err(|_| wrong("it is too long"))
    }
}

/// A number with a unit, in nanoseconds; what is below one is dropped.
fn value(whole: &str, fraction: &str, unit: i64) -> Option<i128> {
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    let mut value = whole.checked_mul(unit.into())?;
    let mut place = i128::from(unit);
    let mut below = 0_i128;
    // Eighteen digits are more than any unit resolves.
    for digit in fraction.bytes().take(18) {
        below = below * 10 + i128::from(digit - b'0');
        place *= 10;
    }
    if place != i128::from(unit) {
        value += below * i128::from(unit) / (place / i128::from(unit));
    }
    Some(value)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if nanos == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if nanos < 1_000_000_000 {
            let (unit, name) = match nanos {
                0..1_000 => (1, "ns"),
                1_000..1_000_000 => (1_000, "µs"),
                _ => (1_000_000, "ms"),
            };
            return write!(f, "{}{name}", decimal(nanos, unit));
        }
        let seconds = nanos / 1_000_000_000;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if seconds >= 60 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", decimal(nanos % 60_000_000_000, 1_000_000_000))
    }
}

/// A number of a unit, with as many decimals as are needed.
fn decimal(nanos: u64, unit: u64) -> String {
    let below = nanos % unit;
    if below == 0 {
        return (nanos / unit).to_string();
    }
    let width = unit.ilog10() as usize;
    let below = format!("{below:0width$}");
    format!("{}.{}", nanos / unit, below.trim_end_matches('0'))
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for GoDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The wanted values were printed by a program in Go.
    #[test]
    fn durations_are_read_and_printed_as_in_go() {
        for (text, printed) in [
            ("0", "0s"),
            ("30m", "30m0s"),
            ("24h", "24h0m0s"),
            ("1h30m", "1h30m0s"),
            ("1.5h", "1h30m0s"),
            ("90s", "1m30s"),
            ("2s", "2s"),
            ("1.5s", "1.5s"),
            ("1500ms", "1.5s"),
            ("300ms", "300ms"),
            ("1h1ns", "1h0m0.000000001s"),
            ("1us", "1µs"),
            ("1.5µs", "1.5µs"),
            ("2μs", "2µs"),
            (".5s", "500ms"),
            ("5.s", "5s"),
            ("+5s", "5s"),
            ("-1m", "-1m0s"),
            ("3m2h", "2h3m0s"),
            ("0.3333333333333333333h", "19m59.999999999s"),
            ("9223372036854775807ns", "2562047h47m16.854775807s"),
            ("-9223372036854775808ns", "-2562047h47m16.854775808s"),
        ] {
            let duration: GoDuration = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(duration.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_what_to_write() {
        for (text, why) in [
            ("", "there is no number"),
            ("h", "there is no number"),
            (".s", "there is no number"),
            ("-", "there is no number"),
            ("30", "a number has no unit"),
            ("1h30", "a number has no unit"),
            ("1d", "the units are h, m, s, ms, us and ns"),
            ("1 h", "the units are h, m, s, ms, us and ns"),
            ("PT1H", "there is no number"),
            ("9223372036854775808ns", "it is too long"),
            ("99999999999999999999h", "it is too long"),
        ] {
            let error = text.parse::<GoDuration>().expect_err(text);
            let wanted = format!("`{text}` is not a duration: {why}; write for example 90s, 30m or 1h30m");
            assert_eq!(error.to_string(), wanted);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_as_the_same(nanos: i64) {
            let duration = GoDuration(nanos);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9.hmsnuµ]{0,12}|.{0,20}") {
            let _ = text.parse::<GoDuration>();
        }
    }
}
