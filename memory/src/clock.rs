//! The time, for records that say when they were made.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 UTC.
/// Days since 1970 UTC.
pub(crate) fn today() -> i64 {
    now_ms().div_euclid(86_400_000)
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
