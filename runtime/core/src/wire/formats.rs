//! Types that travel as text of a certain form, durations, and values of any form.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use bytes::Bytes;
use prost::{
    Message as _,
    encoding::{self, DecodeContext, WireType},
};
use prost_types::{Value, value::Kind};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Url;
use uuid::Uuid;

use super::{Depth, Reading, Wire, WireError, take_delimited, value};
use crate::describe::Type;

macro_rules! text_format {
    ($rust:ty, $format:literal, $zero:expr, $print:expr, $words:literal) => {
        impl Wire for $rust {
            const TYPE: Type = Type::Format($format);
            const ZERO_WHEN_ABSENT: bool = false;

            fn zero() -> Self {
                $zero
            }

            fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
                let print: fn(&$rust) -> String = $print;
                encoding::string::encode(tag, &print(self), buffer);
            }

            fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, _: Depth) -> Result<(), WireError> {
                let mut text = String::new();
                encoding::string::merge(wire_type, &mut text, buffer, DecodeContext::default())?;
                *self = text
                    .parse()
                    .map_err(|e| WireError::new(format!("expected {}, got {text:?}: {e}", $words)))?;
                Ok(())
            }

            fn to_value(&self) -> Result<Value, WireError> {
                let print: fn(&$rust) -> String = $print;
                Ok(value::text(print(self)))
            }

            fn from_value(value: Value, _: Reading) -> Result<Self, WireError> {
                let text = value::into_text(value)?;
                text.parse().map_err(|e| WireError::new(format!("expected {}, got {text:?}: {e}", $words)))
            }
        }
    };
}

text_format!(Uuid, "uuid", Uuid::nil(), |uuid| uuid.hyphenated().to_string(), "a uuid");
text_format!(PathBuf, "path", PathBuf::new(), |path| path.to_string_lossy().into_owned(), "a path");
text_format!(IpAddr, "ip", IpAddr::from([0, 0, 0, 0]), ToString::to_string, "an IP address");
text_format!(
    jiff::Timestamp,
    "date-time",
    jiff::Timestamp::UNIX_EPOCH,
    ToString::to_string,
    "a time as RFC 3339 writes it"
);

impl Wire for Url {
    const TYPE: Type = Type::Format("uri");
    const ZERO_WHEN_ABSENT: bool = false;

    fn zero() -> Self {
        // A constant that always parses; the nearest thing to "no address" that the type can hold.
        Url::parse("about:blank").unwrap_or_else(|_| unreachable!("a constant"))
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        encoding::string::encode(tag, &self.to_string(), buffer);
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, depth: Depth) -> Result<(), WireError> {
        let mut text = String::new();
        Wire::merge(&mut text, wire_type, buffer, depth)?;
        *self = text.parse().map_err(|e| WireError::new(format!("expected a URL, got {text:?}: {e}")))?;
        Ok(())
    }

    fn to_value(&self) -> Result<Value, WireError> {
        Ok(value::text(self.as_str()))
    }

    fn from_value(value: Value, _: Reading) -> Result<Self, WireError> {
        let text = value::into_text(value)?;
        text.parse().map_err(|e| WireError::new(format!("expected a URL, got {text:?}: {e}")))
    }
}

impl Wire for Value {
    const TYPE: Type = Type::Json;

    fn zero() -> Self {
        value::null()
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        encoding::message::encode(tag, self, buffer);
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, _: Depth) -> Result<(), WireError> {
        *self = Value::decode(take_delimited(wire_type, buffer)?)?;
        Ok(())
    }

    fn to_value(&self) -> Result<Value, WireError> {
        Ok(self.clone())
    }

    fn from_value(value: Value, _: Reading) -> Result<Self, WireError> {
        Ok(value)
    }
}

/// What [`Delay`] reads, for readers that know patterns alone: a number, ISO 8601, or numbers with units as jiff reads
/// them. It takes some texts that are none, such as what is too long or has its units in another order.
const PATTERN: &str = concat!(
    r"^\s*\+?\s*(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?",
    r"|[Pp](?=[0-9Tt])(?:[0-9]+(?:[.,][0-9]+)?[YyMmWwDd])*(?:[Tt](?:[0-9]+(?:[.,][0-9]+)?[HhMmSs])+)?",
    r"|(?=[0-9])(?:[0-9]+(?:[.,][0-9]+)?\s*(?:y|yrs?|years?|mos?|months?|w|wks?|weeks?|d|days?|h|hrs?|hours?|m|mins?|minutes?",
    r"|s|secs?|seconds?|ms|msecs?|millis|milli|milliseconds?|[uµμ]s(?:ecs?)?|micros?|microseconds?",
    r"|ns|nsecs?|nanos?|nanoseconds?)(?:,\s+|\s*))*(?:[0-9]+:[0-9]{1,3}:[0-9]{1,3}(?:[.,][0-9]+)?)?)\s*$",
);

/// A length of time as people write it: `2s`, `1h 30m`, `PT2S`, or a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delay(Duration);

impl Delay {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// From a number of seconds, if it is one that time can have.
    pub fn from_secs(seconds: f64) -> Result<Self, WireError> {
        Duration::try_from_secs_f64(seconds).map(Self).map_err(|_| {
            WireError::new(format!("expected a length of time that is not negative, got {seconds} seconds"))
        })
    }

    /// The length of time.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// As people write it: `50ms`, `1h 30m`. Reading it gives the same length of time again.
    pub fn friendly(self) -> String {
        match jiff::SignedDuration::try_from(self.0) {
            Ok(duration) => format!("{duration:#}"),
            Err(_) => self.to_string(),
        }
    }
}

impl From<Duration> for Delay {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Delay> for Duration {
    fn from(delay: Delay) -> Self {
        delay.0
    }
}

impl FromStr for Delay {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let text = text.trim();
        let backwards = text.starts_with('-') || text.ends_with("ago");
        let words = || {
            WireError::new(format!(
                "expected a length of time such as `2s`, `500ms`, `1h 30m` or `PT2S`, got {text:?}"
            ))
        };
        if backwards {
            // Also where it is nothing that lies in the past.
            return Err(words());
        }
        if let Ok(seconds) = text.parse::<f64>() {
            return Self::from_secs(seconds);
        }
        let span: jiff::Span = text.parse().map_err(|_| words())?;
        // A calendar is not at hand: a year has 365 days and a month 30, as upstream reads and writes them.
        let calendar = i64::from(span.get_years()) * 365 + i64::from(span.get_months()) * 30;
        let duration = span
            .try_years(0)
            .and_then(|span| span.try_months(0))
            .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()))
            .map_err(|_| words())?;
        let duration =
            jiff::SignedDuration::from_hours(calendar * 24).checked_add(duration).ok_or_else(words)?;
        Duration::try_from(duration).map(Self).map_err(|_| words())
    }
}

/// As upstream prints a time span: ISO 8601 with years of 365 days and days, for example `P1DT3.000005S`.
impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_secs();
        let (years, days) = (total / 86_400 / 365, total / 86_400 % 365);
        let (hours, minutes, seconds) = (total / 3600 % 24, total / 60 % 60, total % 60);
        f.write_str("P")?;
        if years > 0 {
            write!(f, "{years}Y")?;
        }
        if days > 0 {
            write!(f, "{days}D")?;
        }
        let micros = self.0.subsec_micros();
        if total > 0 && total.is_multiple_of(86_400) && micros == 0 {
            return Ok(());
        }
        f.write_str("T")?;
        if hours > 0 {
            write!(f, "{hours}H")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}M")?;
        }
        if micros > 0 {
            let fraction = format!("{micros:06}");
            write!(f, "{seconds}.{}S", fraction.trim_end_matches('0'))
        } else if seconds > 0 || total == 0 {
            write!(f, "{seconds}S")
        } else {
            Ok(())
        }
    }
}

impl Wire for Delay {
    const TYPE: Type = Type::Duration;

    fn zero() -> Self {
        Self::ZERO
    }

    fn encode(&self, tag: u32, buffer: &mut Vec<u8>) {
        let seconds = i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX);
        let nanos = i32::try_from(self.0.subsec_nanos()).unwrap_or(0);
        encoding::message::encode(tag, &prost_types::Duration { seconds, nanos }, buffer);
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut Bytes, _: Depth) -> Result<(), WireError> {
        let wire = prost_types::Duration::decode(take_delimited(wire_type, buffer)?)?;
        *self = Duration::try_from(wire)
            .map(Self)
            .map_err(|_| WireError::new("expected a length of time that is not negative"))?;
        Ok(())
    }

    fn to_value(&self) -> Result<Value, WireError> {
        Ok(value::text(self.to_string()))
    }

    fn from_value(value: Value, _: Reading) -> Result<Self, WireError> {
        match value.kind {
            Some(Kind::NumberValue(seconds)) => Self::from_secs(seconds),
            Some(Kind::StringValue(text)) => text.parse(),
            kind => Err(value::expected("a length of time", &Value { kind })),
        }
    }
}

impl Serialize for Delay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl de::Visitor<'_> for Reader {
            type Value = Delay;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as `2s`, `500ms` or `1h 30m`, or a number of seconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Delay, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Delay, E> {
                Delay::from_secs(seconds).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Delay, E> {
                Ok(Delay(Duration::from_secs(seconds)))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Delay, E> {
                #[allow(clippy::cast_precision_loss)]
                Delay::from_secs(seconds as f64).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl schemars::JsonSchema for Delay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Delay".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "number"],
            "minimum": 0,
            "pattern": PATTERN,
            "x-unit": "s",
            "description": "A length of time: text such as `2s`, `500ms`, `1h 30m` or `PT2S`, or a number of seconds.",
        })
    }
}
