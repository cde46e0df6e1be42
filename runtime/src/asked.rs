//! What a question says of time and of counting, where that is certain: "between ten and eleven",
//! "in the last two hours", "how often did X fail".
//!
//! Only clear patterns are taken; everything else is an ordinary question, and a question's time
//! is given up again where the memory has nothing that is dated so ([`crate::session`]).

use std::ops::Range;

use jiff::civil::{Date, Time};

use crate::when::{Clock, MONTHS, ago, given};

/// Seconds of a day.
const DAY: u32 = 24 * 3600;

/// A time that a question names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// From and until, milliseconds since 1970 UTC.
    Fixed(Range<i64>),
    /// Times of day, in seconds from its start; the day is the last one that the memory has.
    OfDay(Range<u32>),
}

impl Span {
    /// The time, in a memory whose passages were written at `times`; each goes on until the second
    /// of the pair. A time of day is of the last day on which something was written then, else of
    /// the last day of all.
    #[must_use]
    pub fn resolve(&self, times: &[(i64, i64)], clock: &Clock) -> Option<Range<i64>> {
        let day = match self {
            Self::Fixed(range) => return Some(range.clone()),
            Self::OfDay(day) => day,
        };
        let of = |t: &(i64, i64)| {
            let range = on(clock.civil(t.0).date(), day, clock)?;
            meets(&range, t).then_some(range)
        };
        let last = times.iter().filter_map(of).max_by_key(|r| r.start);
        last.or_else(|| {
            let newest = times.iter().map(|t| t.0).max().unwrap_or_else(|| clock.now_ms());
            on(clock.civil(newest).date(), day, clock)
        })
    }
}

/// Whether something that was written from the first time to the second lies partly in a range.
#[must_use]
pub fn meets(range: &Range<i64>, written: &(i64, i64)) -> bool {
    written.0 < range.end && range.start < written.1.max(written.0.saturating_add(1))
}

/// What lines are counted for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Words that a line must hold, all of them, lower case.
    pub words: Vec<String>,
    /// Texts that a line must hold as they are, upper and lower case alike.
    pub phrases: Vec<String>,
}

/// What a question asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Understood {
    /// The time that it is about.
    pub span: Option<Span>,
    /// It asks how often: lines are counted that hold these; without any, all lines of `source`.
    pub count: Option<Wanted>,
    /// Lines of this source alone are meant.
    pub source: Option<String>,
    /// It asks what happened in a time and for nothing else.
    pub happened: bool,
}

/// A word of a question.
struct Word<'a> {
    raw: &'a str,
    low: String,
    used: bool,
}

/// A time of day as it stands in a question.
#[derive(Clone, Copy)]
struct OfDay {
    seconds: u32,
    /// Words that it takes.
    words: usize,
    /// It can be nothing else.
    certain: bool,
    /// The half of the day was named.
    half: Option<bool>,
}

/// Openings that ask how often.
const HOW_OFTEN: [&str; 3] = ["how often", "how many times", "how frequently"];
/// Verbs behind them that ask for what was; the others ask for what a text may state.
const PAST: [&str; 6] = ["did", "was", "were", "has", "have", "had"];
/// Verbs that say nothing of what is counted.
const HELPERS: [&str; 14] = [
    "do", "does", "did", "is", "are", "was", "were", "has", "have", "had", "can", "could", "will",
    "would",
];
/// Openings that ask for lines.
const HOW_MANY_LINES: [&str; 4] =
    ["how many lines", "count the lines", "count all lines", "count lines"];
/// Openings that ask for whatever happened.
const HAPPENED: [&str; 6] = [
    "what happened",
    "what has happened",
    "what had happened",
    "what went on",
    "what was going on",
    "what did happen",
];
/// Words by which lines are asked for that hold something.
const HOLDING: [&str; 13] = [
    "contain",
    "contains",
    "contained",
    "containing",
    "mention",
    "mentions",
    "mentioned",
    "mentioning",
    "with",
    "hold",
    "holding",
    "include",
    "including",
];
/// Words that say nothing of what is counted.
const EMPTY: [&str; 27] = [
    "often",
    "times",
    "time",
    "happen",
    "happened",
    "happens",
    "occur",
    "occurred",
    "occurs",
    "appear",
    "appears",
    "appeared",
    "mention",
    "mentions",
    "mentioned",
    "line",
    "lines",
    "contain",
    "contains",
    "contained",
    "containing",
    "ever",
    "altogether",
    "total",
    "count",
    "all",
    "far",
];
/// What stands before the word or text that is looked for, and is not looked for itself.
const MEANS: [&str; 8] =
    ["word", "words", "phrase", "phrases", "text", "texts", "string", "strings"];
/// Words that mean more than that a line holds words: alternatives, negations, comparisons, times
/// that are not taken. Nothing is counted then.
const DOUBTFUL: &str = " or either neither nor not no none without never except but unless \
    cannot how why who what when where which whose if while during before after since until till \
    between than more less fewer least most above below over under only exactly first last past \
    latest next previous ago now lately recently today yesterday tomorrow tonight noon midnight \
    morning afternoon evening night monday mondays tuesday tuesdays wednesday wednesdays thursday \
    thursdays friday fridays saturday saturdays sunday sundays mon tue wed thu fri sat sun hour \
    hours minute minutes day days week weeks weekday weekdays weekend weekends month months year \
    years every each per ";

/// Reads a question to a memory that has these sources.
#[must_use]
pub fn understand(question: &str, clock: &Clock, sources: &[String]) -> Understood {
    let (rest, phrases) = unquoted(question);
    if let Some(counting) = counting(&rest, &phrases, clock, sources) {
        return counting;
    }
    let mut words = split(&rest);
    let happened = opening(&words, &HAPPENED);
    words[..happened.unwrap_or(0)].iter_mut().for_each(|w| w.used = true);
    let source = happened.and_then(|_| take_source(&mut words, &["in", "of"], sources));
    let kind = if happened.is_some() { Kind::Happened } else { Kind::Other };
    let span = span(&mut words, kind, clock);
    let nothing_else = phrases.is_empty() && left(&words, false).is_empty();
    let happened = happened.is_some() && span.is_some() && nothing_else;
    Understood { happened, count: None, source: source.filter(|_| happened), span }
}

/// Reads a question for how often or for how many lines; `None` where that is not certain.
fn counting(
    rest: &str,
    phrases: &[String],
    clock: &Clock,
    sources: &[String],
) -> Option<Understood> {
    let mut words = split(rest);
    let often = opening(&words, &HOW_OFTEN)
        .filter(|n| words.get(*n).is_some_and(|w| PAST.contains(&w.low.as_str())));
    let lines = opening(&words, &HOW_MANY_LINES);
    let opens = often.or(lines)?;
    words[..opens].iter_mut().for_each(|w| w.used = true);
    let before: &[&str] =
        if lines.is_some() { &["in", "of", "does", "has"] } else { &["in", "of"] };
    let source = take_source(&mut words, before, sources);
    let span = span(&mut words, Kind::Counted, clock);
    let has = |list: &[&str]| words.iter().any(|w| !w.used && list.contains(&w.low.as_str()));
    if rest.contains([',', ';', '|']) || is_doubtful(&words, sources) {
        return None;
    }
    let named = |p: &String| sources.iter().any(|s| s.eq_ignore_ascii_case(p));
    if phrases.iter().any(named) {
        return None;
    }
    let means = lines.is_some() || !phrases.is_empty() || has(&EMPTY);
    let left = left(&words, means);
    let nothing_else = left.is_empty() && phrases.is_empty();
    if nothing_else && (source.is_none() || often.is_some()) {
        return None;
    }
    if lines.is_some() && !nothing_else && !has(&HOLDING) {
        return None;
    }
    let wanted = Wanted { words: left, phrases: phrases.to_vec() };
    Some(Understood { span, count: Some(wanted), source, happened: false })
}

/// The words of an opening that a question begins with.
fn opening(words: &[Word<'_>], all: &[&str]) -> Option<usize> {
    let joined: Vec<&str> = words.iter().map(|w| w.low.as_str()).collect();
    let joined = joined.join(" ");
    all.iter().find(|o| starts(&joined, o)).map(|o| o.split(' ').count())
}

/// The words that are looked for. `means`: the word "word" is none of them.
fn left(words: &[Word<'_>], means: bool) -> Vec<String> {
    let kept = |i: usize, w: &&Word<'_>| {
        let before = i.checked_sub(1).map_or("", |b| words[b].low.as_str());
        let of_log = matches!(w.low.as_str(), "log" | "logs") && matches!(before, "the" | "in");
        !(w.used || of_log || HOLDING.contains(&w.low.as_str()) && means)
    };
    let left: Vec<&str> =
        words.iter().enumerate().filter(|(i, w)| kept(*i, w)).map(|(_, w)| w.raw).collect();
    let mut left = crate::cite::words(&left.join(" "));
    left.retain(|w| {
        let w = w.as_str();
        !(EMPTY.contains(&w) || HELPERS.contains(&w) || means && MEANS.contains(&w))
    });
    left
}

/// Whether what is left of a question may mean more than that a line holds these words.
fn is_doubtful(words: &[Word<'_>], sources: &[String]) -> bool {
    let low = |i: usize| words.get(i).map_or("", |w| w.low.as_str());
    let is_file = |w: &str| {
        w.contains('/')
            || w.rsplit_once('.').is_some_and(|(_, end)| {
                matches!(end.len(), 1..=5) && end.bytes().all(|b| b.is_ascii_alphabetic())
            })
    };
    words.iter().enumerate().filter(|(_, w)| !w.used).any(|(i, w)| {
        let word = w.low.as_str();
        let listed = DOUBTFUL.contains(&format!(" {word} "));
        let negated = word.ends_with("n't") || word.ends_with("n\u{2019}t");
        // "error/warning" may be one or the other.
        let slash = word.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.contains('/'));
        let at = matches!(word, "at" | "around" | "about" | "by" | "from" | "to");
        let at = at && of_day(words, i + 1).is_some_and(|t| t.certain || word == "at");
        let year = low(i + 1).len() == 4 && low(i + 1).bytes().all(|b| b.is_ascii_digit());
        let inside = matches!(word, "in" | "of" | "does" | "has" | "inside" | "within" | "from");
        let elsewhere = inside && (year && word == "in" || is_file(low(i + 1)));
        let source = word.contains(|c: char| !c.is_alphanumeric())
            && sources.iter().any(|s| s.to_lowercase() == word || last_part(s) == word);
        // "has the filter to be changed"
        let ought = word == "to" && low(i + 1) == "be";
        listed || negated || slash || at || elsewhere || source || ought || is_month(word)
    })
}

fn is_month(word: &str) -> bool {
    month_of(word).is_some()
}

fn last_part(source: &str) -> String {
    source.rsplit('/').next().unwrap_or(source).to_lowercase()
}

/// A source that stands behind one of these words; the words are marked as used.
fn take_source(words: &mut [Word<'_>], before: &[&str], sources: &[String]) -> Option<String> {
    let alone = |name: &str| sources.iter().filter(|s| last_part(s) == name).count() == 1;
    for i in 0..words.len() {
        if words[i].used || !before.contains(&words[i].low.as_str()) {
            continue;
        }
        let filler = words[i + 1..].iter().take_while(|w| matches!(w.low.as_str(), "the" | "file"));
        let at = i + 1 + filler.count();
        let stands = |name: &str| {
            let name = name.to_lowercase();
            let parts: Vec<&str> = name.split_whitespace().collect();
            let there = words.get(at..at + parts.len())?;
            let same = !parts.is_empty() && there.iter().zip(&parts).all(|(w, p)| w.low == *p);
            same.then_some(parts.len())
        };
        let found = sources.iter().filter_map(|s| {
            let part = last_part(s);
            let part = alone(&part).then(|| stands(&part)).flatten();
            stands(s).or(part).map(|n| (n, s))
        });
        if let Some((n, source)) = found.max_by_key(|f| f.0) {
            words[i..at + n].iter_mut().for_each(|w| w.used = true);
            return Some(source.clone());
        }
    }
    None
}

fn starts(text: &str, opening: &str) -> bool {
    text.strip_prefix(opening).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The text without what stands between double quotes, and that.
fn unquoted(text: &str) -> (String, Vec<String>) {
    let mut rest = String::new();
    let mut phrases = Vec::new();
    let parts: Vec<&str> = text.split(['"', '\u{201c}', '\u{201d}']).collect();
    for (i, part) in parts.iter().enumerate() {
        // An opening quote without a closing one quotes nothing.
        if i % 2 == 1 && i + 1 < parts.len() {
            let phrase = part.trim();
            if !phrase.is_empty() {
                phrases.push(phrase.to_owned());
            }
            rest.push(' ');
        } else {
            rest.push_str(part);
        }
    }
    (rest, phrases)
}

fn split(text: &str) -> Vec<Word<'_>> {
    let marks = |c: char| matches!(c, '?' | '!' | '.' | ',' | ';' | '(' | ')' | '\'');
    let words = text.split_whitespace().map(|w| w.trim_matches(marks)).filter(|w| !w.is_empty());
    words.map(|raw| Word { raw, low: raw.to_lowercase(), used: false }).collect()
}

/// What a question asks for, as far as its time goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What happened: numbers are times of day, too.
    Happened,
    /// How often: a day alone is a time.
    Counted,
    Other,
}

/// The time that a question names; its words are marked as used.
fn span(words: &mut [Word<'_>], kind: Kind, clock: &Clock) -> Option<Span> {
    if let Some(found) = recent(words, clock) {
        return Some(found);
    }
    let mut day = None;
    if let Some((at, n, date)) = find_day(words, clock) {
        day = Some((at..at + n, date));
    }
    let times = find_times(words, kind == Kind::Happened);
    let span = match (&times, &day) {
        (Some((_, times)), Some((_, date))) => Span::Fixed(on(*date, times, clock)?),
        (Some((_, times)), None) => Span::OfDay(times.clone()),
        (None, Some((_, date))) if kind != Kind::Other => Span::Fixed(on(*date, &(0..DAY), clock)?),
        (None, _) => return None,
    };
    let used = times.map(|t| t.0).into_iter().chain(day.map(|d| d.0));
    used.for_each(|r| words[r].iter_mut().for_each(|w| w.used = true));
    Some(span)
}

/// A part of a day.
fn on(date: Date, times: &Range<u32>, clock: &Clock) -> Option<Range<i64>> {
    let at = |seconds: u32| {
        let (days, rest) = (seconds / DAY, seconds % DAY);
        let day = (0..days).try_fold(date, |d, _| d.tomorrow().ok())?;
        let small = |n: u32| i8::try_from(n).unwrap_or(0);
        let time =
            Time::new(small(rest / 3600), small(rest / 60 % 60), small(rest % 60), 0).ok()?;
        clock.ms(day.to_datetime(time))
    };
    Some(at(times.start)?..at(times.end)?)
}

/// "in the last two hours", "within the past day".
fn recent(words: &mut [Word<'_>], clock: &Clock) -> Option<Span> {
    let low = |words: &[Word<'_>], i: usize| words.get(i).map_or("", |w| w.low.as_str()).to_owned();
    let at = (0..words.len()).find(|&i| {
        matches!(low(words, i).as_str(), "in" | "within" | "during" | "over")
            && low(words, i + 1) == "the"
            && matches!(low(words, i + 2).as_str(), "last" | "past")
    })?;
    let number = low(words, at + 3);
    let (n, unit, taken) = match number_word(&number).or_else(|| number.parse().ok()) {
        Some(n) => (n, low(words, at + 4), 5),
        None => (1, number, 4),
    };
    let start = clock.before(ago(&format!("{n} {unit}"))?)?;
    words[at..at + taken].iter_mut().for_each(|w| w.used = true);
    // What is written in this moment belongs to it.
    Some(Span::Fixed(start..clock.now_ms().saturating_add(1)))
}

/// "yesterday", "today", "on 2026-03-02", "on March 2": where it stands, its words and the day.
fn find_day(words: &[Word<'_>], clock: &Clock) -> Option<(usize, usize, Date)> {
    let today = clock.civil(clock.now_ms()).date();
    for (i, word) in words.iter().enumerate() {
        match word.low.as_str() {
            "today" => return Some((i, 1, today)),
            "yesterday" => return Some((i, 1, today.yesterday().ok()?)),
            "on" => {
                let low = |n: usize| words.get(i + n).map_or("", |w| w.low.as_str());
                if low(1).len() == 10
                    && low(1).as_bytes().iter().filter(|b| **b == b'-').count() == 2
                    && let Ok(ms) = given(low(1), clock, false)
                {
                    return Some((i, 2, clock.civil(ms).date()));
                }
                let month = month_of(low(1)).zip(day_number(low(2)));
                let month = month.or_else(|| month_of(low(2)).zip(day_number(low(1))));
                if let Some((month, day)) = month {
                    let year: Option<i16> = low(3).parse().ok().filter(|y| *y > 1969);
                    let date = match year {
                        Some(year) => Date::new(year, month, day).ok(),
                        None => latest(month, day, today),
                    };
                    return Some((i, if year.is_some() { 4 } else { 3 }, date?));
                }
            }
            _ => {}
        }
    }
    None
}

/// The last such day that is not ahead.
fn latest(month: i8, day: i8, today: Date) -> Option<Date> {
    let years = (today.year() - 8..=today.year()).rev();
    years.filter_map(|y| Date::new(y, month, day).ok()).find(|d| *d <= today)
}

fn month_of(word: &str) -> Option<i8> {
    let at = MONTHS.iter().position(|n| *n == word || (word.len() == 3 && n.starts_with(word)))?;
    i8::try_from(at + 1).ok()
}

fn day_number(word: &str) -> Option<i8> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let suffix = &word[digits.len()..];
    let day: i8 = digits.parse().ok()?;
    (matches!(suffix, "" | "st" | "nd" | "rd" | "th") && (1..=31).contains(&day)).then_some(day)
}

/// "between ten and eleven", "from 10:00 to 10:30", "after 10:00", "before noon".
fn find_times(words: &[Word<'_>], happened: bool) -> Option<(Range<usize>, Range<u32>)> {
    for (i, word) in words.iter().enumerate() {
        let (joints, after): (&[&str], _) = match word.low.as_str() {
            "between" => (&["and"], None),
            "from" => (&["to", "until", "till"], None),
            "after" | "since" => (&[], Some(true)),
            "before" | "until" => (&[], Some(false)),
            _ => continue,
        };
        let Some(a) = of_day(words, i + 1) else { continue };
        let next = i + 1 + a.words;
        if let Some(after) = after {
            if a.certain {
                let range = if after { a.seconds..DAY } else { 0..a.seconds };
                return Some((i..next, range)).filter(|r| !r.1.is_empty());
            }
            continue;
        }
        if !words.get(next).is_some_and(|w| joints.contains(&w.low.as_str())) {
            continue;
        }
        let Some(b) = of_day(words, next + 1) else { continue };
        let end = next + 1 + b.words;
        let closes = words.get(end).is_none_or(|w| {
            matches!(w.low.as_str(), "on" | "yesterday" | "today" | "in" | "this" | "last")
        });
        if a.certain || b.certain || (happened && word.low == "between" && closes) {
            let start = match (a.half, b.half) {
                // "between 10 and 11 pm"
                (None, Some(true)) if !a.certain && a.seconds < DAY / 2 => a.seconds + DAY / 2,
                _ => a.seconds,
            };
            let until = if b.seconds <= start { b.seconds + DAY } else { b.seconds };
            return Some((i..end, start..until));
        }
    }
    None
}

/// The time of day that begins with a word.
fn of_day(words: &[Word<'_>], at: usize) -> Option<OfDay> {
    let word = words.get(at)?.low.as_str();
    let exactly = |seconds| Some(OfDay { seconds, words: 1, certain: true, half: None });
    match word {
        "noon" | "midday" => return exactly(DAY / 2),
        "midnight" => return exactly(0),
        _ => {}
    }
    let (digits, glued) = match word.find("am").or_else(|| word.find("pm")) {
        Some(n) if n + 2 == word.len() => (&word[..n], Some(word.ends_with("pm"))),
        _ => (word, None),
    };
    let seconds = match digits.split_once(':') {
        Some((hour, rest)) => {
            let (minute, second) = rest.split_once(':').unwrap_or((rest, "0"));
            clock_time(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?)?
        }
        None => clock_time(number_word(digits).or_else(|| digits.parse().ok())?, 0, 0)?,
    };
    let next = words.get(at + 1).map_or("", |w| w.low.as_str());
    let (half, taken, named) = match (glued, next) {
        (Some(half), _) => (Some(half), 1, true),
        (None, "am" | "a.m") => (Some(false), 2, true),
        (None, "pm" | "p.m") => (Some(true), 2, true),
        (None, "o'clock") => (None, 2, true),
        _ => (None, 1, digits.contains(':')),
    };
    let seconds = match half {
        Some(_) if seconds > DAY / 2 + 3599 => return None,
        Some(true) if seconds < DAY / 2 => seconds + DAY / 2,
        Some(false) if seconds >= DAY / 2 => seconds - DAY / 2,
        _ => seconds,
    };
    Some(OfDay { seconds, words: taken, certain: named, half })
}

fn clock_time(hour: u32, minute: u32, second: u32) -> Option<u32> {
    let valid = hour < 24 && minute < 60 && second < 60 || (hour, minute, second) == (24, 0, 0);
    valid.then_some(hour * 3600 + minute * 60 + second)
}

fn number_word(word: &str) -> Option<u32> {
    const NAMES: [&str; 12] = [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    let at = NAMES.iter().position(|n| *n == word)?;
    u32::try_from(at + 1).ok()
}

#[cfg(test)]
#[path = "asked_tests.rs"]
mod tests;
