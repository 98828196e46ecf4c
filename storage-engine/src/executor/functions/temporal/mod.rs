//! Dates, times and durations: making them from text, maps and each other, the clock, truncation.
//!
//! What a temporal value is and how it is written stands in `language::temporal`; time zones by
//! name are looked up here ([`zone`]).

mod between;
mod build;
mod component;
mod sum;
mod truncate;
mod zone;

use language::plan::Function;
use language::temporal::{self, Duration, SECOND, Temporal, parse};
use language::value::Value;

use super::{Answer, Call, Perhaps};
pub(crate) use component::component;
pub(crate) use sum::{add, divide, multiply, negated};

/// What kind of time is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Date,
    LocalTime,
    Time,
    LocalDateTime,
    DateTime,
}

impl Kind {
    const fn described(self) -> &'static str {
        match self {
            Self::Date => "a date such as 2024-02-29",
            Self::LocalTime => "a time such as 12:30:00",
            Self::Time => "a time such as 12:30:00+01:00",
            Self::LocalDateTime => "a date and time such as 2024-02-29T12:30:00",
            Self::DateTime => "a date and time such as 2024-02-29T12:30:00+01:00",
        }
    }

    const fn has_date(self) -> bool {
        matches!(self, Self::Date | Self::LocalDateTime | Self::DateTime)
    }

    const fn has_time(self) -> bool {
        !matches!(self, Self::Date)
    }

    const fn has_offset(self) -> bool {
        matches!(self, Self::Time | Self::DateTime)
    }
}

/// A time taken apart. What a kind does not have is at its beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// Local days since 1970-01-01.
    pub(super) days: i64,
    /// Nanoseconds since local midnight.
    pub(super) nanos: i64,
    /// Seconds east of UTC.
    pub(super) offset: i32,
    /// The zone's name.
    pub(super) zone: Option<std::sync::Arc<str>>,
}

/// A temporal value taken apart, with its kind; `None` for durations and everything else.
pub(super) fn parts(value: &Value) -> Option<(Kind, Parts)> {
    let none = Parts::default();
    Some(match temporal::of(value)? {
        Temporal::Date(days) => (Kind::Date, Parts { days, ..none }),
        Temporal::LocalTime(nanos) => (Kind::LocalTime, Parts { nanos, ..none }),
        Temporal::Time { nanos, offset } => (
            Kind::Time,
            Parts {
                nanos,
                offset,
                ..none
            },
        ),
        Temporal::LocalDateTime { days, nanos } => (
            Kind::LocalDateTime,
            Parts {
                days,
                nanos,
                ..none
            },
        ),
        Temporal::DateTime {
            days,
            nanos,
            offset,
            zone,
        } => (
            Kind::DateTime,
            Parts {
                days,
                nanos,
                offset,
                zone,
            },
        ),
        Temporal::Duration(_) => return None,
    })
}

/// The value of some kind that these parts make.
pub(super) fn whole(kind: Kind, parts: Parts) -> Value {
    let Parts {
        days,
        nanos,
        offset,
        zone,
    } = parts;
    match kind {
        Kind::Date => temporal::date(days),
        Kind::LocalTime => temporal::wrap(Temporal::LocalTime(nanos)),
        Kind::Time => temporal::wrap(Temporal::Time { nanos, offset }),
        Kind::LocalDateTime => temporal::wrap(Temporal::LocalDateTime { days, nanos }),
        Kind::DateTime => temporal::date_time(days, nanos, offset, zone),
    }
}

pub(super) fn call(call: Call<'_>, function: Function, values: &[Value]) -> Perhaps {
    use Function as F;
    Some(match function {
        F::Date => make(call, Kind::Date, values),
        F::DateTime => make(call, Kind::DateTime, values),
        F::LocalDateTime => make(call, Kind::LocalDateTime, values),
        F::Time => make(call, Kind::Time, values),
        F::LocalTime => make(call, Kind::LocalTime, values),
        F::DateTruncate => truncate::truncate(call, Kind::Date, values),
        F::DateTimeTruncate => truncate::truncate(call, Kind::DateTime, values),
        F::LocalDateTimeTruncate => truncate::truncate(call, Kind::LocalDateTime, values),
        F::TimeTruncate => truncate::truncate(call, Kind::Time, values),
        F::LocalTimeTruncate => truncate::truncate(call, Kind::LocalTime, values),
        F::DateStatement | F::DateTransaction | F::DateRealtime => clock(call, Kind::Date, values),
        F::DateTimeStatement | F::DateTimeTransaction | F::DateTimeRealtime => {
            clock(call, Kind::DateTime, values)
        }
        F::LocalDateTimeStatement | F::LocalDateTimeTransaction | F::LocalDateTimeRealtime => {
            clock(call, Kind::LocalDateTime, values)
        }
        F::TimeStatement | F::TimeTransaction | F::TimeRealtime => clock(call, Kind::Time, values),
        F::LocalTimeStatement | F::LocalTimeTransaction | F::LocalTimeRealtime => {
            clock(call, Kind::LocalTime, values)
        }
        F::FromEpoch => from_epoch(call, values, SECOND),
        F::FromEpochMillis => from_epoch(call, values, SECOND / 1_000),
        F::Duration => duration(call, values.first()?),
        F::DurationBetween | F::DurationInMonths | F::DurationInDays | F::DurationInSeconds => {
            match values {
                [from, to] => between::between(call, function, from, to),
                _ => Ok(Value::Null),
            }
        }
        _ => return None,
    })
}

/// `date(...)` and its kin: of text, a map or another time; what the clock says without any.
fn make(call: Call<'_>, kind: Kind, values: &[Value]) -> Answer {
    match values.first() {
        None => clock(call, kind, &[]),
        Some(Value::String(text)) => read(kind, text)
            .ok_or_else(|| call.refuse(format!("`{text}` is not {}", kind.described()))),
        Some(Value::Map(map)) => build::from_map(call, kind, map),
        Some(value) => match parts(value) {
            Some((found, parts)) if kind.has_date() && !found.has_date() => {
                let _ = parts;
                Err(call.mismatch("a time with a date", value))
            }
            Some((_, parts)) => Ok(whole(kind, reduced(kind, parts))),
            None => Err(call.mismatch("a string, a map or another time", value)),
        },
    }
}

/// Parts that a kind does not have are dropped.
fn reduced(kind: Kind, parts: Parts) -> Parts {
    let zone = if kind == Kind::DateTime {
        parts.zone
    } else {
        None
    };
    Parts {
        days: if kind.has_date() { parts.days } else { 0 },
        nanos: if kind.has_time() { parts.nanos } else { 0 },
        offset: if kind.has_offset() { parts.offset } else { 0 },
        zone,
    }
}

/// A time from its text.
fn read(kind: Kind, text: &str) -> Option<Value> {
    Some(match kind {
        Kind::Date => temporal::date(parse::date(text)?),
        Kind::LocalTime => temporal::wrap(Temporal::LocalTime(parse::local_time(text)?)),
        Kind::Time => temporal::wrap(parse::time(text)?),
        Kind::LocalDateTime => {
            let (days, nanos) = parse::local_date_time(text)?;
            temporal::wrap(Temporal::LocalDateTime { days, nanos })
        }
        Kind::DateTime => {
            let asked = std::cell::Cell::new(false);
            let offset_of = |name: &str, days, nanos| {
                asked.set(true);
                zone::offset_of(name, days, nanos)
            };
            let (_, parts) = parts(&temporal::wrap(parse::date_time(text, &offset_of)?))?;
            // Where the text says no offset, the zone may leave that time out.
            let parts = match asked.get() {
                true => zone::Place::of(&parts).at_local(parts.days, parts.nanos),
                false => parts,
            };
            whole(kind, parts)
        }
    })
}

/// What the clock said when the statement began, in UTC or a zone that is named.
fn clock(call: Call<'_>, kind: Kind, values: &[Value]) -> Answer {
    let began = call.context.statement.began();
    let since = began
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let nanos = i128::try_from(since.as_nanos()).unwrap_or_default();
    let place = match values.first() {
        None => zone::Place::default(),
        Some(value) => {
            let text = call.text(value)?;
            zone::Place::read(text)
                .ok_or_else(|| call.refuse(format!("there is no time zone `{text}`")))?
        }
    };
    let parts = place
        .at_instant(nanos)
        .ok_or_else(|| call.refuse("the clock is out of range"))?;
    Ok(whole(kind, reduced(kind, parts)))
}

fn from_epoch(call: Call<'_>, values: &[Value], unit: i64) -> Answer {
    let number = |place: usize| values.get(place).map_or(Ok(0), |value| call.integer(value));
    let nanos = i128::from(number(0)?) * i128::from(unit) + i128::from(number(1)?);
    let parts = zone::Place::default().at_instant(nanos);
    let parts = parts.ok_or_else(|| call.refuse("out of range"))?;
    Ok(whole(Kind::DateTime, parts))
}

fn duration(call: Call<'_>, value: &Value) -> Answer {
    let found: Option<Duration> = match value {
        Value::String(text) => parse::duration(text),
        Value::Map(map) => build::duration(call, map)?,
        Value::Temporal(temporal) => match temporal.as_ref() {
            Temporal::Duration(duration) => Some(*duration),
            _ => return Err(call.mismatch("a string, map or duration", value)),
        },
        other => return Err(call.mismatch("a string, map or duration", other)),
    };
    let found = found.ok_or_else(|| call.refuse("this is no duration, or too long a one"))?;
    Ok(temporal::wrap(Temporal::Duration(found)))
}

/// A date from the text of a parameter.
pub(crate) fn parse_date(text: &str) -> Option<Value> {
    read(Kind::Date, text)
}

/// A date and time from the text of a parameter, which must say its offset.
pub(crate) fn parse_datetime(text: &str) -> Option<Value> {
    let time = text.split_once(['T', 't'])?.1;
    time.contains(['Z', 'z', '+', '-', '['])
        .then(|| read(Kind::DateTime, text))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        assert_eq!(parse_date("1969-12-31"), Some(Value::Date(-1)));
        assert_eq!(parse_date("2023-02-29"), None);
        assert_eq!(
            parse_datetime("1970-01-01T01:00:00+01:00").map(|v| v.equals(&Value::DateTime(0))),
            Some(Some(true))
        );
        assert_eq!(parse_datetime("1970-01-01T01:00:00"), None);
    }

    #[test]
    fn zones_are_looked_up_at_the_time_that_is_asked_for() {
        for (text, expected) in [
            (
                "2015-07-21T21:40[Europe/London]",
                "2015-07-21T21:40+01:00[Europe/London]",
            ),
            (
                "2015-01-21T21:40[Europe/London]",
                "2015-01-21T21:40Z[Europe/London]",
            ),
        ] {
            let value = read(Kind::DateTime, text).and_then(|value| temporal::text(&value));
            assert_eq!(value.as_deref(), Some(expected));
        }
        assert!(read(Kind::DateTime, "2015-01-21T21:40[Nowhere/Town]").is_none());
    }
}
