use super::template::{Template, templates};
use super::*;
use crate::log::{LogKind, LogOptions, generate};
use crate::score::normalise;
use std::collections::HashSet;

const FAMILIES: [Family; 2] = [Family::Calibration, Family::Evaluation];

fn log(kind: LogKind) -> String {
    generate(&LogOptions::new(kind, 250_000, 17))
}

fn planted(kind: LogKind, family: Family) -> Haystack {
    plant(log(kind).as_bytes(), &NeedleOptions::new(family, 3)).unwrap()
}

fn wordings(template: &Template) -> impl Iterator<Item = String> {
    let lines = template.lines.iter().map(|wording| normalise(wording.text()));
    let asked = template.questions.iter().chain(template.near).map(|text| normalise(text));
    lines.chain(asked)
}

#[test]
fn families_share_no_template_and_no_wording() {
    let all = |family| templates(family).iter();
    let ids: HashSet<&str> = all(Family::Calibration).map(|template| template.id).collect();
    assert!(all(Family::Evaluation).all(|template| !ids.contains(template.id)));
    let texts: HashSet<String> = all(Family::Calibration).flat_map(wordings).collect();
    for text in all(Family::Evaluation).flat_map(wordings) {
        assert!(!texts.contains(&text), "in both families: {text}");
    }
}

#[test]
fn families_share_no_name_but_numbers() {
    let names = |family| {
        let text = log(LogKind::App);
        let options = NeedleOptions { facts: 150, distractors: 0, ..NeedleOptions::new(family, 5) };
        let needles = plant(text.as_bytes(), &options).unwrap().needles;
        needles.into_iter().map(|needle| needle.entity).collect::<HashSet<_>>()
    };
    let shared = |name: &String| !name.contains(|c: char| c.is_ascii_digit());
    let (one, other) = (names(Family::Calibration), names(Family::Evaluation));
    assert_eq!(one.intersection(&other).filter(|name| shared(name)).count(), 0);
}

#[test]
fn templates_are_well_formed() {
    for family in FAMILIES {
        let all = templates(family);
        assert!(all.len() >= 20);
        let ids: HashSet<&str> = all.iter().map(|template| template.id).collect();
        let texts: HashSet<String> = all.iter().flat_map(wordings).collect();
        assert_eq!(ids.len(), all.len());
        assert_eq!(texts.len(), all.iter().flat_map(wordings).count(), "a wording occurs twice");
        for template in all {
            assert!(template.lines.len() >= 3 && template.questions.len() >= 2);
            for wording in template.lines {
                assert_eq!(wording.text().matches("{e}").count(), 1, "{}", template.id);
                assert_eq!(wording.text().matches("{v}").count(), 1, "{}", template.id);
            }
            for question in template.questions.iter().chain(template.near) {
                assert_eq!(question.matches("{e}").count(), 1, "{question}");
                assert!(question.ends_with('?') && !question.contains("{v}"), "{question}");
            }
        }
    }
}

#[test]
fn every_line_holds_its_fact_and_every_range_is_right() {
    for family in FAMILIES {
        for kind in LogKind::ALL {
            let haystack = planted(kind, family);
            let text = std::str::from_utf8(&haystack.text).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(haystack.needles.len(), 60);
            for needle in &haystack.needles {
                let line = lines[usize::try_from(needle.line).unwrap() - 1];
                assert!(line.contains(&needle.answer), "{line}");
                assert!(line.contains(&needle.entity), "{line}");
                assert_eq!(line, &text[needle.byte_start..needle.byte_end]);
                assert_eq!(text.as_bytes()[needle.byte_end], b'\n');
                assert!(needle.question.contains(&needle.entity));
            }
            assert!(haystack.needles.is_sorted_by_key(|needle| needle.line));
        }
    }
}

#[test]
fn values_and_names_occur_once() {
    for family in FAMILIES {
        let haystack = planted(LogKind::Mixed, family);
        let text = normalise(&String::from_utf8_lossy(&haystack.text));
        for needle in &haystack.needles {
            assert_eq!(text.matches(&normalise(&needle.answer)).count(), 1, "{}", needle.answer);
            assert_eq!(text.matches(&normalise(&needle.entity)).count(), 1, "{}", needle.entity);
        }
    }
}

#[test]
fn absent_questions_have_no_answer_in_the_text() {
    for family in FAMILIES {
        let haystack = planted(LogKind::Auth, family);
        let text = normalise(&String::from_utf8_lossy(&haystack.text));
        let asked: HashSet<&str> = haystack.needles.iter().map(|n| n.question.as_str()).collect();
        assert_eq!(haystack.absent.len(), 60);
        for absent in &haystack.absent {
            let occurs = text.contains(&normalise(&absent.entity));
            match absent.kind {
                AbsentKind::UnknownEntity => assert!(!occurs, "{}", absent.entity),
                AbsentKind::UnstatedAttribute => assert!(occurs, "{}", absent.entity),
            }
            assert!(!asked.contains(absent.question.as_str()));
        }
        let unknown = |absent: &&Absent| absent.kind == AbsentKind::UnknownEntity;
        assert_eq!(haystack.absent.iter().filter(unknown).count(), 30);
        let distinct: HashSet<&str> = haystack.absent.iter().map(|a| a.question.as_str()).collect();
        assert_eq!(distinct.len(), 60);
    }
}

#[test]
fn look_alikes_stand_where_they_are_said_to_and_state_no_fact() {
    let haystack = planted(LogKind::App, Family::Evaluation);
    let text = String::from_utf8(haystack.text.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let original = log(LogKind::App);
    let known: HashSet<&str> = original.lines().collect();
    assert_eq!(haystack.distractors.len(), 60);
    for number in &haystack.distractors {
        let line = lines[usize::try_from(*number).unwrap() - 1];
        assert!(!known.contains(line), "{line}");
        assert!(haystack.needles.iter().all(|needle| needle.line != *number));
        assert!(haystack.needles.iter().all(|needle| !line.contains(&needle.answer)));
    }
}

#[test]
fn the_text_itself_is_kept() {
    let original = log(LogKind::Web);
    let haystack = planted(LogKind::Web, Family::Calibration);
    let text = String::from_utf8(haystack.text.clone()).unwrap();
    let added: HashSet<u64> =
        haystack.needles.iter().map(|n| n.line).chain(haystack.distractors.clone()).collect();
    let kept: Vec<&str> =
        (1..).zip(text.lines()).filter(|(n, _)| !added.contains(n)).map(|(_, l)| l).collect();
    assert_eq!(kept, original.lines().collect::<Vec<_>>());
}

#[test]
fn stamps_stay_in_order_and_facts_carry_them() {
    let haystack = planted(LogKind::Kernel, Family::Calibration);
    let text = String::from_utf8(haystack.text).unwrap();
    let stamps: Vec<&str> =
        text.lines().filter(|l| l.starts_with("Mar ")).map(|l| &l[4..15]).collect();
    assert!(stamps.is_sorted());
    let stamped = |n: &&Needle| text[n.byte_start..].starts_with("Mar ");
    assert!(haystack.needles.iter().filter(stamped).count() > 40);
}

#[test]
fn facts_are_spread_and_the_tail_stays_clear() {
    let text = log(LogKind::Jobs);
    let options =
        NeedleOptions { clear_tail_bytes: 50_000, ..NeedleOptions::new(Family::Evaluation, 9) };
    let haystack = plant(text.as_bytes(), &options).unwrap();
    let lines = text.lines().count() as u64;
    let last = haystack.needles.last().unwrap();
    assert!(haystack.text.len() - last.byte_end >= 49_000, "{}", last.byte_end);
    assert!(haystack.needles[0].line < lines / 20);
    let middle = haystack.needles.iter().filter(|n| n.byte_end < haystack.text.len() / 2).count();
    assert!((30..=45).contains(&middle), "{middle}");
}

#[test]
fn the_same_seed_hides_the_same_facts_and_another_does_not() {
    let text = log(LogKind::App);
    let made =
        |seed| plant(text.as_bytes(), &NeedleOptions::new(Family::Evaluation, seed)).unwrap();
    assert_eq!(made(1).needles, made(1).needles);
    assert_eq!(made(1).text, made(1).text);
    assert_ne!(made(1).needles, made(2).needles);
}

#[test]
fn odd_texts_take_facts_too() {
    let options = NeedleOptions {
        facts: 5,
        absent: 4,
        distractors: 3,
        ..NeedleOptions::new(Family::Calibration, 1)
    };
    let odd: [&[u8]; 5] =
        [b"", b"no end of line", b"\n\n\n", b"a\r\nb\r\nc\r\n", b"\xff\xfe\x00bytes\nmore\n"];
    for text in odd {
        let haystack = plant(text, &options).unwrap();
        assert_eq!((haystack.needles.len(), haystack.absent.len()), (5, 4));
        for needle in &haystack.needles {
            let line = &haystack.text[needle.byte_start..needle.byte_end];
            assert!(std::str::from_utf8(line).unwrap().contains(&needle.answer));
            let before = &haystack.text[..needle.byte_start];
            let newlines = before.iter().filter(|byte| **byte == b'\n').count() as u64;
            assert_eq!(newlines + 1, needle.line);
        }
        let crlf = text.contains(&b'\r');
        let end = haystack.needles[0].byte_end;
        assert_eq!(haystack.text[end..].starts_with(b"\r\n"), crlf);
        assert!(haystack.text.ends_with(text.rsplit(|b| *b == b'\n').next().unwrap()));
    }
}

#[test]
fn five_hundred_facts_fit_and_too_many_are_refused() {
    let text = log(LogKind::Mixed);
    let many = NeedleOptions {
        facts: 500,
        absent: 200,
        distractors: 200,
        ..NeedleOptions::new(Family::Evaluation, 1)
    };
    assert_eq!(plant(text.as_bytes(), &many).unwrap().needles.len(), 500);
    let none = NeedleOptions { facts: 0, distractors: 1, ..many };
    let refused = plant(text.as_bytes(), &none).unwrap_err();
    assert_eq!(refused, PlantError::Exhausted { what: "look-alikes", wanted: 1, made: 0 });
}

#[test]
fn cases_are_facts_first_then_absent_ones() {
    let haystack = planted(LogKind::App, Family::Calibration);
    let cases: Vec<Case<'_>> = haystack.cases().collect();
    assert_eq!(cases.len(), 120);
    assert!(cases[..60].iter().all(|case| case.expected.is_some()));
    assert!(cases[60..].iter().all(|case| case.expected.is_none()));
}
