//! Arithmetic with durations: `time + duration`, `duration * number`.

use language::temporal::parse::{self, Amount};
use language::temporal::{DAY, Duration, Temporal, civil, days, month_length, of, wrap};
use language::value::Value;

use super::zone::{Place, instant};
use super::{Kind, Parts, parts, whole};

/// The same day of the month so many months later, or the last of that month.
pub(super) fn months_later(day: i64, months: i64) -> i64 {
    let (year, month, of_month) = civil(day);
    let count = year * 12 + month - 1 + months;
    let (year, month) = (count.div_euclid(12), count.rem_euclid(12) + 1);
    days(year, month, of_month.min(month_length(year, month)))
}

fn duration_of(value: &Value) -> Option<Duration> {
    match of(value)? {
        Temporal::Duration(duration) => Some(duration),
        _ => None,
    }
}

/// A time or duration and a duration, in any order; `None` when it is no such sum, or out of range.
pub(crate) fn add(a: &Value, b: &Value) -> Option<Value> {
    match (duration_of(a), duration_of(b)) {
        (Some(a), Some(b)) => {
            let months = i128::from(a.months) + i128::from(b.months);
            let days = i128::from(a.days) + i128::from(b.days);
            let sum = Duration::new(months, days, a.total_nanos() + b.total_nanos())?;
            Some(wrap(Temporal::Duration(sum)))
        }
        (None, Some(duration)) => later(a, duration),
        (Some(duration), None) => later(b, duration),
        (None, None) => None,
    }
}

/// A duration backwards.
pub(crate) fn negated(value: &Value) -> Option<Value> {
    let duration = duration_of(value)?;
    let negative = Duration::new(
        -i128::from(duration.months),
        -i128::from(duration.days),
        -duration.total_nanos(),
    )?;
    Some(wrap(Temporal::Duration(negative)))
}

/// A duration so many times.
pub(crate) fn multiply(a: &Value, b: &Value) -> Option<Value> {
    let (duration, factor) = match (duration_of(a), duration_of(b)) {
        (Some(duration), None) => (duration, b),
        (None, Some(duration)) => (duration, a),
        _ => return None,
    };
    match factor {
        Value::Int(factor) => {
            let factor = i128::from(*factor);
            let product = Duration::new(
                i128::from(duration.months) * factor,
                i128::from(duration.days) * factor,
                duration.total_nanos().checked_mul(factor)?,
            )?;
            Some(wrap(Temporal::Duration(product)))
        }
        Value::Float(factor) => scaled(duration, *factor),
        _ => None,
    }
}

/// A part of a duration; `None` by zero.
#[expect(clippy::cast_precision_loss, reason = "as openCypher divides")]
pub(crate) fn divide(a: &Value, b: &Value) -> Option<Value> {
    let duration = duration_of(a)?;
    let divisor = match b {
        Value::Int(int) => *int as f64,
        Value::Float(float) => *float,
        _ => return None,
    };
    if divisor == 0.0 {
        return None;
    }
    scaled(duration, 1.0 / divisor)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a scaled duration is as exact as a float; what does not fit is refused"
)]
fn scaled(duration: Duration, factor: f64) -> Option<Value> {
    let nanos = duration.total_nanos() as f64 * factor;
    let sum = parse::Parts {
        months: Amount::float(duration.months as f64 * factor)?,
        days: Amount::float(duration.days as f64 * factor)?,
        nanos: (nanos.abs() < 9e27).then(|| nanos.round() as i128)?,
    };
    Some(wrap(Temporal::Duration(sum.finish(false)?)))
}

fn later(value: &Value, duration: Duration) -> Option<Value> {
    let (kind, start) = parts(value)?;
    let nanos = duration.total_nanos();
    let day = i128::from(DAY);
    if !kind.has_date() {
        let sum = (i128::from(start.nanos) + nanos).rem_euclid(day);
        return Some(whole(
            kind,
            Parts {
                nanos: i64::try_from(sum).ok()?,
                ..start
            },
        ));
    }
    // Out of reach: openCypher's years have nine digits.
    if duration.months.abs() > 24_000_000_000 || duration.days.abs() > 1_000_000_000_000 {
        return None;
    }
    let date = months_later(start.days, duration.months) + duration.days;
    if kind == Kind::Date {
        let more = i64::try_from(nanos / day).ok()?;
        return Some(whole(
            kind,
            Parts {
                days: date.checked_add(more)?,
                ..start
            },
        ));
    }
    if kind == Kind::LocalDateTime {
        let sum = i128::from(start.nanos) + nanos;
        let more = i64::try_from(sum.div_euclid(day)).ok()?;
        let nanos = i64::try_from(sum.rem_euclid(day)).ok()?;
        return Some(whole(
            kind,
            Parts {
                days: date.checked_add(more)?,
                nanos,
                ..start
            },
        ));
    }
    let place = Place::of(&start);
    let moved = if date == start.days {
        start
    } else {
        place.at_local(date, start.nanos)
    };
    Some(whole(kind, place.at_instant(instant(&moved) + nanos)?))
}

#[cfg(test)]
mod tests {
    use language::temporal::text;

    use super::*;

    #[test]
    fn the_end_of_a_month_stays_within_the_month() {
        assert_eq!(months_later(days(2024, 1, 31), 1), days(2024, 2, 29));
        assert_eq!(months_later(days(2024, 1, 31), -2), days(2023, 11, 30));
    }

    #[test]
    fn durations_add_to_times_and_scale() {
        let duration = |text| parse::duration(text).map(Temporal::Duration).map(wrap);
        let day = duration("P1M1DT25H").expect("a duration");
        let sum = add(&Value::Date(0), &day).and_then(|value| text(&value));
        assert_eq!(sum.as_deref(), Some("1970-02-03"));
        let half = divide(&day, &Value::Int(2)).and_then(|value| text(&value));
        assert_eq!(half.as_deref(), Some("P15DT29H44M33S"));
        assert_eq!(divide(&day, &Value::Int(0)), None);
        assert_eq!(add(&Value::Int(1), &day), None);
    }
}
