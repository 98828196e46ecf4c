//! Temporal values from text: the forms of ISO 8601 that openCypher takes, with and without
//! separators, with weeks, ordinal days, fractions, offsets and `[Zone/Name]`.

use std::sync::Arc;

use super::{DAY, Duration, SECOND, Temporal, days, first_monday, month_length};

/// The offset in seconds of a named zone at a local time (days, nanoseconds); `None` when there is
/// no such zone.
pub type Zones<'z> = dyn Fn(&str, i64, i64) -> Option<i32> + 'z;

/// A date: `2015-07-21`, `20150721`, `2015-07`, `2015`, `2015-W30-2`, `2015-202`, `+999999999-01-01`.
#[must_use]
pub fn date(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    let signed = rest.len() != text.len();
    let year_end = if signed && rest.contains('-') {
        rest.find('-')?
    } else {
        4
    };
    let year: i64 = digits(rest.get(..year_end)?)?;
    if year > 999_999_999 {
        return None;
    }
    let year = sign * year;
    let rest = rest.get(year_end..)?;
    let dashed = rest.starts_with('-');
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    if rest.is_empty() {
        return (!dashed).then(|| days(year, 1, 1));
    }
    if let Some(week) = rest.strip_prefix('W') {
        return of_week(year, week, dashed);
    }
    match (rest.len(), dashed) {
        (2, _) => of_month(year, digits(rest)?, 1),
        (3, _) => of_ordinal(year, digits(rest)?),
        (4, false) => of_month(year, digits(rest.get(..2)?)?, digits(rest.get(2..)?)?),
        (5, true) if rest.as_bytes().get(2) == Some(&b'-') => {
            of_month(year, digits(rest.get(..2)?)?, digits(rest.get(3..)?)?)
        }
        _ => None,
    }
}

fn of_month(year: i64, month: i64, day: i64) -> Option<i64> {
    ((1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day))
        .then(|| days(year, month, day))
}

fn of_ordinal(year: i64, ordinal: i64) -> Option<i64> {
    let first = days(year, 1, 1);
    (1..=days(year + 1, 1, 1) - first)
        .contains(&ordinal)
        .then(|| first + ordinal - 1)
}

/// What follows the `W`: `30`, `302`, `30-2`.
fn of_week(year: i64, text: &str, dashed: bool) -> Option<i64> {
    let week: i64 = digits(text.get(..2)?)?;
    let rest = text.get(2..)?;
    let day = match (rest.len(), dashed) {
        (0, _) => 1,
        (1, false) => digits(rest)?,
        (2, true) if rest.starts_with('-') => digits(rest.get(1..)?)?,
        _ => return None,
    };
    let monday = first_monday(year) + (week - 1) * 7;
    let fits = (1..=53).contains(&week) && monday < first_monday(year + 1);
    (fits && (1..=7).contains(&day)).then(|| monday + day - 1)
}

/// A time of day without an offset: `21:40:32.142`, `214032.142`, `21:40`, `2140`, `21`.
#[must_use]
pub fn local_time(text: &str) -> Option<i64> {
    let (whole, fraction) = match text.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, fraction_of_second(fraction)?),
        None => (text, 0),
    };
    let parts: Vec<&str> = if whole.contains(':') {
        whole.split(':').collect()
    } else {
        match whole.len() {
            2 | 4 | 6 => (0..whole.len() / 2)
                .filter_map(|at| whole.get(2 * at..2 * at + 2))
                .collect(),
            _ => return None,
        }
    };
    if parts.len() > 3 || (fraction > 0 && parts.len() < 3) {
        return None;
    }
    let mut numbers = [0_i64; 3];
    for (place, part) in numbers.iter_mut().zip(&parts) {
        if part.len() != 2 {
            return None;
        }
        *place = digits(part)?;
    }
    let [hour, minute, second] = numbers;
    let fits = hour < 24 && minute < 60 && second < 60;
    fits.then(|| ((hour * 60 + minute) * 60 + second) * SECOND + fraction)
}

/// An offset: `Z`, `+01:00`, `-0130`, `+02`, `+02:05:59`; in seconds.
#[must_use]
pub fn offset(text: &str) -> Option<i32> {
    if text == "Z" || text == "z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest: String = text.get(1..)?.chars().filter(|c| *c != ':').collect();
    let number = |from: usize| match rest.get(from..from + 2) {
        Some(part) => digits(part),
        None => Some(0),
    };
    if !matches!(rest.len(), 2 | 4 | 6) {
        return None;
    }
    let (hours, minutes, seconds) = (number(0)?, number(2)?, number(4)?);
    let total = (hours * 60 + minutes) * 60 + seconds;
    (minutes < 60 && seconds < 60 && total <= 18 * 3_600).then_some(sign * total)
}

/// A time with an offset; UTC without one.
#[must_use]
pub fn time(text: &str) -> Option<Temporal> {
    let (time, zone) = split_zone(text);
    let nanos = local_time(time)?;
    let offset = if zone.is_empty() { 0 } else { offset(zone)? };
    Some(Temporal::Time { nanos, offset })
}

/// A date and time without an offset; midnight without a time.
#[must_use]
pub fn local_date_time(text: &str) -> Option<(i64, i64)> {
    match text.split_once(['T', 't']) {
        Some((day, time)) => Some((date(day)?, local_time(time)?)),
        None => Some((date(text)?, 0)),
    }
}

/// A date and time with an offset, a named zone or both; UTC without either.
#[must_use]
pub fn date_time(text: &str, zones: &Zones<'_>) -> Option<Temporal> {
    let (text, zone) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((text, zone)) => (text, Some(zone)),
        None => (text, None),
    };
    let (day, time) = text.split_once(['T', 't']).unwrap_or((text, ""));
    let days = date(day)?;
    let (time, given) = split_zone(time);
    let nanos = if time.is_empty() {
        0
    } else {
        local_time(time)?
    };
    let offset = match (given, zone) {
        ("", None) => 0,
        ("", Some(zone)) => zones(zone, days, nanos)?,
        (given, Some(zone)) => {
            // The offset says which of two equal local times is meant; the zone must exist.
            zones(zone, days, nanos)?;
            offset(given)?
        }
        (given, None) => offset(given)?,
    };
    Some(Temporal::DateTime {
        days,
        nanos,
        offset,
        zone: zone.map(Arc::from),
    })
}

/// A time and the offset behind it, which may be nothing.
fn split_zone(text: &str) -> (&str, &str) {
    let at = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    text.split_at(at)
}

/// `P12Y5M14DT16H12M70S`, with fractions and signs anywhere, `P2012-02-02T14:37:21.545`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let body = text.strip_prefix(['P', 'p'])?;
    if body.is_empty() {
        return None;
    }
    let (date, time) = body.split_once(['T', 't']).unwrap_or((body, ""));
    let has_units = body.contains(|c: char| c.is_ascii_alphabetic() && c != 'T' && c != 't');
    let mut parts = Parts::default();
    if has_units {
        units(date, "YMWD", &mut |unit, value| parts.add_date(unit, value))?;
        units(time, "HMS", &mut |unit, value| parts.add_time(unit, value))?;
    } else {
        let numbers: Option<Vec<i64>> = date.split('-').map(digits).collect();
        let [years, months, days] = numbers?.try_into().ok()?;
        parts.months = Amount::whole(years * 12 + months);
        parts.days = Amount::whole(days);
        let nanos = if time.is_empty() {
            0
        } else {
            local_time(time)?
        };
        parts.nanos = i128::from(nanos);
    }
    parts.finish(negative)
}

/// A decimal number: whole part and billionths, both of the same sign.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amount {
    /// Billionths of one.
    pub billionths: i128,
}

impl Amount {
    const ONE: i128 = 1_000_000_000;

    /// An integer.
    #[must_use]
    pub const fn whole(value: i64) -> Self {
        Self {
            billionths: value as i128 * Self::ONE,
        }
    }

    /// A float, to the billionth.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be small before"
    )]
    pub fn float(value: f64) -> Option<Self> {
        let fits = value.is_finite() && value.abs() < 1e18;
        let whole = value.trunc();
        let rest = ((value - whole) * 1e9).round();
        fits.then(|| Self {
            billionths: whole as i128 * Self::ONE + rest as i128,
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
        let whole: i64 = digits(whole)?;
        let fraction = if fraction.is_empty() {
            0
        } else {
            fraction_of_second(fraction)?
        };
        let value = i128::from(whole) * Self::ONE + i128::from(fraction);
        Some(Self {
            billionths: if negative { -value } else { value },
        })
    }
}

/// The parts of a duration while it is put together. Fractions go down: those of months into days
/// (30.436875 each), those of days into nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// Months.
    pub months: Amount,
    /// Days.
    pub days: Amount,
    /// Nanoseconds.
    pub nanos: i128,
}

impl Parts {
    fn add_date(&mut self, unit: char, value: Amount) {
        match unit {
            'Y' => self.months.billionths += value.billionths * 12,
            'M' => self.months.billionths += value.billionths,
            'W' => self.days.billionths += value.billionths * 7,
            _ => self.days.billionths += value.billionths,
        }
    }

    fn add_time(&mut self, unit: char, value: Amount) {
        // Billionths of a second are nanoseconds.
        self.nanos += value.billionths
            * match unit {
                'H' => 3_600,
                'M' => 60,
                _ => 1,
            };
    }

    /// The duration; `None` when it does not fit.
    #[must_use]
    pub fn finish(self, negative: bool) -> Option<Duration> {
        /// Seconds of an average month of the Gregorian calendar.
        const MONTH_SECONDS: i128 = 2_629_746;
        const DAY_SECONDS: i128 = 86_400;
        let months = self.months.billionths / Amount::ONE;
        // Billionths of a second from here on.
        let rest = self.months.billionths % Amount::ONE * MONTH_SECONDS;
        let day = DAY_SECONDS * Amount::ONE;
        let days = self.days.billionths / Amount::ONE + rest / day;
        let rest = self.days.billionths % Amount::ONE * DAY_SECONDS + rest % day;
        let sign = if negative { -1 } else { 1 };
        Duration::new(sign * months, sign * days, sign * (self.nanos + rest))
    }
}

/// `12Y5M`: calls `add` for each number with its unit, which must be of `allowed`, in that order.
fn units(text: &str, allowed: &str, add: &mut dyn FnMut(char, Amount)) -> Option<()> {
    let mut rest = text;
    let mut next = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let unit = rest.get(end..=end)?.chars().next()?.to_ascii_uppercase();
        let place = allowed.find(unit)?;
        if place < next {
            return None;
        }
        next = place + 1;
        add(unit, Amount::parse(rest.get(..end)?)?);
        rest = rest.get(end + 1..)?;
    }
    Some(())
}

fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// The digits behind a decimal point as billionths; further digits are cut off.
fn fraction_of_second(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let padded: String = text.chars().chain("000000000".chars()).take(9).collect();
    plain.then(|| padded.parse().ok()).flatten()
}

/// Nanoseconds of a day, always within it.
#[must_use]
pub const fn of_day(nanos: i64) -> i64 {
    nanos.rem_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_date_is_read() {
        for text in [
            "2015-07-21",
            "20150721",
            "2015-W30-2",
            "2015W302",
            "2015-202",
            "2015202",
        ] {
            assert_eq!(date(text), Some(days(2015, 7, 21)), "{text}");
        }
        assert_eq!(date("2015"), Some(days(2015, 1, 1)));
        assert_eq!(date("-999999999-01-01"), Some(days(-999_999_999, 1, 1)));
        for text in [
            "",
            "2015-13-01",
            "2015-02-29",
            "2015-7-1",
            "x",
            "2015-",
            "2015-W54",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn every_form_of_a_time_is_read() {
        assert_eq!(local_time("21"), Some(21 * 3_600 * SECOND));
        assert_eq!(local_time("214032.142"), local_time("21:40:32.142"));
        assert_eq!(offset("-0130"), Some(-5_400));
        assert_eq!(offset("+18:00"), Some(64_800));
        for text in ["24:00", "1:2", "21:40.5", ""] {
            assert_eq!(local_time(text), None, "{text}");
        }
        let zones: &Zones<'_> = &|_, _, _| Some(3_600);
        let read = |text| date_time(text, zones).map(|value| value.to_string());
        assert_eq!(
            read("2015-07-21T21:40[A/B]").as_deref(),
            Some("2015-07-21T21:40+01:00[A/B]")
        );
        assert_eq!(
            read("2015T2140-02").as_deref(),
            Some("2015-01-01T21:40-02:00")
        );
    }

    #[test]
    fn fractions_of_durations_go_down() {
        let read = |text| duration(text).map(|value| Temporal::Duration(value).to_string());
        for (text, expected) in [
            ("P5M1.5D", "P5M1DT12H"),
            ("P0.75M", "P22DT19H51M49.5S"),
            ("P2.5W", "P17DT12H"),
            ("P12Y5M14DT16H12M70S", "P12Y5M14DT16H13M10S"),
            ("P2012-02-02T14:37:21.545", "P2012Y2M2DT14H37M21.545S"),
            ("PT-1M-0.001S", "PT-1M-0.001S"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "P", "1D", "P1S", "PT1D", "PxD"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
