//! Bounded fuzzing on a stable compiler: real inputs, changed by chance that a seed decides.
//!
//! Each round depends on seed and round alone, so that one that failed can be run by itself:
//! `FUZZ_SEED` and `FUZZ_ROUND` as the failure prints them. `FUZZ_ROUNDS` multiplies how many
//! rounds are run; `FUZZ_TRACE` names each one before it runs, for those that end the process.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Numbers that a seed decides (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, round: u64) -> Self {
        let mut random = Self(seed ^ round.wrapping_mul(0xd134_2543_de82_ef95));
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Below `n`; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.next().checked_rem(n as u64).unwrap_or(0) as usize
    }
}

/// One parser under test.
pub(crate) struct Target<'a> {
    pub(crate) name: &'a str,
    pub(crate) seed: u64,
    /// Rounds when `FUZZ_ROUNDS` is 1.
    pub(crate) rounds: u64,
    /// Seed and round of what failed once: always run.
    pub(crate) kept: &'a [(u64, u64)],
    /// Real inputs.
    pub(crate) inputs: Vec<Vec<u8>>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Target<'_> {
    /// Gives `check` one changed input after the other. It panics when something is wrong.
    pub(crate) fn run(&self, mut check: impl FnMut(&[u8], &mut Random)) {
        for input in &self.inputs {
            check(input, &mut Random::new(self.seed, 0));
        }
        let trace = std::env::var_os("FUZZ_TRACE").is_some();
        let mut round = |seed, round| {
            let mut random = Random::new(seed, round);
            let input = mutated(&mut random, &self.inputs);
            if trace {
                eprintln!("{}: FUZZ_SEED={seed} FUZZ_ROUND={round}", self.name);
            }
            let done = catch_unwind(AssertUnwindSafe(|| check(&input, &mut random)));
            if let Err(panic) = done {
                eprintln!(
                    "{}: failed on {} bytes; again with FUZZ_SEED={seed} FUZZ_ROUND={round}",
                    self.name,
                    input.len()
                );
                resume_unwind(panic);
            }
        };
        let seed = number("FUZZ_SEED").unwrap_or(self.seed);
        if let Some(one) = number("FUZZ_ROUND") {
            return round(seed, one);
        }
        self.kept.iter().for_each(|&(seed, n)| round(seed, n));
        let rounds = self.rounds.saturating_mul(number("FUZZ_ROUNDS").unwrap_or(1));
        (1..=rounds).for_each(|n| round(seed, n));
    }
}

/// One of the inputs with one to four changes.
fn mutated(random: &mut Random, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = inputs[random.below(inputs.len())].clone();
    for _ in 0..1 + random.below(4) {
        change(random, &mut bytes, inputs);
    }
    bytes
}

/// Numbers that lengths and counts are wrong with.
const EXTREMES: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];
const WORDS: [&str; 14] = [
    "-1",
    "0",
    "1e999",
    "4294967296",
    "18446744073709551616",
    "\"",
    "{",
    "[[[[[[[[[[[[[[[[",
    "null",
    "\\u0000",
    "\\ud800",
    "../../",
    "\n",
    "\u{10ffff}",
];

fn change(random: &mut Random, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
    // Headers are small and come first: half of the changes fall there.
    let reach = if random.below(2) == 0 { bytes.len().min(1024) } else { bytes.len() };
    let at = random.below(reach);
    let end = at + random.below((bytes.len() - at).min(64) + 1);
    match random.below(13) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        2 if !bytes.is_empty() => bytes[at] = random.next() as u8,
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        6 => {
            let other = &inputs[random.below(inputs.len())];
            let from = random.below(other.len());
            let to = from + random.below((other.len() - from).min(256) + 1);
            let end = if random.below(2) == 0 { at } else { end };
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        7 => {
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(at..end.min(at + 4), word.bytes());
        }
        8..=10 => {
            // A number that is written out, another in its place.
            let digit = bytes[at..].iter().position(u8::is_ascii_digit);
            let Some(from) = digit.map(|n| at + n) else { return };
            let rest = bytes[from..].iter().position(|b| !b.is_ascii_digit());
            let to = rest.map_or(bytes.len(), |n| from + n);
            let value = EXTREMES[random.below(EXTREMES.len())].wrapping_add(random.next() % 2);
            bytes.splice(from..to, value.to_string().bytes());
        }
        _ => {
            // A field of 1, 2, 4 or 8 bytes, at a place where fields like to be.
            let width = 1 << random.below(4);
            let at = if random.below(2) == 0 { at } else { at / width * width };
            let near = (bytes.len() as u64).wrapping_add(random.below(3) as u64).wrapping_sub(1);
            let n = random.below(EXTREMES.len() + 1);
            let value = EXTREMES.get(n).copied().unwrap_or(near).to_le_bytes();
            let fits = width.min(bytes.len() - at);
            bytes[at..at + fits].copy_from_slice(&value[..fits]);
        }
    }
}
