//! `duration.between` and its kin: what lies between two times.
//!
//! A time without a date is taken on the date of the other; one without an offset is told where the
//! other is told. Months and days are counted on the calendar, the rest on the clock.

use language::plan::Function;
use language::temporal::{DAY, Duration, Temporal, civil, wrap};
use language::value::Value;

use super::sum::months_later;
use super::zone::{Place, instant};
use super::{Parts, parts};
use crate::executor::functions::{Answer, Call};

pub(super) fn between(call: Call<'_>, function: Function, from: &Value, to: &Value) -> Answer {
    let taken = |value: &Value| parts(value).ok_or_else(|| call.mismatch("a date or time", value));
    let ((from_kind, mut start), (to_kind, mut end)) = (taken(from)?, taken(to)?);
    let dated = from_kind.has_date() && to_kind.has_date();
    if !from_kind.has_date() {
        start.days = end.days;
    }
    if !to_kind.has_date() {
        end.days = start.days;
    }
    if !dated && !from_kind.has_date() && !to_kind.has_date() {
        (start.days, end.days) = (0, 0);
    }
    let place = match (from_kind.has_offset(), to_kind.has_offset()) {
        (true, _) => Place::of(&start),
        (false, true) => Place::of(&end),
        (false, false) => Place::default(),
    };
    if !from_kind.has_offset() {
        start = place.at_local(start.days, start.nanos);
    }
    end = if to_kind.has_offset() {
        place.at_instant(instant(&end)).unwrap_or(end)
    } else {
        place.at_local(end.days, end.nanos)
    };
    let found = match function {
        Function::DurationInSeconds => Duration::new(0, 0, instant(&end) - instant(&start)),
        Function::DurationInMonths if dated => {
            Duration::new(i128::from(whole_months(&start, &end)), 0, 0)
        }
        Function::DurationInDays if dated => {
            Duration::new(0, i128::from(whole_days(&start, &end)), 0)
        }
        Function::DurationBetween if dated => in_all(&place, &start, &end),
        Function::DurationBetween => Duration::new(0, 0, instant(&end) - instant(&start)),
        _ => Some(Duration::default()),
    };
    let found = found.ok_or_else(|| call.refuse("the duration is out of range"))?;
    Ok(wrap(Temporal::Duration(found)))
}

fn local(parts: &Parts) -> i128 {
    i128::from(parts.days) * i128::from(DAY) + i128::from(parts.nanos)
}

/// Whole months from one local time to another, towards zero.
fn whole_months(start: &Parts, end: &Parts) -> i64 {
    let ((y1, m1, _), (y2, m2, _)) = (civil(start.days), civil(end.days));
    let mut months = (y2 - y1) * 12 + (m2 - m1);
    let at = |months: i64| {
        local(&Parts {
            days: months_later(start.days, months),
            ..start.clone()
        })
    };
    if local(end) >= local(start) {
        if at(months) > local(end) {
            months -= 1;
        }
    } else if at(months) < local(end) {
        months += 1;
    }
    months
}

/// Whole days from one local time to another, towards zero.
fn whole_days(start: &Parts, end: &Parts) -> i64 {
    let days = (local(end) - local(start)) / i128::from(DAY);
    i64::try_from(days).unwrap_or_default()
}

/// Months, then days, then what the clock shows between there and the end.
fn in_all(place: &Place, start: &Parts, end: &Parts) -> Option<Duration> {
    let months = whole_months(start, end);
    let later = Parts {
        days: months_later(start.days, months),
        ..start.clone()
    };
    let days = whole_days(&later, end);
    let reached = if months == 0 && days == 0 {
        start.clone()
    } else {
        place.at_local(later.days + days, start.nanos)
    };
    let rest = instant(end) - instant(&reached);
    Duration::new(i128::from(months), i128::from(days), rest)
}
