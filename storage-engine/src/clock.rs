//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, UTC; 0 on a clock before that.
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
