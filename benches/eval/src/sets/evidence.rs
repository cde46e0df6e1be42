//! How much of the evidence stands among the best passages.

use std::ops::Range;

/// How many passages count.
pub const PASSAGES: usize = 8;

/// The share of `evidence` that the first [`PASSAGES`] passages of a ranking hold; `None` where
/// there is no evidence.
///
/// `ranked` are the byte ranges of blocks, best first. In a conversation (`turns` is not empty) a
/// passage is a turn: blocks stand for the turns that they touch, and a turn that was ranked
/// before counts once. Otherwise a passage is a block.
#[must_use]
pub fn share_found(
    ranked: &[Range<usize>],
    turns: &[Range<usize>],
    evidence: &[Range<usize>],
) -> Option<f64> {
    if evidence.is_empty() {
        return None;
    }
    let best = if turns.is_empty() {
        ranked.iter().take(PASSAGES).cloned().collect()
    } else {
        best_turns(ranked, turns)
    };
    let held = evidence.iter().filter(|e| best.iter().any(|p| touch(p, e))).count();
    Some(held as f64 / evidence.len() as f64)
}

/// The first turns that a ranking of blocks touches.
fn best_turns(ranked: &[Range<usize>], turns: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut best: Vec<Range<usize>> = Vec::new();
    for block in ranked {
        let first = turns.partition_point(|turn| turn.end <= block.start);
        for turn in turns[first..].iter().take_while(|turn| turn.start < block.end) {
            if best.len() < PASSAGES && !best.contains(turn) {
                best.push(turn.clone());
            }
        }
    }
    best
}

fn touch(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice::from_ref;

    #[test]
    fn blocks_count_where_there_are_no_turns() {
        let ranked: Vec<_> = (0..20).map(|i| i * 10..i * 10 + 10).collect();
        let share = |evidence: &[Range<usize>]| share_found(&ranked, &[], evidence);
        assert_eq!(share(&[]), None);
        assert_eq!(share(from_ref(&(75..85))), Some(1.0), "part of it is in the eighth block");
        assert_eq!(share(from_ref(&(80..85))), Some(0.0), "the ninth does not count");
        assert_eq!(share(&[0..1, 150..151]), Some(0.5));
        assert_eq!(share_found(&[], &[], &[0..1, 5..6]), Some(0.0));
    }

    #[test]
    fn several_blocks_of_one_turn_are_one_passage() {
        let turns: Vec<_> = (0..12).map(|i| i * 100..(i + 1) * 100).collect();
        // Nine blocks of the first turn leave room for seven more turns.
        let mut ranked: Vec<_> = (0..9).map(|i| i * 10..i * 10 + 10).collect();
        ranked.extend((1..12).map(|i| i * 100 + 5..i * 100 + 9));
        let share = |evidence: &[Range<usize>]| share_found(&ranked, &turns, evidence);
        assert_eq!(share(&turns[0..1]), Some(1.0));
        assert_eq!(share(&turns[7..8]), Some(1.0));
        assert_eq!(share(&turns[8..9]), Some(0.0));
        assert_eq!(share(&turns[6..10]), Some(0.5));
    }

    #[test]
    fn a_block_over_the_end_of_a_turn_stands_for_both() {
        let turns = [0..100, 100..200];
        assert_eq!(share_found(from_ref(&(90..110)), &turns, &turns), Some(1.0));
        assert_eq!(share_found(from_ref(&(90..100)), &turns, &turns), Some(0.5));
    }
}
