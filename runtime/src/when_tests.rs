use super::*;

/// 24 November 2026, 12:00 UTC.
const NOW: i64 = 1_795_521_600_000;

fn utc() -> Clock {
    Clock::new(NOW, TimeZone::UTC)
}

fn east() -> Clock {
    Clock::new(NOW, TimeZone::fixed(jiff::tz::offset(2)))
}

fn shown(ms: Option<i64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| utc().rfc3339(ms).replace("+00:00", ""))
}

#[test]
fn the_times_of_common_logs_are_read() {
    for (line, want) in [
        ("2026-03-02T04:00:00.299Z INFO  health", "2026-03-02T04:00:00"),
        ("2026-03-02T04:00:00+02:00 x", "2026-03-02T02:00:00"),
        ("2026-03-02 04:00:00,123 WARN x", "2026-03-02T04:00:00"),
        ("2026-03-02 04:00:00 -0530 x", "2026-03-02T09:30:00"),
        ("[2026-03-02 04:00] x", "2026-03-02T04:00:00"),
        ("2026/03/02 04:00:00 [error] 7#7: x", "2026-03-02T04:00:00"),
        ("2026-03-02: bought milk", "2026-03-02T00:00:00"),
        ("Mar  2 04:03:47 edge-07 sshd[1]: x", "2026-03-02T04:03:47"),
        ("<34>Mar 12 04:03:47 edge-07 x", "2026-03-12T04:03:47"),
        ("<34>1 2026-03-02T04:03:47.000Z host x", "2026-03-02T04:03:47"),
        ("Dec 31 23:59:59 edge-07 x", "2025-12-31T23:59:59"),
        ("Feb 29 01:00:00 edge-07 x", "2024-02-29T01:00:00"),
        ("Mon Mar  2 04:03:47 2020 x", "2020-03-02T04:03:47"),
        ("[Mon Mar 02 04:03:47.123456 2020] [core:error] x", "2020-03-02T04:03:47"),
        ("10.0.0.7 - - [02/Mar/2026:04:03:47 +0100] \"GET /\" 200", "2026-03-02T03:03:47"),
        ("1772424227.311 x", "2026-03-02T04:03:47"),
        ("1772424227 x", "2026-03-02T04:03:47"),
        ("{\"level\":\"info\",\"ts\":1772424227.3,\"msg\":\"x\"}", "2026-03-02T04:03:47"),
        ("{\"time\": \"2026-03-02T04:03:47Z\"}", "2026-03-02T04:03:47"),
        // What is no time, or none that can be.
        ("The ship sailed on 2026-03-02", "-"),
        ("2026-13-02 04:00:00 x", "-"),
        ("2026-02-30 04:00:00 x", "-"),
        ("Mar 2 was a Monday", "-"),
        ("March 2 04:00:00", "-"),
        ("12345678901 x", "-"),
        ("9999999999 x", "-"),
        ("[17] x", "-"),
        ("User: at 04:00 it rained", "-"),
        ("", "-"),
        ("{}", "-"),
    ] {
        assert_eq!(shown(line_time(line.as_bytes(), &utc())), want, "{line}");
    }
    let line = b"Mar  2 04:03:47 edge-07 x";
    assert_eq!(shown(line_time(line, &east())), "2026-03-02T02:03:47", "the machine's own zone");
}

#[test]
fn a_block_begins_when_its_first_line_was_written() {
    let block = |times: &mut LineTimes, text: &str, mid| shown(times.block(text.as_bytes(), mid));
    let mut times = LineTimes::new(utc());
    assert_eq!(block(&mut times, "no time\nat all", false), "-");
    let two = "2026-03-02 04:00:00 a\n  trace\n2026-03-02 05:00:00 b";
    assert_eq!(block(&mut times, two, false), "2026-03-02T04:00:00");
    assert_eq!(
        block(&mut times, " and more of b\n2026-03-02 06:00:00 c", true),
        "2026-03-02T05:00:00"
    );
    assert_eq!(block(&mut times, "trace\ntrace\n", false), "2026-03-02T06:00:00");
    let mut times = LineTimes::new(utc());
    assert_eq!(block(&mut times, "trace\n2026-03-02 07:00:00 d", false), "2026-03-02T07:00:00");
}

#[test]
fn a_continued_source_goes_on_in_the_time_of_its_last_line() {
    let written = 1_772_424_000_000; // 2026-03-02T04:00
    for (stored, mid, carries, next, want) in [
        ("2026-03-02 04:00:00 a\n2026-03-02 05:00:00 b\n", false, true, "  trace\n", "05:00:00"),
        ("Mar  2 04:00:07 a\n  trace\n", false, true, "  trace\n", "04:00:07"),
        ("Mar  2 04:00:07 a\n", false, true, "Mar  2 06:00:00 b\n", "06:00:00"),
        ("2026-03-02 04:00:00 the rest of a line\n", true, false, "  trace\n", "-"),
        ("no time\n", false, false, "none\n", "-"),
    ] {
        let mut times = LineTimes::new(utc());
        assert_eq!(times.go_on(stored.as_bytes(), mid, written), carries, "{stored}");
        times.written_at(NOW);
        let got = shown(times.block(next.as_bytes(), false)).replace("2026-03-02T", "");
        assert_eq!(got, want, "{stored}{next}");
    }
}

#[test]
fn lines_without_a_time_are_of_their_own_block() {
    let range = 50..1_900_000_000_000;
    for (lines, want) in [
        // Text and block's time of each line.
        (vec![("a", 10), ("b", 10), ("c", 60)], vec![false, false, true]),
        (vec![("2026-03-02 04:00:00 a", 10), ("b", 10)], vec![true, true]),
        (vec![("a", 60), ("1970-01-01 00:00:00Z b", 60), ("c", 70)], vec![true, false, false]),
    ] {
        let mut in_time = InTime::new(Some(&range), lines[0].1);
        let got: Vec<bool> =
            lines.iter().map(|(line, ms)| in_time.holds(line.as_bytes(), *ms)).collect();
        assert_eq!(got, want, "{lines:?}");
    }
}

#[test]
fn times_that_people_type_are_read() {
    for (text, start, end) in [
        ("2026-03-02", "2026-03-02T00:00:00", "2026-03-03T00:00:00"),
        ("2026-03-02T04:10", "2026-03-02T04:10:00", "2026-03-02T04:10:00"),
        ("2026-03-02 04:10:07", "2026-03-02T04:10:07", "2026-03-02T04:10:07"),
        ("2026-03-02t04:10:00z", "2026-03-02T04:10:00", "2026-03-02T04:10:00"),
        ("2026-03-02T04:10:00+01:00", "2026-03-02T03:10:00", "2026-03-02T03:10:00"),
        ("04:10", "2026-11-24T04:10:00", "2026-11-24T04:10:00"),
        ("today", "2026-11-24T00:00:00", "2026-11-25T00:00:00"),
        ("Yesterday", "2026-11-23T00:00:00", "2026-11-24T00:00:00"),
        ("now", "2026-11-24T12:00:00", "2026-11-24T12:00:00"),
        ("2h", "2026-11-24T10:00:00", "2026-11-24T10:00:00"),
        ("45 minutes ago", "2026-11-24T11:15:00", "2026-11-24T11:15:00"),
        ("3d", "2026-11-21T12:00:00", "2026-11-21T12:00:00"),
        ("1w", "2026-11-17T12:00:00", "2026-11-17T12:00:00"),
    ] {
        assert_eq!(shown(given(text, &utc(), false).ok()), start, "{text}");
        assert_eq!(shown(given(text, &utc(), true).ok()), end, "{text}");
    }
    for text in [
        "",
        "soon",
        "2026-02-30",
        "25:00",
        "2026-03-02x",
        "3 apples",
        "999999999999999999d",
        "106751991167d",
        "5000000d",
    ] {
        assert!(given(text, &utc(), false).is_err(), "{text}");
    }
    let said = given("soon", &utc(), false).unwrap_err().to_string();
    assert!(said.contains("\"soon\"") && said.contains("2h"), "{said}");
    assert_eq!(east().minute(NOW), "2026-11-24 14:00");
    assert_eq!(east().rfc3339(NOW), "2026-11-24T14:00:00+02:00");
}
