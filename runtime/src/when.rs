//! When something was written: the time that a line of a log carries, and times as people type
//! them.
//!
//! The shapes are read here; the calendar and the zones are jiff's. A time without a zone is in the
//! machine's own. Nothing is allocated where a line carries no time.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

/// A line is searched for its time this far, in bytes.
const LINE_BYTES_MAX: usize = 256;

/// Clocks differ a little, and zones by up to a day.
const AHEAD_MS: i64 = 26 * 3600 * 1000;

/// The months.
pub(crate) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The present, and the machine's zone.
#[derive(Clone, Debug)]
pub struct Clock {
    now_ms: i64,
    zone: TimeZone,
}

impl Clock {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(system_ms(), TimeZone::system())
    }

    /// A clock that stands at a time, milliseconds since 1970 UTC.
    #[must_use]
    pub const fn new(now_ms: i64, zone: TimeZone) -> Self {
        Self { now_ms, zone }
    }

    /// Milliseconds since 1970 UTC.
    #[must_use]
    pub const fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The same clock standing at another time.
    #[must_use]
    pub fn at(&self, now_ms: i64) -> Self {
        Self { now_ms, zone: self.zone.clone() }
    }

    /// So long ago; `None` where that is before all dates.
    pub(crate) fn before(&self, length_ms: i64) -> Option<i64> {
        let ms = self.now_ms.checked_sub(length_ms)?;
        Timestamp::from_millisecond(ms).ok().map(|_| ms)
    }

    /// Date and time of day, as the machine's zone has them.
    #[must_use]
    pub fn civil(&self, ms: i64) -> DateTime {
        let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        self.zone.to_datetime(time)
    }

    /// Milliseconds since 1970 UTC of a date and time of day in the machine's zone.
    #[must_use]
    pub fn ms(&self, civil: DateTime) -> Option<i64> {
        Some(self.zone.to_ambiguous_timestamp(civil).compatible().ok()?.as_millisecond())
    }

    /// `2026-03-02 04:10`, in the machine's zone.
    #[must_use]
    pub fn minute(&self, ms: i64) -> String {
        self.civil(ms).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// `2026-03-02T04:10:00+01:00`.
    #[must_use]
    pub fn rfc3339(&self, ms: i64) -> String {
        let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        time.to_zoned_datetime(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

fn system_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Reads bytes from the left.
#[derive(Clone, Copy)]
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn take(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        self.0 = &self.0[usize::from(found)..];
        found
    }

    /// Takes the first of these bytes that is there.
    fn any(&mut self, bytes: &[u8]) -> Option<u8> {
        bytes.iter().copied().find(|&b| self.take(b))
    }

    fn spaces(&mut self) -> usize {
        let n = self.0.iter().take_while(|b| **b == b' ').count();
        self.0 = &self.0[n..];
        n
    }

    /// A number of `least` to `most` digits, all that are there.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let n = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if n < least || n > most {
            return None;
        }
        let value = self.0[..n].iter().fold(0, |v, d| v * 10 + i64::from(d - b'0'));
        self.0 = &self.0[n..];
        Some(value)
    }

    /// A month's English name of three letters.
    fn month(&mut self) -> Option<i64> {
        let name = self.0.get(..3)?;
        let at = MONTHS.iter().position(|n| n.as_bytes()[..3].eq_ignore_ascii_case(name))?;
        self.0 = &self.0[3..];
        i64::try_from(at + 1).ok()
    }

    /// `04:03`, `04:03:47`, `04:03:47.299`, also with a comma.
    fn time(&mut self) -> Option<Time> {
        let hour = self.number(1, 2)?;
        if !self.take(b':') {
            return None;
        }
        let minute = self.number(2, 2)?;
        let (mut second, mut nanos) = (0, 0);
        if self.take(b':') {
            second = self.number(2, 2)?;
            let mut fraction = *self;
            if fraction.any(b".,").is_some() {
                let n = fraction.0.iter().take_while(|b| b.is_ascii_digit()).count();
                let digits = fraction.0[..n].iter().take(9);
                let scale = 10_i64.pow(9 - u32::try_from(digits.len()).unwrap_or(9));
                nanos = digits.fold(0, |v, d| v * 10 + i64::from(d - b'0')) * scale;
                if n > 0 {
                    self.0 = &fraction.0[n..];
                }
            }
        }
        // A leap second is the last one of its minute.
        let (hour, minute) = (i8::try_from(hour).ok()?, i8::try_from(minute).ok()?);
        let second = i8::try_from(second.min(59)).ok()?;
        let valid = (0..24).contains(&hour) && (0..60).contains(&minute);
        valid.then(|| Time::new(hour, minute, second, i32::try_from(nanos).ok()?).ok())?
    }

    /// `Z`, `+0100`, `-05:30`, also behind a space.
    fn zone(&mut self) -> Option<Offset> {
        let mut ahead = *self;
        ahead.spaces();
        if ahead.take(b'Z') {
            *self = ahead;
            return Some(Offset::UTC);
        }
        let sign = if ahead.any(b"+-")? == b'-' { -1 } else { 1 };
        let digits = ahead.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (hours, minutes) = match digits {
            4 => {
                let both = ahead.number(4, 4)?;
                (both / 100, both % 100)
            }
            2 => {
                let hours = ahead.number(2, 2)?;
                let mut colon = ahead;
                match colon.take(b':').then(|| colon.number(2, 2)).flatten() {
                    Some(minutes) => {
                        ahead = colon;
                        (hours, minutes)
                    }
                    None => return None,
                }
            }
            _ => return None,
        };
        if hours > 18 || minutes > 59 {
            return None;
        }
        *self = ahead;
        Offset::from_seconds(i32::try_from(sign * (hours * 3600 + minutes * 60)).ok()?).ok()
    }
}

fn date(year: i64, month: i64, day: i64) -> Option<Date> {
    if !(1970..=2200).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let small = |n| i8::try_from(n).ok();
    Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()
}

fn instant(civil: DateTime, zone: Option<Offset>, clock: &Clock) -> Option<i64> {
    match zone {
        Some(offset) => Some(offset.to_timestamp(civil).ok()?.as_millisecond()),
        None => clock.ms(civil),
    }
}

/// A time and whether it was a date alone.
struct Iso {
    ms: i64,
    date: Option<Date>,
}

/// `2026-03-02T04:00:00.299Z`, `2026-03-02 04:00:00,123 +0100`, `2026/03/02 04:00`, `2026-03-02`.
fn iso(scan: &mut Scan<'_>, clock: &Clock) -> Option<Iso> {
    let year = scan.number(4, 4)?;
    let separator = scan.any(b"-/")?;
    let month = scan.number(2, 2)?;
    if !scan.take(separator) {
        return None;
    }
    let date = date(year, month, scan.number(2, 2)?)?;
    let mut ahead = *scan;
    let apart = ahead.any(b"T _").is_some();
    let Some(time) = apart.then(|| ahead.time()).flatten() else {
        let ms = instant(date.to_datetime(Time::midnight()), None, clock)?;
        return Some(Iso { ms, date: Some(date) });
    };
    *scan = ahead;
    let ms = instant(date.to_datetime(time), scan.zone(), clock)?;
    Some(Iso { ms, date: None })
}

/// `Mar  2 04:03:47`, the year being the last one in which it has been; `Mon Mar 2 04:03:47 2026`.
fn syslog(scan: &mut Scan<'_>, clock: &Clock) -> Option<i64> {
    const DAYS: &[u8; 21] = b"montuewedthufrisatsun";
    let mut weekday = false;
    if let Some(name) = scan.0.get(..3)
        && DAYS.chunks(3).any(|d| d.eq_ignore_ascii_case(name))
        && scan.0.get(3) == Some(&b' ')
    {
        scan.0 = &scan.0[4..];
        weekday = true;
    }
    let month = scan.month()?;
    if scan.spaces() == 0 {
        return None;
    }
    let day = scan.number(1, 2)?;
    if scan.spaces() == 0 {
        return None;
    }
    let time = scan.time()?;
    if weekday && scan.spaces() == 1 {
        let year = scan.number(4, 4)?;
        return instant(date(year, month, day)?.to_datetime(time), None, clock);
    }
    let now = i64::from(clock.civil(clock.now_ms + AHEAD_MS).year());
    // A leap day is at most eight years back.
    (0..=8).find_map(|back| {
        let ms = instant(date(now - back, month, day)?.to_datetime(time), None, clock)?;
        (ms <= clock.now_ms + AHEAD_MS).then_some(ms)
    })
}

/// `02/Mar/2026:04:03:47 +0000`.
fn apache(scan: &mut Scan<'_>, clock: &Clock) -> Option<i64> {
    let day = scan.number(2, 2)?;
    let month = scan.take(b'/').then(|| scan.month())??;
    let year = scan.take(b'/').then(|| scan.number(4, 4))??;
    let date = date(year, month, day)?;
    let time = scan.take(b':').then(|| scan.time())??;
    instant(date.to_datetime(time), scan.zone(), clock)
}

/// Seconds since 1970, with or without a fraction, or milliseconds; between 2005 and the present.
fn epoch(scan: &mut Scan<'_>, clock: &Clock) -> Option<i64> {
    let digits = scan.0.iter().take_while(|b| b.is_ascii_digit()).count();
    let number = scan.number(10, 13)?;
    let ms = match digits {
        10 => number * 1000,
        13 => number,
        _ => return None,
    };
    let ends = match scan.0.first() {
        None => true,
        Some(b'.') => scan.0.get(1).is_some_and(u8::is_ascii_digit),
        Some(b) => matches!(b, b' ' | b'\t' | b']' | b',' | b'}' | b'"'),
    };
    (ends && (1_104_537_600_000..=clock.now_ms + AHEAD_MS).contains(&ms)).then_some(ms)
}

/// The time of a line in JSON, by the usual names.
fn json(line: &[u8], clock: &Clock) -> Option<i64> {
    const KEYS: [&[u8]; 5] =
        [b"\"timestamp\"", b"\"@timestamp\"", b"\"time\"", b"\"ts\"", b"\"date\""];
    let find = |key: &[u8]| line.windows(key.len()).position(|w| w == key).map(|at| at + key.len());
    let mut scan = Scan(&line[KEYS.iter().find_map(|key| find(key))?..]);
    scan.spaces();
    if !scan.take(b':') {
        return None;
    }
    scan.spaces();
    scan.take(b'"');
    let mut again = scan;
    iso(&mut scan, clock).map(|t| t.ms).or_else(|| epoch(&mut again, clock))
}

/// When a line says that it was written, milliseconds since 1970 UTC: a time at its start (ISO
/// 8601, syslog, seconds since 1970), a web server's in brackets, or a field of a JSON line. A year
/// that is not there is the latest in which the time has been, by the clock.
#[must_use]
pub fn line_time(line: &[u8], clock: &Clock) -> Option<i64> {
    let line = &line[..line.len().min(LINE_BYTES_MAX)];
    let mut scan = Scan(line.trim_ascii_start());
    if scan.0.first() == Some(&b'{') {
        return json(scan.0, clock);
    }
    // The priority of a syslog line, and a bracket.
    let mut ahead = scan;
    if ahead.take(b'<') && ahead.number(1, 3).is_some() && ahead.take(b'>') {
        scan = ahead;
        let mut version = scan;
        if version.take(b'1') && version.take(b' ') {
            scan = version;
        }
    }
    scan.take(b'[');
    let (mut a, mut b, mut c) = (scan, scan, scan);
    let at_start = iso(&mut a, clock).map(|t| t.ms);
    let at_start = at_start.or_else(|| syslog(&mut b, clock)).or_else(|| epoch(&mut c, clock));
    at_start.or_else(|| {
        let brackets = line.iter().enumerate().filter(|(_, b)| **b == b'[').take(3);
        brackets.map(|(at, _)| at + 1).find_map(|at| apache(&mut Scan(&line[at..]), clock))
    })
}

/// The times of a source's lines, one after the other: a line without one has that of the line
/// before it.
#[derive(Clone, Debug)]
pub struct LineTimes {
    clock: Clock,
    /// The clock goes on.
    live: bool,
    last: Option<i64>,
}

impl LineTimes {
    /// At the start of a source that was written at a time; `clock` says which year a time without
    /// one is of.
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self { clock, live: false, last: None }
    }

    /// At the start of a source that is being written.
    #[must_use]
    pub fn live() -> Self {
        Self { clock: Clock::system(), live: true, last: None }
    }

    /// What follows was written at a time or before: times without a year are of the last one.
    pub fn written_at(&mut self, unix_ms: i64) {
        (self.clock.now_ms, self.live) = (unix_ms, false);
    }

    /// Goes on behind a block that was stored at a time; gives whether a line of it carries one.
    pub fn go_on(&mut self, text: &[u8], starts_mid_line: bool, block_ms: i64) -> bool {
        let clock = self.clock.at(block_ms.saturating_add(HALF_YEAR_MS));
        let lines = text.split(|b| *b == b'\n').skip(usize::from(starts_mid_line));
        let last = lines.filter_map(|line| line_time(line, &clock)).last();
        self.last = last.or(self.last);
        last.is_some()
    }

    /// The time of the next line, or of its part from its start.
    pub fn line(&mut self, line: &[u8]) -> Option<i64> {
        self.last = line_time(line, &self.clock).or(self.last);
        self.last
    }

    /// The time of a block: that of its first line, where a line carries one, taken over from the
    /// text before it where the block goes on with a line or has none.
    pub fn block(&mut self, text: &[u8], starts_mid_line: bool) -> Option<i64> {
        if self.live {
            self.clock.now_ms = system_ms();
        }
        let mut first = if starts_mid_line { self.last } else { None };
        for line in text.split(|b| *b == b'\n').skip(usize::from(starts_mid_line)) {
            let before = self.last;
            let time = self.line(line);
            first = first.or(time).or(before);
        }
        first.or(self.last)
    }
}

/// Half a year.
const HALF_YEAR_MS: i64 = 183 * 24 * 3600 * 1000;

/// Which lines of a stored text lie in a time.
#[derive(Clone, Debug)]
pub struct InTime<'a> {
    time: Option<(&'a Range<i64>, LineTimes)>,
}

impl<'a> InTime<'a> {
    /// `first`: the time of the block in which the text begins. A time without a year is of the
    /// year in which it is nearest to that.
    #[must_use]
    pub fn new(time: Option<&'a Range<i64>>, first: i64) -> Self {
        let clock = || Clock::system().at(first.saturating_add(HALF_YEAR_MS));
        Self { time: time.map(|t| (t, LineTimes::new(clock()))) }
    }

    /// Whether the next line lies in it. While no line has carried a time, the time of the block
    /// in which the line begins counts.
    pub fn holds(&mut self, line: &[u8], block_ms: i64) -> bool {
        let Some((range, times)) = &mut self.time else { return true };
        range.contains(&times.line(line).unwrap_or(block_ms))
    }
}

/// A time that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{found:?} is no time: a date (2026-03-02), a date and time (2026-03-02T04:10, with Z or \
     +01:00 for another zone), 04:10 for today, today, yesterday, or 45m, 2h, 3d for so long ago \
     are taken"
)]
pub struct NotATime {
    /// What was given.
    pub found: String,
}

/// A time as a person types it: milliseconds since 1970 UTC. With `end`, a day alone means its
/// end.
///
/// # Errors
/// [`NotATime`] with what was given.
pub fn given(text: &str, clock: &Clock, end: bool) -> Result<i64, NotATime> {
    let none = || NotATime { found: text.to_owned() };
    let word = text.trim().to_lowercase();
    let day = |date: Date| {
        let date = if end { date.tomorrow().ok()? } else { date };
        clock.ms(date.to_datetime(Time::midnight()))
    };
    let today = clock.civil(clock.now_ms).date();
    match word.as_str() {
        "now" => return Ok(clock.now_ms),
        "today" => return day(today).ok_or_else(none),
        "yesterday" => return today.yesterday().ok().and_then(day).ok_or_else(none),
        _ => {}
    }
    if let Some(ago) = ago(&word) {
        return clock.before(ago).ok_or_else(none);
    }
    let upper = word.to_uppercase();
    let whole = |mut scan: Scan<'_>, f: &dyn Fn(&mut Scan<'_>) -> Option<i64>| {
        let found = f(&mut scan);
        found.filter(|_| scan.0.is_empty())
    };
    let scan = Scan(upper.as_bytes());
    let at = whole(scan, &|s| iso(s, clock).and_then(|t| t.date.map_or(Some(t.ms), day)))
        .or_else(|| whole(scan, &|s| clock.ms(today.to_datetime(s.time()?))))
        .or_else(|| whole(scan, &|s| epoch(s, clock)));
    at.ok_or_else(none)
}

/// `2h`, `45 minutes ago`, `3d`, in milliseconds.
pub(crate) fn ago(word: &str) -> Option<i64> {
    let word = word.strip_suffix(" ago").unwrap_or(word);
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let n: i64 = word.get(..digits)?.parse().ok()?;
    let unit = match word[digits..].trim() {
        "s" | "sec" | "second" | "seconds" => 1.second(),
        "m" | "min" | "minute" | "minutes" => 1.minute(),
        "h" | "hour" | "hours" => 1.hour(),
        "d" | "day" | "days" => 24.hours(),
        "w" | "week" | "weeks" => (7 * 24).hours(),
        _ => return None,
    };
    let unit = SignedDuration::try_from(unit).ok()?;
    i64::try_from(unit.as_millis()).ok()?.checked_mul(n)
}

#[cfg(test)]
#[path = "when_tests.rs"]
mod tests;
