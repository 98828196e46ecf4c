//! Dates and times as ISO 8601 text.
//!
//! A date is days, a time microseconds since 1970-01-01T00:00:00Z; both proleptic Gregorian, years
//! -9999 to 9999. `parse_date("1970-01-02")` is 1.

use jiff::Timestamp;
use jiff::civil::{self, Date};

use crate::temporal;

/// First day that is accepted: -9999-01-01.
pub const MIN_DATE: i32 = -4_371_587;
/// Last day that is accepted: 9999-12-31.
pub const MAX_DATE: i32 = 2_932_896;
const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;
/// First microsecond that is accepted.
pub const MIN_DATE_TIME: i64 = MIN_DATE as i64 * MICROS_PER_DAY;
/// Last microsecond that is accepted.
pub const MAX_DATE_TIME: i64 = (MAX_DATE as i64 + 1) * MICROS_PER_DAY - 1;

/// Days since 1970-01-01 of `2024-02-29`; `None` when the text is no date, or more than one.
#[must_use]
pub fn parse_date(text: &str) -> Option<i32> {
    // jiff would take the date out of a longer text.
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+'))
    {
        return None;
    }
    let date: Date = text.parse().ok()?;
    let days = date.duration_since(civil::date(1970, 1, 1)).as_secs() / SECONDS_PER_DAY;
    i32::try_from(days).ok()
}

/// Microseconds since 1970-01-01T00:00:00Z of `2024-02-29T12:00:00+01:00`. Without an offset UTC
/// is meant, as in Cypher; parts of a microsecond are cut off.
#[must_use]
pub fn parse_date_time(text: &str) -> Option<i64> {
    // A time is asked for: a date alone would be taken for midnight without anyone having said so.
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let days = parse_date(date)?;
    // jiff would take a second `T`.
    if !time.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let utc = time.strip_suffix(['Z', 'z']).unwrap_or(time);
    if utc.contains(['+', '-', '[']) {
        let timestamp: Timestamp = text.parse().ok()?;
        return i64::try_from(timestamp.as_nanosecond().div_euclid(1_000)).ok();
    }
    // Not by way of a timestamp: those of jiff end a day before 9999-12-31, which people write for
    // "without end".
    let time: civil::Time = utc.parse().ok()?;
    let seconds =
        (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
    let micros = seconds * MICROS_PER_SECOND + i64::from(time.subsec_nanosecond()) / 1_000;
    Some(i64::from(days) * MICROS_PER_DAY + micros)
}

/// `2024-02-29`; years outside 0 to 9999 have a sign and six digits.
#[must_use]
pub fn format_date(days: i32) -> String {
    format_days(i64::from(days))
}

/// `2024-02-29T11:00:00Z`, with as many decimals as are needed.
#[must_use]
pub fn format_date_time(micros: i64) -> String {
    let date = format_days(micros.div_euclid(MICROS_PER_DAY));
    let seconds = micros.rem_euclid(MICROS_PER_DAY) / MICROS_PER_SECOND;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match micros.rem_euclid(MICROS_PER_SECOND) {
        0 => format!("{date}T{hour:02}:{minute:02}:{second:02}Z"),
        fraction => {
            let decimals = format!("{fraction:06}");
            let decimals = decimals.trim_end_matches('0');
            format!("{date}T{hour:02}:{minute:02}:{second:02}.{decimals}Z")
        }
    }
}

/// Formats every day there is, so that no value is without a text.
fn format_days(days: i64) -> String {
    let (year, month, day) = temporal::civil(days);
    if (0..=9_999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:+07}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_back_as_they_went() {
        for days in (MIN_DATE..=MAX_DATE)
            .step_by(97)
            .chain([MIN_DATE, -1, 0, 1, MAX_DATE])
        {
            assert_eq!(
                parse_date(&format_date(days)),
                Some(days),
                "{}",
                format_date(days)
            );
        }
        assert_eq!(format_date(MIN_DATE), "-009999-01-01");
        assert_eq!(format_date(MAX_DATE), "9999-12-31");
        assert_eq!(format_date(19_782), "2024-02-29");
    }

    #[test]
    fn times_are_utc_to_the_microsecond() {
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", Some("1970-01-01T00:00:01Z")),
            ("2024-02-29T12:00:00+01:00", Some("2024-02-29T11:00:00Z")),
            ("2024-02-29 12:00:00", Some("2024-02-29T12:00:00Z")),
            ("2024-02-29T12:00", Some("2024-02-29T12:00:00Z")),
            (
                "1969-12-31T23:59:59.9999999Z",
                Some("1969-12-31T23:59:59.999999Z"),
            ),
            ("2024-02-29T12:00:00.120Z", Some("2024-02-29T12:00:00.12Z")),
            ("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59Z")),
            ("1970-01-01T00:00:00-00:30", Some("1970-01-01T00:30:00Z")),
            ("2024-02-29T12:00:00+25:99", None),
            ("2024-02-29T2024-02-29", None),
            ("2024-02-29TT12:00", None),
            ("2024-02-29T25:00", None),
            ("2024-02-29", None),
            ("2023-02-29T00:00:00Z", None),
            ("now", None),
            ("", None),
        ] {
            let formatted = parse_date_time(text).map(format_date_time);
            assert_eq!(formatted.as_deref(), expected, "{text}");
        }
        assert_eq!(format_date_time(MIN_DATE_TIME), "-009999-01-01T00:00:00Z");
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "2024",
            "2024-02-30",
            "2024-02-29T00:00",
            "2024-2-9",
            "29.02.2024",
            " 2024-02-29",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
