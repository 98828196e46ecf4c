//! `date.truncate('month', d, {day: 2})` and its kin.

use language::temporal::{DAY, SECOND, civil, days, first_monday, week, weekday};
use language::value::Value;

use super::build::{self, Fields};
use super::zone::Place;
use super::{Kind, Parts, parts, whole};
use crate::executor::functions::{Answer, Call};

pub(super) fn truncate(call: Call<'_>, kind: Kind, values: &[Value]) -> Answer {
    let unit = call.text(values.first().unwrap_or(&Value::Null))?;
    let now;
    let value = match values.get(1) {
        Some(value) => value,
        None => {
            now = super::clock(call, kind, &[])?;
            &now
        }
    };
    let Some((found, given)) = parts(value) else {
        return Err(call.mismatch("a date or time", value));
    };
    if kind.has_date() && !found.has_date() {
        return Err(call.mismatch("a time with a date", value));
    }
    let Some((mut day, mut nanos)) = cut(unit, &given) else {
        return Err(call.refuse(format!("there is no unit `{unit}`")));
    };
    if !kind.has_time() && TIME_UNITS.iter().any(|(name, _)| *name == unit) {
        return Err(call.refuse(format!("a date has no `{unit}`")));
    }
    let empty = std::collections::BTreeMap::new();
    let map = match values.get(2) {
        Some(Value::Map(map)) => map.as_ref(),
        Some(other) => return Err(call.mismatch("a map", other)),
        None => &empty,
    };
    let fields = Fields::new(call, map);
    if kind.has_date() {
        day = build::date_of(fields, Some(day))?;
    }
    nanos = if kind.has_time() {
        build::time_of(fields, nanos, true)?
    } else {
        0
    };
    let place = match map.get("timezone") {
        Some(Value::String(text)) => match Place::read(text) {
            Some(place) => place,
            None => return Err(call.refuse(format!("there is no time zone `{text}`"))),
        },
        _ if found.has_offset() => Place::of(&given),
        _ => Place::default(),
    };
    Ok(whole(kind, build::told(kind, day, nanos, &place)))
}

/// Parts of a day, in nanoseconds.
const TIME_UNITS: [(&str, i64); 5] = [
    ("hour", 3_600 * SECOND),
    ("minute", 60 * SECOND),
    ("second", SECOND),
    ("millisecond", SECOND / 1_000),
    ("microsecond", SECOND / 1_000_000),
];

/// The beginning of the unit that holds a time: days and nanoseconds. `None` for an unknown unit.
fn cut(unit: &str, given: &Parts) -> Option<(i64, i64)> {
    let (year, month, _) = civil(given.days);
    let years = |count: i64| days(year.div_euclid(count) * count, 1, 1);
    let day = match unit {
        "millennium" => years(1_000),
        "century" => years(100),
        "decade" => years(10),
        "year" => years(1),
        "weekYear" => first_monday(week(given.days).0),
        "quarter" => days(year, (month - 1) / 3 * 3 + 1, 1),
        "month" => days(year, month, 1),
        "week" => given.days - (weekday(given.days) - 1),
        "day" => given.days,
        _ => {
            let (_, step) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
            debug_assert!(given.nanos < DAY, "within the day");
            return Some((given.days, given.nanos / step * step));
        }
    };
    Some((day, 0))
}
