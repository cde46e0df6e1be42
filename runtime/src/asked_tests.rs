use super::*;
use jiff::tz::TimeZone;

/// 24 November 2026, 12:00 UTC.
fn clock() -> Clock {
    Clock::new(1_795_521_600_000, TimeZone::UTC)
}

fn span_of(question: &str) -> String {
    let c = clock();
    let short = |ms: i64| c.minute(ms).replace("2026-", "");
    match understand(question, &c, &[]).span {
        None => "-".to_owned(),
        Some(Span::Fixed(r)) => format!("{}..{}", short(r.start), short(r.end)),
        Some(Span::OfDay(r)) => format!("{}..{}", r.start / 60, r.end / 60),
    }
}

#[test]
fn times_are_taken_where_they_are_certain() {
    for (question, want) in [
        ("What happened between ten and eleven?", "600..660"),
        ("What happened between 10 and 11?", "600..660"),
        ("What happened between ten and eleven yesterday?", "11-23 10:00..11-23 11:00"),
        ("What happened between 11 pm and 1 am?", "1380..1500"),
        ("What happened between 2 and 3 pm?", "840..900"),
        ("Who logged in between 04:10 and 04:20?", "250..260"),
        ("Who logged in from 10:00 to noon on 2026-03-02?", "03-02 10:00..03-02 12:00"),
        ("What happened after 10:30 on March 2nd?", "03-02 10:30..03-03 00:00"),
        ("Which jobs ran before midnight?", "-"),
        ("Which jobs ran after 9am?", "540..1440"),
        ("What happened yesterday?", "11-23 00:00..11-24 00:00"),
        ("What happened on 2 March 2025?", "2025-03-02 00:00..2025-03-03 00:00"),
        ("How often did it fail today?", "11-24 00:00..11-25 00:00"),
        ("Who logged in in the last two hours?", "11-24 10:00..11-24 12:00"),
        ("What happened within the past day?", "11-23 12:00..11-24 12:00"),
        // Not certain.
        ("What did Ana buy yesterday?", "-"),
        ("Which number is between one and ten?", "-"),
        ("How many errors lie between 5 and 10?", "-"),
        ("How often was the level between 5 and 10 volts?", "-"),
        ("What is the distance from 10 to 11?", "-"),
        ("What happened before the restart?", "-"),
        ("What happened on the ship?", "-"),
        ("What was rolled out on 2026-03-02?", "-"),
        ("What is the last thing in the last chapter?", "-"),
        ("What lies between Rome and Paris?", "-"),
        ("", "-"),
    ] {
        assert_eq!(span_of(question), want, "{question}");
    }
}

#[test]
fn counting_is_taken_where_it_is_asked_for() {
    let counted = |question: &str| {
        understand(question, &clock(), &[]).count.map(|c| (c.words.join(" "), c.phrases.join("|")))
    };
    for (question, words, phrases) in [
        ("How often did oleg use sudo?", "oleg use sudo", ""),
        ("how many times did 10.0.3.7 fail between 10:00 and 11:00?", "10.0.3.7 10 0 3 7 fail", ""),
        (
            "How often was \"Failed password\" logged for tomcat?",
            "logged tomcat",
            "Failed password",
        ),
        ("How many lines contain \"session opened\"?", "", "session opened"),
        ("How many times was the certificate renewed today?", "certificate renewed", ""),
        ("Count the lines with ERROR and db", "error db", ""),
        ("How many lines contain the word error?", "error", ""),
        ("How often did the phrase \"disk full\" appear?", "", "disk full"),
        ("How often did the text change?", "text change", ""),
        ("How often did the log mention Tom?", "tom", ""),
    ] {
        let want = Some((words.to_owned(), phrases.to_owned()));
        assert_eq!(counted(question), want, "{question}");
    }
    for question in [
        "How many barrels did the ship carry?",
        "How often?",
        "How many times?",
        "How many lines are there?",
        "How many times two is ten?",
        "Say how often did it fail",
        "How oftentimes did it fail?",
        "\"",
        // What a text may state.
        "How often is the filter changed?",
        "How often does the pump run?",
        "How often has the filter to be changed?",
        "How many lines did Tom write?",
        // More than words that a line holds.
        "How many lines mention sda or sdb?",
        "How many lines contain sda, sdb?",
        "How many lines contain error/warning?",
        "How many lines do not contain error?",
        "How many lines mention Ana without Tom?",
        "How often didn't it fail?",
        "How often did it fail this week?",
        "How often did it fail on Tuesday?",
        "How often did it fail in March?",
        "How often did it fail at 10:05?",
        "How often did it fail in 2025?",
        "How often did it fail before the restart?",
        "How often was the error value between 10 and 11?",
        "How many lines does n.txt have?",
        "How many lines contain error in life.txt?",
    ] {
        assert_eq!(counted(question), None, "{question}");
    }
}

#[test]
fn a_source_that_is_known_is_no_word() {
    let sources = ["logs/life.txt", "n.txt", "my notes.txt"].map(str::to_owned);
    for (question, want) in [
        ("How many lines does n.txt have?", Some("n.txt:")),
        ("How many lines are in the file life.txt?", Some("logs/life.txt:")),
        ("How many lines contain error in my notes.txt?", Some("my notes.txt:error")),
        ("How often was Tom mentioned in logs/life.txt?", Some("logs/life.txt:tom")),
        ("How often did Tom fail?", Some("-:tom fail")),
        ("How many lines contain error in n.txt and life.txt?", None),
        ("How often did n.txt fail?", None),
        ("How often was it in n.txt?", None),
    ] {
        let u = understand(question, &clock(), &sources);
        let source = u.source.unwrap_or_else(|| "-".to_owned());
        let got = u.count.map(|c| format!("{source}:{}", c.words.join(" ")));
        assert_eq!(got.as_deref(), want, "{question}");
    }
}

#[test]
fn what_happened_asks_for_nothing_else() {
    let happened = |q: &str| understand(q, &clock(), &[]).happened;
    assert!(happened("What happened between ten and eleven?"));
    assert!(happened("What was going on after 10:00 yesterday?"));
    assert!(!happened("What happened to disk sda between ten and eleven?"));
    assert!(!happened("What happened?"));
}

#[test]
fn a_time_of_day_is_of_the_last_day_that_there_is() {
    let c = clock();
    let at = |text: &str| given(text, &c, false).unwrap();
    let times = [
        (at("2026-03-01T10:30"), at("2026-03-01T10:31")),
        (at("2026-03-02T09:00"), at("2026-03-02T10:05")),
        (at("2026-03-03T18:00"), at("2026-03-03T18:00")),
    ];
    let range = Span::OfDay(600 * 60..660 * 60).resolve(&times, &c).unwrap();
    assert_eq!(
        (c.minute(range.start), c.minute(range.end)),
        ("2026-03-02 10:00".into(), "2026-03-02 11:00".into())
    );
    let night = Span::OfDay(1380 * 60..1500 * 60).resolve(&times, &c).unwrap();
    assert_eq!(c.minute(night.end), "2026-03-04 01:00", "of the last day of all");
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_typed_breaks_it(
        text in "\\PC{0,60}|(how often did|what happened between|on|in the last|march| ){0,9}\
                 |what happened (between|from|on|after) [0-9:]{1,6}( am| and|) [0-9a-z:]{1,7}"
    ) {
        let _ = understand(&text, &clock(), &["a b.log".to_owned()]);
    }
}
