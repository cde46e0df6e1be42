use super::*;
use std::collections::HashSet;

fn made(kind: LogKind, bytes: usize, seed: u64) -> String {
    generate(&LogOptions::new(kind, bytes, seed))
}

#[test]
fn the_same_options_make_the_same_bytes_and_another_seed_does_not() {
    for kind in LogKind::ALL {
        assert_eq!(made(kind, 20_000, 7), made(kind, 20_000, 7), "{}", kind.name());
        assert_ne!(made(kind, 20_000, 7), made(kind, 20_000, 8), "{}", kind.name());
    }
}

#[test]
fn a_longer_log_begins_with_the_shorter_one() {
    for kind in LogKind::ALL {
        assert!(made(kind, 40_000, 3).starts_with(&made(kind, 10_000, 3)), "{}", kind.name());
    }
}

#[test]
fn the_size_is_reached_with_a_whole_line() {
    for kind in LogKind::ALL {
        for bytes in [0, 1, 1000, 100_000] {
            let text = made(kind, bytes, 1);
            assert!(text.len() >= bytes && text.len() < bytes + 400, "{}", kind.name());
            assert!(text.is_empty() || text.ends_with('\n'));
            assert!(text.is_ascii());
        }
    }
}

#[test]
fn iso_stamps_never_fall() {
    for kind in [LogKind::App, LogKind::Jobs, LogKind::Mixed] {
        let text = made(kind, 200_000, 11);
        let stamps: Vec<&str> = text.lines().map(|line| &line[..24]).collect();
        assert!(stamps.is_sorted(), "{}", kind.name());
    }
}

#[test]
fn syslog_stamps_never_fall_within_a_month() {
    for kind in [LogKind::Auth, LogKind::Kernel] {
        let text = made(kind, 200_000, 11);
        let stamps: Vec<&str> = text.lines().map(|line| &line[4..15]).collect();
        assert!(text.lines().all(|line| line.starts_with("Mar ")));
        assert!(stamps.is_sorted(), "{}", kind.name());
    }
}

#[test]
fn lines_repeat_in_shape_and_vary_in_content() {
    for kind in LogKind::ALL {
        let text = made(kind, 200_000, 5);
        let lines: Vec<&str> = text.lines().collect();
        let distinct: HashSet<&str> = lines.iter().copied().collect();
        let shapes: HashSet<String> = lines.iter().map(|line| shape(line)).collect();
        assert!(distinct.len() * 10 > lines.len() * 8, "{}: too many equal lines", kind.name());
        assert!(shapes.len() >= 20, "{}: only {} shapes", kind.name(), shapes.len());
        let long = lines.iter().filter(|line| line.len() > 320).count();
        assert_eq!(long, 0, "{}", kind.name());
    }
}

/// The line with digits and hexadecimal words masked.
fn shape(line: &str) -> String {
    let masked = |word: &str| {
        if word.chars().any(|c| c.is_ascii_digit()) { "#".to_owned() } else { word.to_owned() }
    };
    line.split(' ').map(masked).collect::<Vec<_>>().join(" ")
}

#[test]
fn addresses_are_never_those_of_someone() {
    for kind in LogKind::ALL {
        let text = made(kind, 300_000, 2);
        for word in text.split(|c: char| !c.is_ascii_digit() && c != '.') {
            let octets: Vec<u8> = word.split('.').filter_map(|part| part.parse().ok()).collect();
            if octets.len() != 4 || word.split('.').count() != 4 {
                continue;
            }
            assert!(reserved(&octets), "{word} in a log of kind {}", kind.name());
        }
    }
}

fn reserved(ip: &[u8]) -> bool {
    match (ip[0], ip[1], ip[2]) {
        (0 | 10 | 127, _, _) | (192, 168, _) | (192, 0, 2) => true,
        (198, 51, 100) | (203, 0, 113) => true,
        (172, second, _) => (16..32).contains(&second),
        (100, second, _) => (64..128).contains(&second),
        (198, second, _) => second == 18 || second == 19,
        (255, 255, 255) | (224, 0, 0) => true,
        _ => false,
    }
}

#[test]
fn names_lead_back_to_kinds() {
    for kind in LogKind::ALL {
        assert_eq!(LogKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(LogKind::from_name("nothing"), None);
}
