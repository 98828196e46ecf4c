//! Dates (days since 1970-01-01) and instants (microseconds since then, UTC).

use jiff::civil::Date;
use jiff::{Timestamp, Unit};
use language::value::Value;

use super::{Answer, Call};

const EPOCH: Date = Date::constant(1970, 1, 1);
const MICROS_PER_DAY: i64 = 86_400_000_000;

pub(super) fn date(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::Date(_) => Ok(value.clone()),
        Value::DateTime(micros) => {
            Ok(i32::try_from(micros.div_euclid(MICROS_PER_DAY)).map_or(Value::Null, Value::Date))
        }
        Value::String(text) => parse_date(text)
            .map(Value::Date)
            .ok_or_else(|| call.refuse(format!("`{text}` is not a date (YYYY-MM-DD)"))),
        other => Err(call.mismatch("a string, date or datetime", other)),
    }
}

pub(super) fn datetime(call: Call<'_>, value: &Value) -> Answer {
    match value {
        Value::DateTime(_) => Ok(value.clone()),
        Value::Date(days) => Ok(Value::DateTime(i64::from(*days) * MICROS_PER_DAY)),
        Value::String(text) => parse_datetime(text).map(Value::DateTime).ok_or_else(|| {
            call.refuse(format!(
                "`{text}` is not an instant with an offset (2024-05-01T12:00:00Z)"
            ))
        }),
        other => Err(call.mismatch("a string, date or datetime", other)),
    }
}

/// Days since 1970-01-01 of ISO 8601 text.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let date: Date = text.parse().ok()?;
    let span = date.since((Unit::Day, EPOCH)).ok()?;
    Some(span.get_days())
}

/// Microseconds since 1970-01-01T00:00:00Z of ISO 8601 text with an offset.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    text.parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_microsecond)
}

/// ISO 8601.
pub(super) fn date_text(days: i32) -> String {
    let date = jiff::Span::new()
        .try_days(days)
        .ok()
        .and_then(|span| EPOCH.checked_add(span).ok());
    date.map_or_else(
        || format!("{days} days since 1970-01-01"),
        |date| date.to_string(),
    )
}

/// ISO 8601, in UTC.
pub(super) fn datetime_text(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(
        |_| format!("{micros} microseconds since 1970-01-01"),
        |instant| instant.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2024-02-29", 19_782),
        ] {
            assert_eq!(parse_date(text), Some(days), "{text}");
            assert_eq!(date_text(days), text);
        }
        assert_eq!(parse_date("2023-02-29"), None);
        assert_eq!(parse_datetime("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_datetime("1970-01-01T01:00:00"), None);
        assert_eq!(datetime_text(1), "1970-01-01T00:00:00.000001Z");
    }
}
