//! Time as a parameter: nothing else reads the clock.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Milliseconds since 1970 UTC.
pub type Millis = i64;

/// Where the time comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The clock of the machine.
    #[default]
    System,
    /// A clock that a test moves by hand.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The time now.
    pub fn now(&self) -> Millis {
        match self {
            Self::System => system_now(),
            Self::Manual(time) => time.load(Ordering::SeqCst),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
fn system_now() -> Millis {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

/// `YYYYMMDDHHMMSSZ`, the form of times in the CSC API (GeneralizedTime, UTC, no fraction).
pub fn generalized(time: Millis) -> String {
    const FORM: &[time::format_description::BorrowedFormatItem<'_>] =
        time::macros::format_description!("[year][month][day][hour][minute][second]Z");
    time::OffsetDateTime::from_unix_timestamp(time.div_euclid(1000))
        .ok()
        .and_then(|moment| moment.format(FORM).ok())
        .unwrap_or_default()
}

/// `2027-01-15`: the day in UTC.
pub fn date(time: Millis) -> String {
    rfc3339(time).chars().take(10).collect()
}

/// `2027-01-15 08:00`: the minute in UTC.
pub fn minute(time: Millis) -> String {
    rfc3339(time)
        .chars()
        .take(16)
        .map(|c| if c == 'T' { ' ' } else { c })
        .collect()
}

/// RFC 3339, UTC, with milliseconds.
pub fn rfc3339(time: Millis) -> String {
    const FORM: &[time::format_description::BorrowedFormatItem<'_>] = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(time) * 1_000_000)
        .ok()
        .and_then(|moment| moment.format(FORM).ok())
        .unwrap_or_default()
}
