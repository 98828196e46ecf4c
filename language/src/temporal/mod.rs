//! Times beyond dates and instants: openCypher's temporal values, how they compare and how they
//! are written (ISO 8601).
//!
//! A `DateTime` in UTC to the microsecond is a [`Value::DateTime`], a date that fits 32 bits of
//! days a [`Value::Date`]: that is how properties of those types are stored. Everything else is a
//! [`Temporal`]. The makers here ([`date`], [`date_time`]) choose; nobody else should.
//!
//! It knows no time zones but their names: what offset a zone has at a time is the engine's to ask.

pub mod parse;

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds of a day.
pub const DAY: i64 = 86_400 * SECOND;
const MICROS_PER_DAY: i64 = DAY / 1_000;

/// A time, or an amount of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Temporal {
    /// A date too far away for [`Value::Date`]: days since 1970-01-01.
    Date(i64),
    /// Nanoseconds since midnight, anywhere.
    LocalTime(i64),
    /// A time of day at an offset.
    Time {
        /// Nanoseconds since local midnight.
        nanos: i64,
        /// Seconds east of UTC.
        offset: i32,
    },
    /// A date and time, anywhere.
    LocalDateTime {
        /// Since 1970-01-01.
        days: i64,
        /// Since midnight.
        nanos: i64,
    },
    /// A date and time at an offset, perhaps in a named zone.
    DateTime {
        /// Local days since 1970-01-01.
        days: i64,
        /// Nanoseconds since local midnight.
        nanos: i64,
        /// Seconds east of UTC.
        offset: i32,
        /// As in `[Europe/Stockholm]`.
        zone: Option<Arc<str>>,
    },
    /// An amount of time.
    Duration(Duration),
}

/// An amount of time in parts that do not convert into each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Duration {
    /// Whole months.
    pub months: i64,
    /// Whole days.
    pub days: i64,
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// What is left, 0 to 999,999,999.
    pub nanos: i32,
}

impl Duration {
    /// Of months, days and nanoseconds; `None` when it does not fit.
    #[must_use]
    pub fn new(months: i128, days: i128, nanos: i128) -> Option<Self> {
        let second = i128::from(SECOND);
        Some(Self {
            months: i64::try_from(months).ok()?,
            days: i64::try_from(days).ok()?,
            seconds: i64::try_from(nanos.div_euclid(second)).ok()?,
            nanos: i32::try_from(nanos.rem_euclid(second)).ok()?,
        })
    }

    /// Seconds and nanoseconds together, in nanoseconds.
    #[must_use]
    pub fn total_nanos(&self) -> i128 {
        i128::from(self.seconds) * i128::from(SECOND) + i128::from(self.nanos)
    }

    /// An average length in nanoseconds, for sorting: months as 30.436875 days.
    fn length(&self) -> i128 {
        const MONTH: i128 = 2_629_746;
        let seconds = i128::from(self.months) * MONTH + i128::from(self.days) * 86_400;
        seconds * i128::from(SECOND) + self.total_nanos()
    }
}

/// The date so many days after 1970-01-01.
#[must_use]
pub fn date(days: i64) -> Value {
    i32::try_from(days).map_or_else(|_| wrap(Temporal::Date(days)), Value::Date)
}

/// A date and time at an offset; days and nanoseconds are local.
#[must_use]
pub fn date_time(days: i64, nanos: i64, offset: i32, zone: Option<Arc<str>>) -> Value {
    let micros = days
        .checked_mul(MICROS_PER_DAY)
        .and_then(|micros| micros.checked_add(nanos / 1_000));
    match micros {
        Some(micros) if offset == 0 && zone.is_none() && nanos % 1_000 == 0 => {
            Value::DateTime(micros)
        }
        _ => wrap(Temporal::DateTime {
            days,
            nanos,
            offset,
            zone,
        }),
    }
}

/// As a value.
#[must_use]
pub fn wrap(temporal: Temporal) -> Value {
    Value::Temporal(Arc::new(temporal))
}

/// A date, time or duration as [`Temporal`] says it; `None` for other values.
#[must_use]
pub fn of(value: &Value) -> Option<Temporal> {
    Some(match value {
        Value::Date(days) => Temporal::Date(i64::from(*days)),
        Value::DateTime(micros) => Temporal::DateTime {
            days: micros.div_euclid(MICROS_PER_DAY),
            nanos: micros.rem_euclid(MICROS_PER_DAY) * 1_000,
            offset: 0,
            zone: None,
        },
        Value::Temporal(temporal) => temporal.as_ref().clone(),
        _ => return None,
    })
}

/// ISO 8601, as `toString` gives it; `None` for values that are not temporal.
#[must_use]
pub fn text(value: &Value) -> Option<String> {
    of(value).map(|temporal| temporal.to_string())
}

impl Temporal {
    /// The name of the kind, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Date(_) => "date",
            Self::LocalTime(_) => "localtime",
            Self::Time { .. } => "time",
            Self::LocalDateTime { .. } => "localdatetime",
            Self::DateTime { .. } => "datetime",
            Self::Duration(_) => "duration",
        }
    }

    /// The instant that a date and time with an offset is, in nanoseconds since 1970 in UTC.
    #[must_use]
    pub fn utc_nanos(&self) -> Option<i128> {
        matches!(self, Self::DateTime { .. }).then(|| self.instant().1)
    }

    /// What it is compared by: kind, then nanoseconds. Two are equal when these are, except
    /// durations, which have no single length.
    pub(crate) fn instant(&self) -> (u8, i128) {
        let day = i128::from(DAY);
        let second = i128::from(SECOND);
        match self {
            Self::DateTime {
                days,
                nanos,
                offset,
                ..
            } => {
                let local = i128::from(*days) * day + i128::from(*nanos);
                (0, local - i128::from(*offset) * second)
            }
            Self::LocalDateTime { days, nanos } => {
                (1, i128::from(*days) * day + i128::from(*nanos))
            }
            Self::Date(days) => (2, i128::from(*days) * day),
            Self::Time { nanos, offset } => (3, i128::from(*nanos) - i128::from(*offset) * second),
            Self::LocalTime(nanos) => (4, i128::from(*nanos)),
            Self::Duration(duration) => (5, duration.length()),
        }
    }

    /// `=`.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (a, b) => a.instant() == b.instant(),
        }
    }

    /// `<` and its kin: `None` between kinds and between durations that differ.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Duration(a), Self::Duration(b)) => (a == b).then_some(Ordering::Equal),
            (a, b) => {
                let (a, b) = (a.instant(), b.instant());
                (a.0 == b.0).then(|| a.1.cmp(&b.1))
            }
        }
    }

    /// Bytes that are equal for equal values, and only for them.
    pub(crate) fn write_key(&self, out: &mut Vec<u8>) {
        let (kind, nanos) = self.instant();
        out.push(kind);
        if let Self::Duration(duration) = self {
            out.extend_from_slice(&duration.months.to_be_bytes());
            out.extend_from_slice(&duration.days.to_be_bytes());
        }
        out.extend_from_slice(&nanos.to_be_bytes());
    }
}

impl std::fmt::Display for Temporal {
    /// ISO 8601.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Date(days) => f.write_str(&date_text(*days)),
            Self::LocalTime(nanos) => f.write_str(&time_text(*nanos)),
            Self::Time { nanos, offset } => {
                write!(f, "{}{}", time_text(*nanos), offset_text(*offset))
            }
            Self::LocalDateTime { days, nanos } => {
                write!(f, "{}T{}", date_text(*days), time_text(*nanos))
            }
            Self::DateTime {
                days,
                nanos,
                offset,
                zone,
            } => {
                let (date, time) = (date_text(*days), time_text(*nanos));
                write!(f, "{date}T{time}{}", offset_text(*offset))?;
                zone.as_ref().map_or(Ok(()), |zone| write!(f, "[{zone}]"))
            }
            Self::Duration(duration) => f.write_str(&duration_text(duration)),
        }
    }
}

fn date_text(days: i64) -> String {
    let (year, month, day) = civil(days);
    let sign = match year {
        ..0 => "-",
        0..10_000 => "",
        _ => "+",
    };
    format!("{sign}{:04}-{month:02}-{day:02}", year.abs())
}

/// `12:31`, `12:31:14`, `12:31:14.645`.
fn time_text(nanos: i64) -> String {
    let (seconds, fraction) = (nanos / SECOND, nanos % SECOND);
    let mut text = format!("{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
    if nanos % (60 * SECOND) != 0 {
        let _ = write!(text, ":{:02}{}", seconds % 60, fraction_text(fraction));
    }
    text
}

fn fraction_text(nanos: i64) -> String {
    if nanos == 0 {
        return String::new();
    }
    format!(".{nanos:09}").trim_end_matches('0').to_owned()
}

/// `Z`, `+01:00`, `-02:05:07`.
#[must_use]
pub fn offset_text(offset: i32) -> String {
    if offset == 0 {
        return "Z".to_owned();
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let seconds = offset.abs();
    let mut text = format!("{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
    if seconds % 60 != 0 {
        let _ = write!(text, ":{:02}", seconds % 60);
    }
    text
}

fn duration_text(duration: &Duration) -> String {
    let mut text = String::from("P");
    let part = |value: i128, unit: char, text: &mut String| {
        if value != 0 {
            let _ = write!(text, "{value}{unit}");
        }
    };
    part(i128::from(duration.months / 12), 'Y', &mut text);
    part(i128::from(duration.months % 12), 'M', &mut text);
    part(i128::from(duration.days), 'D', &mut text);
    let nanos = duration.total_nanos();
    let second = i128::from(SECOND);
    let mut time = String::new();
    part(nanos / (3_600 * second), 'H', &mut time);
    part(nanos / (60 * second) % 60, 'M', &mut time);
    let rest = nanos % (60 * second);
    if rest != 0 {
        let sign = if rest < 0 { "-" } else { "" };
        let (seconds, fraction) = (rest.abs() / second, rest.abs() % second);
        let fraction = fraction_text(i64::try_from(fraction).unwrap_or_default());
        let _ = write!(time, "{sign}{seconds}{fraction}S");
    }
    if !time.is_empty() {
        let _ = write!(text, "T{time}");
    }
    if text == "P" { "PT0S".to_owned() } else { text }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar (Howard Hinnant's
/// `days_from_civil`). Month from 1 to 12.
#[must_use]
pub const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant's `civil_from_days`).
#[must_use]
pub const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// How many days a month has.
#[must_use]
pub const fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day of the week, Monday is 1.
#[must_use]
pub const fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// The Monday of the first week (ISO 8601) of a year, in days since 1970-01-01.
#[must_use]
pub const fn first_monday(year: i64) -> i64 {
    let fourth = self::days(year, 1, 4);
    fourth - (weekday(fourth) - 1)
}

/// The year that the week (ISO 8601) of a day belongs to, and the week's number.
#[must_use]
pub const fn week(days: i64) -> (i64, i64) {
    let (year, _, _) = civil(days);
    let year = if days >= first_monday(year + 1) {
        year + 1
    } else if days < first_monday(year) {
        year - 1
    } else {
        year
    };
    (year, (days - first_monday(year)) / 7 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_each_other_s_inverse() {
        for day in (-1_000_000..1_000_000).step_by(97) {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
            assert!((1..=month_length(year, month)).contains(&of_month));
        }
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 2, 29), 11_016);
        assert_eq!(week(days(1984, 1, 1)), (1983, 52));
        assert_eq!(weekday(days(1984, 10, 11)), 4);
    }

    #[test]
    fn everything_is_written_as_the_tck_writes_it() {
        let duration = |months, days, nanos| {
            Duration::new(months, days, nanos).map(|d| Temporal::Duration(d).to_string())
        };
        assert_eq!(
            duration(149, -14, 57_600_000_000_000).as_deref(),
            Some("P12Y5M-14DT16H")
        );
        assert_eq!(
            duration(0, 0, -60_001_000_000).as_deref(),
            Some("PT-1M-0.001S")
        );
        assert_eq!(duration(0, 0, 0).as_deref(), Some("PT0S"));
        let zone = Some(Arc::from("Europe/Stockholm"));
        let value = date_time(0, 0, 3_600, zone);
        assert_eq!(
            text(&value).as_deref(),
            Some("1970-01-01T00:00+01:00[Europe/Stockholm]")
        );
        assert_eq!(
            text(&Value::DateTime(1)).as_deref(),
            Some("1970-01-01T00:00:00.000001Z")
        );
        assert_eq!(text(&date(-719_529)).as_deref(), Some("-0001-12-31"));
    }

    #[test]
    fn instants_are_equal_whatever_their_offset() {
        let utc = Value::DateTime(0);
        let other = date_time(0, 3_600 * SECOND, 3_600, None);
        assert_eq!(utc.equals(&other), Some(true));
        assert_eq!(utc.group_key(), other.group_key());
        assert_eq!(utc.equals(&Value::Date(0)), Some(false));
    }
}
