//! Times from maps of components: `{year: 1984, week: 10, dayOfWeek: 3}`, `{date: d, hour: 12}`.

use std::collections::BTreeMap;

use language::temporal::parse::{self, Amount};
use language::temporal::{
    Duration, SECOND, civil, days, first_monday, month_length, week, weekday,
};
use language::value::Value;

use super::zone::{self, Place};
use super::{Kind, Parts, parts, whole};
use crate::executor::error::ExecuteError;
use crate::executor::functions::{Answer, Call};

/// The components of a map.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    call: Call<'a>,
    map: &'a BTreeMap<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(call: Call<'a>, map: &'a BTreeMap<String, Value>) -> Self {
        Self { call, map }
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, ExecuteError> {
        match self.map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => self.call.integer(value).map(Some),
        }
    }

    fn within(&self, name: &str, low: i64, high: i64) -> Result<Option<i64>, ExecuteError> {
        let value = self.integer(name)?;
        match value {
            Some(value) if !(low..=high).contains(&value) => {
                let problem = format!("`{name}` is {low} to {high}, not {value}");
                Err(self.call.refuse(problem))
            }
            value => Ok(value),
        }
    }

    fn has(&self, names: &[&str]) -> bool {
        names
            .iter()
            .any(|name| self.map.get(*name).is_some_and(|value| !value.is_null()))
    }

    fn temporal(&self, name: &str) -> Result<Option<(Kind, Parts)>, ExecuteError> {
        match self.map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match parts(value) {
                Some(found) => Ok(Some(found)),
                None => Err(self.call.mismatch("a date or time", value)),
            },
        }
    }

    fn place(&self) -> Result<Option<Place>, ExecuteError> {
        match self.map.get("timezone") {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let text = self.call.text(value)?;
                let place = Place::read(text);
                let unknown = || self.call.refuse(format!("there is no time zone `{text}`"));
                place.map(Some).ok_or_else(unknown)
            }
        }
    }
}

/// A time of some kind.
pub(super) fn from_map(call: Call<'_>, kind: Kind, map: &BTreeMap<String, Value>) -> Answer {
    let fields = Fields::new(call, map);
    if fields.has(&["epochSeconds", "epochMillis"]) {
        return from_epoch(fields, kind);
    }
    let both = fields.temporal("datetime")?;
    let date = fields.temporal("date")?.or_else(|| both.clone());
    let time = fields.temporal("time")?.or_else(|| both.clone());
    let mut base = Parts::default();
    if let Some((_, date)) = &date {
        base.days = date.days;
    }
    // The time that is taken over may say where it is told.
    let mut place = None;
    if let Some((found, time)) = &time {
        base.nanos = time.nanos;
        if found.has_offset() {
            place = Some(Place::of(time));
            base.offset = time.offset;
        }
    }
    if let Some(wanted) = fields.place()? {
        if let (Some(_), Some((_, time))) = (&place, &time) {
            moved(&mut base, time, &wanted, both.is_some());
        }
        place = Some(wanted);
    }
    let has_date = date.is_some();
    if kind.has_date() {
        base.days = date_of(fields, has_date.then_some(base.days))?;
    }
    if kind.has_time() {
        base.nanos = time_of(fields, base.nanos, false)?;
    }
    Ok(whole(
        kind,
        told(kind, base.days, base.nanos, &place.unwrap_or_default()),
    ))
}

/// `{epochSeconds: 1}` or `{epochMillis: 1}`, with nanoseconds to add and where it is told.
fn from_epoch(fields: Fields<'_>, kind: Kind) -> Answer {
    const KNOWN: [&str; 4] = ["epochSeconds", "epochMillis", "nanosecond", "timezone"];
    let refuse = |problem: &str| Err(fields.call.refuse(problem));
    if kind != Kind::DateTime {
        return refuse("an epoch gives a datetime");
    }
    if fields
        .map
        .keys()
        .any(|name| !KNOWN.contains(&name.as_str()))
    {
        return refuse("beside an epoch stand `nanosecond` and `timezone` only");
    }
    let since = match (
        fields.integer("epochSeconds")?,
        fields.integer("epochMillis")?,
    ) {
        (Some(seconds), None) => i128::from(seconds) * i128::from(SECOND),
        (None, Some(millis)) => i128::from(millis) * i128::from(SECOND / 1_000),
        _ => return refuse("`epochSeconds` and `epochMillis` do not stand together"),
    };
    let nanos = fields.within("nanosecond", 0, 999_999_999)?.unwrap_or(0);
    let place = fields.place()?.unwrap_or_default();
    match place.at_instant(since + i128::from(nanos)) {
        Some(parts) => Ok(whole(kind, parts)),
        None => refuse("out of range"),
    }
}

/// A time that is told elsewhere: the same instant. Only one that came with its date can change it.
fn moved(base: &mut Parts, time: &Parts, wanted: &Place, with_date: bool) {
    let days = if with_date { time.days } else { base.days };
    let from = Parts {
        days,
        ..time.clone()
    };
    if let Some(there) = wanted.at_instant(zone::instant(&from)) {
        base.nanos = there.nanos;
        if with_date {
            base.days = there.days;
        }
    }
}

/// The parts that a kind has, at a local time of a place.
pub(super) fn told(kind: Kind, days: i64, nanos: i64, place: &Place) -> Parts {
    let there = place.at_local(days, nanos);
    match kind {
        Kind::DateTime => there,
        Kind::Time => Parts {
            zone: None,
            ..there
        },
        _ => Parts {
            days,
            nanos,
            offset: 0,
            zone: None,
        },
    }
}

/// Days since 1970-01-01 from components over a date, if there is one.
pub(super) fn date_of(fields: Fields<'_>, base: Option<i64>) -> Result<i64, ExecuteError> {
    let refuse = |problem: &str| fields.call.refuse(problem);
    let given_year = fields.within("year", -999_999_999, 999_999_999)?;
    let year_or = |base: Option<i64>| {
        given_year
            .or(base)
            .ok_or_else(|| refuse("`year` is missing"))
    };
    if fields.has(&["week", "dayOfWeek"]) {
        let year = year_or(base.map(|days| week(days).0))?;
        let of_year = fields.within("week", 1, 53)?;
        let of_year = of_year.or(base.map(|days| week(days).1)).unwrap_or(1);
        let of_week = fields.within("dayOfWeek", 1, 7)?;
        let of_week = of_week.or(base.map(weekday)).unwrap_or(1);
        let monday = first_monday(year) + (of_year - 1) * 7;
        if monday >= first_monday(year + 1) {
            return Err(refuse("the year has no such week"));
        }
        return Ok(monday + of_week - 1);
    }
    let now = base.map(civil);
    let year = year_or(now.map(|(year, ..)| year))?;
    if let Some(ordinal) = fields.within("ordinalDay", 1, 366)? {
        let found = days(year, 1, 1) + ordinal - 1;
        let fits = found < days(year + 1, 1, 1);
        return if fits {
            Ok(found)
        } else {
            Err(refuse("the year has no such day"))
        };
    }
    if fields.has(&["quarter", "dayOfQuarter"]) {
        let quarter = fields.within("quarter", 1, 4)?;
        let quarter = quarter
            .or(now.map(|(_, month, _)| (month - 1) / 3 + 1))
            .unwrap_or(1);
        let first = days(year, quarter * 3 - 2, 1);
        let of_quarter = fields.within("dayOfQuarter", 1, 92)?;
        let of_quarter = of_quarter.or(base.map(day_of_quarter)).unwrap_or(1);
        let next = if quarter == 4 {
            days(year + 1, 1, 1)
        } else {
            days(year, quarter * 3 + 1, 1)
        };
        let found = first + of_quarter - 1;
        return if found < next {
            Ok(found)
        } else {
            Err(refuse("the quarter has no such day"))
        };
    }
    let month = fields
        .within("month", 1, 12)?
        .or(now.map(|(_, month, _)| month))
        .unwrap_or(1);
    let day = fields.within("day", 1, 31)?;
    let last = month_length(year, month);
    match day {
        Some(day) if day > last => Err(refuse("the month has no such day")),
        Some(day) => Ok(days(year, month, day)),
        // A day that is taken over fits as well as it can.
        None => Ok(days(year, month, now.map_or(1, |(.., day)| day.min(last)))),
    }
}

/// The day within its quarter, from 1.
pub(super) fn day_of_quarter(day: i64) -> i64 {
    let (year, month, _) = civil(day);
    day - days(year, (month - 1) / 3 * 3 + 1, 1) + 1
}

/// Nanoseconds since midnight from components over a time. When `adding`, what is smaller than a
/// second is added to what is there.
pub(super) fn time_of(fields: Fields<'_>, base: i64, adding: bool) -> Result<i64, ExecuteError> {
    let second = base / SECOND;
    let hour = fields.within("hour", 0, 23)?.unwrap_or(second / 3_600);
    let minute = fields.within("minute", 0, 59)?.unwrap_or(second / 60 % 60);
    let of_minute = fields.within("second", 0, 59)?.unwrap_or(second % 60);
    let millis = fields.within("millisecond", 0, 999)?;
    let micros = fields.within(
        "microsecond",
        0,
        if millis.is_some() { 999 } else { 999_999 },
    )?;
    let finer = millis.is_some() || micros.is_some();
    let nanos = fields.within("nanosecond", 0, if finer { 999 } else { 999_999_999 })?;
    let fraction = match (millis, micros, nanos) {
        (None, None, None) => base % SECOND,
        (millis, micros, nanos) => {
            let given =
                millis.unwrap_or(0) * 1_000_000 + micros.unwrap_or(0) * 1_000 + nanos.unwrap_or(0);
            if adding {
                (base % SECOND + given) % SECOND
            } else {
                given
            }
        }
    };
    Ok(((hour * 60 + minute) * 60 + of_minute) * SECOND + fraction)
}

/// A duration; `None` when it does not fit.
pub(super) fn duration(
    call: Call<'_>,
    map: &BTreeMap<String, Value>,
) -> Result<Option<Duration>, ExecuteError> {
    const UNITS: [(&str, Unit); 10] = [
        ("years", Unit::Months(12)),
        ("quarters", Unit::Months(3)),
        ("months", Unit::Months(1)),
        ("weeks", Unit::Days(7)),
        ("days", Unit::Days(1)),
        ("hours", Unit::Nanos(3_600 * SECOND)),
        ("minutes", Unit::Nanos(60 * SECOND)),
        ("seconds", Unit::Nanos(SECOND)),
        ("milliseconds", Unit::Nanos(SECOND / 1_000)),
        ("microseconds", Unit::Nanos(SECOND / 1_000_000)),
    ];
    let mut sum = parse::Parts::default();
    for (name, value) in map {
        let amount = match value {
            Value::Null => continue,
            Value::Int(int) => Some(Amount::whole(*int)),
            Value::Float(float) => Amount::float(*float),
            other => return Err(call.mismatch("numbers", other)),
        };
        let Some(amount) = amount else {
            return Ok(None);
        };
        let unit = UNITS
            .iter()
            .find(|(unit, _)| unit == name)
            .map(|(_, unit)| *unit);
        match unit {
            Some(Unit::Months(count)) => sum.months.billionths += amount.billionths * count,
            Some(Unit::Days(count)) => sum.days.billionths += amount.billionths * count,
            Some(Unit::Nanos(count)) => {
                sum.nanos += amount.billionths * i128::from(count) / i128::from(SECOND);
            }
            None if name == "nanoseconds" => sum.nanos += amount.billionths / i128::from(SECOND),
            None => return Err(call.refuse(format!("`{name}` is no part of a duration"))),
        }
    }
    Ok(sum.finish(false))
}

/// What a component of a duration counts in.
#[derive(Clone, Copy)]
enum Unit {
    Months(i128),
    Days(i128),
    Nanos(i64),
}
