//! Components of times and durations: `d.year`, `d.dayOfQuarter`, `d.minutesOfHour`.

use language::temporal::{Duration, SECOND, Temporal, civil, days, of, offset_text, week, weekday};
use language::value::Value;

use super::build::day_of_quarter;
use super::zone::instant;
use super::{Kind, Parts, parts};

/// The component called `name`; `None` when the value has none of that name.
pub(crate) fn component(value: &Value, name: &str) -> Option<Value> {
    if let Temporal::Duration(duration) = of(value)? {
        return of_duration(&duration, name);
    }
    let (kind, parts) = parts(value)?;
    let date = || kind.has_date().then(|| of_date(parts.days, name)).flatten();
    let time = || {
        kind.has_time()
            .then(|| of_time(parts.nanos, name))
            .flatten()
    };
    date().or_else(time).map(Value::Int).or_else(|| {
        kind.has_offset()
            .then(|| of_place(kind, &parts, name))
            .flatten()
    })
}

fn of_date(day: i64, name: &str) -> Option<i64> {
    let (year, month, of_month) = civil(day);
    Some(match name {
        "year" => year,
        "quarter" => (month - 1) / 3 + 1,
        "month" => month,
        "week" => week(day).1,
        "weekYear" => week(day).0,
        "day" => of_month,
        "ordinalDay" => day - days(year, 1, 1) + 1,
        "weekDay" | "dayOfWeek" => weekday(day),
        "dayOfQuarter" => day_of_quarter(day),
        _ => return None,
    })
}

fn of_time(nanos: i64, name: &str) -> Option<i64> {
    let second = nanos / SECOND;
    let fraction = nanos % SECOND;
    Some(match name {
        "hour" => second / 3_600,
        "minute" => second / 60 % 60,
        "second" => second % 60,
        "millisecond" => fraction / 1_000_000,
        "microsecond" => fraction / 1_000,
        "nanosecond" => fraction,
        _ => return None,
    })
}

fn of_place(kind: Kind, parts: &Parts, name: &str) -> Option<Value> {
    let offset = || Value::string(offset_text(parts.offset));
    let epoch = |unit: i128| {
        let value = instant(parts).div_euclid(unit);
        (kind == Kind::DateTime)
            .then(|| i64::try_from(value).ok().map(Value::Int))
            .flatten()
    };
    match name {
        "timezone" => Some(match &parts.zone {
            Some(zone) => Value::String(zone.clone()),
            None => offset(),
        }),
        "offset" => Some(offset()),
        "offsetMinutes" => Some(Value::Int(i64::from(parts.offset / 60))),
        "offsetSeconds" => Some(Value::Int(i64::from(parts.offset))),
        "epochSeconds" => epoch(i128::from(SECOND)),
        "epochMillis" => epoch(1_000_000),
        _ => None,
    }
}

fn of_duration(duration: &Duration, name: &str) -> Option<Value> {
    let nanos = duration.total_nanos();
    let second = i128::from(SECOND);
    let whole = |unit: i128| i64::try_from(nanos.div_euclid(unit)).ok();
    let (months, seconds) = (duration.months, duration.seconds);
    let fraction = i64::from(duration.nanos);
    let value = match name {
        "years" => months / 12,
        "quarters" => months / 3,
        "months" => months,
        "weeks" => duration.days / 7,
        "days" => duration.days,
        "hours" => seconds / 3_600,
        "minutes" => seconds / 60,
        "seconds" => seconds,
        "milliseconds" => whole(second / 1_000)?,
        "microseconds" => whole(second / 1_000_000)?,
        "nanoseconds" => whole(1)?,
        "quartersOfYear" => months % 12 / 3,
        "monthsOfQuarter" => months % 3,
        "monthsOfYear" => months % 12,
        "daysOfWeek" => duration.days % 7,
        "minutesOfHour" => seconds / 60 % 60,
        "secondsOfMinute" => seconds % 60,
        "millisecondsOfSecond" => fraction / 1_000_000,
        "microsecondsOfSecond" => fraction / 1_000,
        "nanosecondsOfSecond" => fraction,
        _ => return None,
    };
    Some(Value::Int(value))
}
