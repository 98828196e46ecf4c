//! Time zones: fixed offsets, and names from the system's database (or the one that is built in).

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use language::temporal::{DAY, SECOND, civil, parse};

use super::Parts;

/// Where a time is told: at an offset, or in a zone.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    offset: i32,
    zone: Option<(Arc<str>, TimeZone)>,
}

/// The offset in seconds of a named zone at a local time.
pub(super) fn offset_of(name: &str, days: i64, nanos: i64) -> Option<i32> {
    in_zone(&TimeZone::get(name).ok()?, days, nanos).map(|(offset, _)| offset)
}

/// The offset of a zone at a local time, both in seconds; and by how many seconds the time is moved, for a
/// clock that is put forward leaves some out.
fn in_zone(zone: &TimeZone, days: i64, nanos: i64) -> Option<(i32, i64)> {
    let (year, month, day) = civil(days);
    let seconds = nanos / SECOND;
    let local = DateTime::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        i8::try_from(seconds / 3_600).ok()?,
        i8::try_from(seconds / 60 % 60).ok()?,
        i8::try_from(seconds % 60).ok()?,
        0,
    )
    .ok()?;
    let zoned = zone.to_ambiguous_zoned(local).compatible().ok()?;
    let left_out = zoned.datetime().duration_since(local).as_secs();
    Some((zoned.offset().seconds(), left_out))
}

impl Place {
    /// `+01:00`, `Z` or `Europe/Stockholm`.
    pub(super) fn read(text: &str) -> Option<Self> {
        if let Some(offset) = parse::offset(text) {
            return Some(Self { offset, zone: None });
        }
        let zone = TimeZone::get(text).ok()?;
        Some(Self {
            offset: 0,
            zone: Some((Arc::from(text), zone)),
        })
    }

    /// Where these parts are told.
    pub(super) fn of(parts: &Parts) -> Self {
        let zone = parts.zone.as_ref();
        let zone = zone.and_then(|name| Some((name.clone(), TimeZone::get(name).ok()?)));
        Self {
            offset: parts.offset,
            zone,
        }
    }

    /// The zone's name.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        self.zone.as_ref().map(|(name, _)| name.clone())
    }

    /// The local time of nanoseconds since 1970 in UTC; `None` when it is out of range.
    pub(super) fn at_instant(&self, nanos: i128) -> Option<Parts> {
        let offset = match &self.zone {
            Some((_, zone)) => match Timestamp::from_nanosecond(nanos) {
                Ok(instant) => zone.to_offset(instant).seconds(),
                Err(_) => self.offset,
            },
            None => self.offset,
        };
        let local = nanos + i128::from(offset) * i128::from(SECOND);
        Some(Parts {
            days: i64::try_from(local.div_euclid(i128::from(DAY))).ok()?,
            nanos: i64::try_from(local.rem_euclid(i128::from(DAY))).ok()?,
            offset,
            zone: self.name(),
        })
    }

    /// A local time here; one that the clock leaves out is as much later as it leaves out.
    pub(super) fn at_local(&self, days: i64, nanos: i64) -> Parts {
        let zone = self.zone.as_ref();
        let found = zone.and_then(|(_, zone)| in_zone(zone, days, nanos));
        let (offset, left_out) = found.unwrap_or((self.offset, 0));
        let nanos = nanos + left_out * SECOND;
        Parts {
            days: days + nanos.div_euclid(DAY),
            nanos: nanos.rem_euclid(DAY),
            offset,
            zone: self.name(),
        }
    }
}

/// Nanoseconds since 1970 in UTC.
pub(super) fn instant(parts: &Parts) -> i128 {
    let local = i128::from(parts.days) * i128::from(DAY) + i128::from(parts.nanos);
    local - i128::from(parts.offset) * i128::from(SECOND)
}
