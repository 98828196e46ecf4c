//! Times: selection from others, truncation, arithmetic. Results as openCypher's rules give them.

use super::tck::Shown;
use super::tck::World;

/// Checks that each expression, as text, is this.
fn check(cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (expression, expected) in cases {
        let mut world = World::new();
        let found = match world.run(&format!("RETURN {expression} AS x")) {
            Ok(answer) => match answer.rows[0].first() {
                Some(Shown::Text(text)) => text.clone(),
                other => format!("{other:?}"),
            },
            Err(_) => "error".to_owned(),
        };
        if found != *expected {
            wrong.push(format!("{expression} is {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn parts_are_taken_over_from_other_times() {
    check(&[
        ("date({date: date('1984-11-11'), year: 28})", "0028-11-11"),
        (
            "date({date: localdatetime('1984-11-11T12:00'), day: 28})",
            "1984-11-28",
        ),
        (
            "date({date: date('1984-11-11'), ordinalDay: 28})",
            "1984-01-28",
        ),
        ("date({date: date('1984-11-11'), quarter: 3})", "1984-08-11"),
        ("date({date: date('1984-11-11'), week: 1})", "1984-01-08"),
        (
            "time({time: time('12:31:14.645876+01:00'), timezone: '+05:00'})",
            "16:31:14.645876+05:00",
        ),
        (
            "time({time: time('12:31:14.645876+01:00'), second: 42, timezone: '+05:00'})",
            "16:31:42.645876+05:00",
        ),
        (
            "time({time: localtime('12:31:14.645'), second: 42})",
            "12:31:42.645Z",
        ),
        (
            "localdatetime({date: date('1984-10-11'), time: time('12:00+01:00'), day: 28})",
            "1984-10-28T12:00",
        ),
        (
            "datetime({datetime: datetime('1984-10-11T12:00+01:00'), timezone: '+05:00'})",
            "1984-10-11T16:00+05:00",
        ),
        (
            "datetime({year: 1984, month: 10, day: 11, time: time('12:00+01:00'), timezone: '+05:00'})",
            "1984-10-11T16:00+05:00",
        ),
        (
            "datetime({date: date('1984-10-11'), hour: 10, timezone: 'Pacific/Honolulu'})",
            "1984-10-11T10:00-10:00[Pacific/Honolulu]",
        ),
        ("date(datetime('1984-10-11T12:00+01:00'))", "1984-10-11"),
        ("localtime(time('12:00+01:00'))", "12:00"),
        (
            "datetime(localdatetime('1984-10-11T12:00'))",
            "1984-10-11T12:00Z",
        ),
        ("date({year: 1984, month: 2, day: 30})", "error"),
        ("date({month: 2})", "error"),
        ("date('1984-10-11').hour", "error"),
    ]);
}

#[test]
fn times_are_cut_off_at_a_unit() {
    check(&[
        (
            "date.truncate('millennium', date('2017-10-11'), {day: 2})",
            "2000-01-02",
        ),
        ("date.truncate('century', date('1984-10-11'))", "1900-01-01"),
        (
            "date.truncate('decade', date('1984-10-11'), {day: 2})",
            "1980-01-02",
        ),
        (
            "date.truncate('weekYear', date('1984-02-01'), {day: 5})",
            "1984-01-05",
        ),
        ("date.truncate('quarter', date('1984-11-11'))", "1984-10-01"),
        (
            "date.truncate('week', date('1984-10-11'), {dayOfWeek: 2})",
            "1984-10-09",
        ),
        (
            "datetime.truncate('hour', datetime('1984-10-11T12:31:14.645+01:00'), {nanosecond: 2})",
            "1984-10-11T12:00:00.000000002+01:00",
        ),
        (
            "datetime.truncate('millisecond', datetime('1984-10-11T12:31:14.645876123+01:00'), {nanosecond: 2})",
            "1984-10-11T12:31:14.645000002+01:00",
        ),
        (
            "localdatetime.truncate('day', localdatetime('1984-10-11T12:31:14'))",
            "1984-10-11T00:00",
        ),
        (
            "time.truncate('minute', time('12:31:14.645+01:00'), {timezone: '+01:00'})",
            "12:31+01:00",
        ),
        (
            "localtime.truncate('second', time('12:31:14.645+01:00'))",
            "12:31:14",
        ),
        (
            "datetime.truncate('day', date('1984-10-11'), {timezone: 'Europe/Stockholm'})",
            "1984-10-11T00:00+01:00[Europe/Stockholm]",
        ),
        ("date.truncate('fortnight', date('1984-10-11'))", "error"),
    ]);
}

#[test]
fn durations_are_added_and_scaled() {
    check(&[
        (
            "date('1984-10-11') + duration('P12Y5M14DT16H12M70.000000002S')",
            "1997-03-25",
        ),
        (
            "date('1984-10-11') - duration('P12Y5M14DT16H12M70.000000002S')",
            "1972-04-27",
        ),
        (
            "localtime('12:31:14.000000001') + duration('P12Y5M14DT16H12M70.000000002S')",
            "04:44:24.000000003",
        ),
        (
            "time('12:31:14+01:00') - duration('PT16H12M70S')",
            "20:18:04+01:00",
        ),
        (
            "localdatetime('1984-10-11T12:31:14') + duration('P12Y5M14DT16H13M10S')",
            "1997-03-26T04:44:24",
        ),
        (
            "datetime('2017-10-29T00:00+02:00[Europe/Stockholm]') + duration('PT4H')",
            "2017-10-29T03:00+01:00[Europe/Stockholm]",
        ),
        (
            "datetime('2017-10-28T00:00+02:00[Europe/Stockholm]') + duration('P2D')",
            "2017-10-30T00:00+01:00[Europe/Stockholm]",
        ),
        ("duration('P1M1DT1H') + duration('P1M1DT1H')", "P2M2DT2H"),
        ("duration('P1M1DT1H') - duration('P2M2DT2H')", "P-1M-1DT-1H"),
        ("duration('P1M1DT1H') * 2", "P2M2DT2H"),
        ("duration('P1Y') / 2", "P6M"),
        ("duration('P1D') * 0.5", "PT12H"),
        ("duration('P1D') + 1", "error"),
        ("date('1984-10-11') + date('1984-10-11')", "error"),
    ]);
}

#[test]
fn a_time_that_the_clock_leaves_out_is_later() {
    check(&[
        (
            "toString(datetime('2019-03-31T02:30[Europe/Berlin]'))",
            "2019-03-31T03:30+02:00[Europe/Berlin]",
        ),
        (
            "toString(datetime('2019-03-31T02:30[Europe/Berlin]').epochSeconds)",
            "1553995800",
        ),
        (
            "toString(datetime('2019-03-30T02:30[Europe/Berlin]') + duration('P1D'))",
            "2019-03-31T03:30+02:00[Europe/Berlin]",
        ),
        (
            "toString(datetime({year: 2019, month: 3, day: 31, hour: 2, timezone: 'Europe/Berlin'}))",
            "2019-03-31T03:00+02:00[Europe/Berlin]",
        ),
        // One that comes twice is the first of both.
        (
            "toString(datetime('2019-10-27T02:30[Europe/Berlin]'))",
            "2019-10-27T02:30+02:00[Europe/Berlin]",
        ),
    ]);
}

#[test]
fn a_date_has_no_hours() {
    check(&[
        ("date.truncate('hour', date('2020-01-01'))", "error"),
        (
            "date.truncate('microsecond', datetime('2020-01-01T12:00Z'))",
            "error",
        ),
        (
            "toString(date.truncate('day', datetime('2020-01-01T12:00Z')))",
            "2020-01-01",
        ),
    ]);
}

#[test]
fn instants_come_from_an_epoch() {
    check(&[
        (
            "toString(datetime({epochSeconds: 1}))",
            "1970-01-01T00:00:01Z",
        ),
        (
            "toString(datetime({epochMillis: 1, nanosecond: 5}))",
            "1970-01-01T00:00:00.001000005Z",
        ),
        (
            "toString(datetime({epochSeconds: 0, timezone: 'Europe/Berlin'}))",
            "1970-01-01T01:00+01:00[Europe/Berlin]",
        ),
        ("datetime({epochSeconds: 1, epochMillis: 1})", "error"),
        ("datetime({epochSeconds: 1, year: 2000})", "error"),
        ("date({epochSeconds: 1})", "error"),
    ]);
}
