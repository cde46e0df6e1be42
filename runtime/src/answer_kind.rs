//! Whether an answer plainly clashes with what its question asks for: a clock's time for "where", a
//! version for "how many", an address for "who". English questions; all others never clash.
//!
//! A model that knows a name but not what is asked of it tends to give out what it does know. Only
//! clear cases are told: an answer that might do passes.

use std::net::{IpAddr, Ipv4Addr};

use crate::when::MONTHS;

/// What a question's first words ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// How many, how much, how large, how hot: something that is counted or measured.
    Amount,
    /// Who, whose, by whom.
    Name,
    /// Where.
    Place,
    /// When, at what time.
    Time,
    /// Nothing that would be known.
    Any,
}

/// Whether an answer cannot be what the question asks for.
#[must_use]
pub fn clashes(question: &str, answer: &str) -> bool {
    let answer = answer.trim().trim_end_matches(['.', ',', ';', '!']);
    let one_word = !answer.is_empty() && !answer.contains(char::is_whitespace);
    let place = one_word && (is_path(answer) || is_dotted(answer));
    let number = one_word && answer.bytes().all(|b| b.is_ascii_digit());
    match asked(question) {
        Asked::Amount => place || is_moment(answer),
        Asked::Name => place || number || is_moment(answer),
        Asked::Place => is_moment(answer),
        Asked::Time => one_word && is_path(answer),
        Asked::Any => false,
    }
}

/// Words that an answer is by its form alone, whether or not its line says them: an IP address is
/// an address. Only forms that hardly mean anything else.
#[must_use]
pub fn is_by_form(answer: &str) -> &'static [&'static str] {
    let answer = answer.trim().trim_end_matches(['.', ',', ';', '!']);
    if answer.is_empty() || answer.contains(char::is_whitespace) {
        return if is_moment(answer) { &["time", "date", "day", "hour"] } else { &[] };
    }
    let (name, domain) = answer.split_once('@').unwrap_or_default();
    let host = answer.rsplit_once(':').map_or(answer, |(host, _)| host);
    if answer.contains("://") {
        &["url", "link", "address", "page", "site"]
    } else if !name.is_empty() && domain.contains('.') {
        &["address", "mail", "email", "e-mail"]
    } else if answer.parse::<IpAddr>().is_ok() || host.parse::<Ipv4Addr>().is_ok() {
        &["address", "ip"]
    } else if is_path(answer) {
        &["path", "file", "folder", "directory"]
    } else if is_moment(answer) {
        &["time", "date", "day", "hour"]
    } else {
        &[]
    }
}

fn asked(question: &str) -> Asked {
    let q = question.trim().to_lowercase();
    let words: Vec<&str> =
        q.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let skip = usize::from(matches!(
        words.first(),
        Some(&("at" | "on" | "in" | "by" | "since" | "until" | "from" | "and" | "to" | "with"))
    ));
    let word = |i: usize| words.get(skip + i).copied().unwrap_or_default();
    match (word(0), word(1)) {
        // A clause of its own: "when the pump fails, what ...".
        ("when" | "where" | "who", _) if q.contains(',') => Asked::Any,
        (
            "how",
            "many" | "much" | "old" | "large" | "big" | "fast" | "heavy" | "high" | "deep" | "wide"
            | "tall" | "far" | "loud" | "hot" | "cold" | "warm" | "full",
        ) => Asked::Amount,
        ("when", _) => Asked::Time,
        ("what" | "which", "time" | "date" | "day" | "hour") if word(2) != "zone" => Asked::Time,
        ("who" | "whom" | "whose", _) => Asked::Name,
        ("where", _) => Asked::Place,
        _ => Asked::Any,
    }
}

fn is_path(word: &str) -> bool {
    word.starts_with('/') || word.contains("://")
}

/// Digits between two dots or more, or three colons or more: a version, an IP or MAC address.
fn is_dotted(word: &str) -> bool {
    let parts = |mark| word.split(mark).filter(|p: &&str| !p.is_empty()).count();
    let digits = word.bytes().any(|b| b.is_ascii_digit());
    let plain = word.chars().all(|c| c.is_ascii_hexdigit() || c == '.' || c == ':');
    digits && plain && (parts('.') >= 3 || parts(':') >= 4)
}

/// A clock's time with hours and minutes, or a whole date, and nothing beside it.
fn is_moment(answer: &str) -> bool {
    let number = |w: &str, max: u32| w.len() <= 2 && w.parse::<u32>().is_ok_and(|n| n <= max);
    let clock = |w: &str| {
        let parts: Vec<&str> = w.split(':').collect();
        parts.len() == 2 && number(parts[0], 23) && parts[1].len() == 2 && number(parts[1], 59)
    };
    let iso = |w: &str| {
        let parts: Vec<&str> = w.split('-').collect();
        let year = parts.first().is_some_and(|y| y.len() == 4 && y.parse::<u32>().is_ok());
        parts.len() == 3 && year && number(parts[1], 12) && number(parts[2], 31)
    };
    let lower = answer.to_lowercase();
    match lower.split_whitespace().collect::<Vec<_>>()[..] {
        [w] => clock(w) || iso(w),
        [w, "am" | "pm"] => clock(w),
        [day, month, year] => {
            number(day, 31) && MONTHS.contains(&month) && year.parse::<u32>().is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_what_an_answer_is() {
        for (answer, word) in [
            ("203.0.113.77", "address"),
            ("203.0.113.77:8080.", "address"),
            ("2001:db8::7", "ip"),
            ("/var/log/app.log", "file"),
            ("https://example.net/a", "url"),
            ("ana@example.net", "email"),
            ("2026-04-19", "date"),
            ("10:22 am", "time"),
        ] {
            assert!(is_by_form(answer).contains(&word), "{answer} {word}");
        }
        for answer in ["", "4.17.2", "51122", "Ana", "12 GB", "1.2.3.4 or 5.6.7.8", "@", "a@b", ":"]
        {
            assert_eq!(is_by_form(answer), [""; 0], "{answer}");
        }
    }

    #[test]
    fn only_what_plainly_cannot_be_meant_clashes() {
        for (question, answer) in [
            ("How many cores has the host?", "6.28.7"),
            ("How much was paid?", "/var/spool/x.db"),
            ("How large is the backup?", "5:15 pm"),
            ("Who owns dunlin-12?", "10.132.20.101"),
            ("Who is the vendor?", "1:02 pm"),
            ("Who rolled it out?", "6"),
            ("Where does it stand?", "9:30 am"),
            ("Where is the backup stored?", "14 January 2030"),
            ("Where is the backup stored?", "2030-01-14"),
            ("At what time does it start?", "/etc/cron.d/x"),
        ] {
            assert!(clashes(question, answer), "{question} {answer}");
        }
        for (question, answer) in [
            ("How many were there?", "seven"),
            ("How much was paid?", "9624.07 EUR"),
            ("How much time is left?", "2h 45m"),
            ("How hot did it get?", "very hot"),
            ("How long is the anchor cable?", "40 metres"),
            ("How long did the backup take?", "01:45:30"),
            ("When P-7 fails, what should be done?", "switch to the spare pump"),
            ("When is Tom's birthday?", "March"),
            ("When is it due?", "26.11.27"),
            ("When does she retire?", "locker 17-B"),
            ("How often does it run?", "daily"),
            ("What time zone is used?", "/usr/share/zoneinfo/UTC"),
            ("Who repaired it?", "Agnes Colombo"),
            ("Who was on call at the time?", "Tom, 10:30"),
            ("Who is the vendor?", "NM5-1621"),
            ("Where are the drawings?", "/var/spool/intake/b.db"),
            ("Where does the tunnel end?", "10.142.233.34"),
            ("Where is it?", "hall 4"),
            ("Which port is it?", "2222"),
            ("Когда?", "10:30"),
            ("Who was it?", ""),
        ] {
            assert!(!clashes(question, answer), "{question} {answer}");
        }
    }
}
