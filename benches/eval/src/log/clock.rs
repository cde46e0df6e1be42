//! The time of a log line and the ways that logs write it (UTC, no leap seconds).

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time, in milliseconds since 1970, that only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock {
    unix_ms: i64,
}

/// A day and a time of day.
struct Civil {
    year: i64,
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    ms: i64,
}

impl Clock {
    /// The time `seconds` after 1970 began.
    #[must_use]
    pub fn from_unix_s(seconds: i64) -> Self {
        Self { unix_ms: seconds.saturating_mul(1000) }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        self.unix_ms
    }

    /// Moves the time forward.
    pub fn advance_ms(&mut self, ms: u32) {
        self.unix_ms = self.unix_ms.saturating_add(i64::from(ms));
    }

    /// `Mar  2 04:11:09`
    #[must_use]
    pub fn syslog(self) -> String {
        let t = self.civil();
        let month = MONTHS[t.month - 1];
        format!("{month} {:>2} {:02}:{:02}:{:02}", t.day, t.hour, t.minute, t.second)
    }

    /// `2026-03-02T04:11:09.123Z`
    #[must_use]
    pub fn iso(self) -> String {
        let t = self.civil();
        let day = format!("{:04}-{:02}-{:02}", t.year, t.month, t.day);
        format!("{day}T{:02}:{:02}:{:02}.{:03}Z", t.hour, t.minute, t.second, t.ms)
    }

    /// `02/Mar/2026:04:11:09 +0000`
    #[must_use]
    pub fn access(self) -> String {
        let t = self.civil();
        let day = format!("{:02}/{}/{:04}", t.day, MONTHS[t.month - 1], t.year);
        format!("{day}:{:02}:{:02}:{:02} +0000", t.hour, t.minute, t.second)
    }

    /// Days to a date: Howard Hinnant, "chrono-compatible low-level date algorithms".
    fn civil(self) -> Civil {
        let days = self.unix_ms.div_euclid(86_400_000);
        let ms = self.unix_ms.rem_euclid(86_400_000);
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: usize::try_from(month).unwrap_or(1).clamp(1, 12),
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: ms / 3_600_000,
            minute: ms / 60_000 % 60,
            second: ms / 1000 % 60,
            ms: ms % 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_written_as_date_writes_them() {
        let leap = Clock::from_unix_s(1_709_210_096);
        assert_eq!(leap.iso(), "2024-02-29T12:34:56.000Z");
        assert_eq!(leap.syslog(), "Feb 29 12:34:56");
        assert_eq!(leap.access(), "29/Feb/2024:12:34:56 +0000");
        assert_eq!(Clock::from_unix_s(0).iso(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Clock::from_unix_s(-1).iso(), "1969-12-31T23:59:59.000Z");
        assert_eq!(Clock::from_unix_s(1_772_424_000).syslog(), "Mar  2 04:00:00");
    }
}
