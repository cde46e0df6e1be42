//! Choosing the next token: greedy, temperature, top-k, top-p (Holtzman et al. 2020), min-p
//! (Nguyen et al. 2024).

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 is greedy; otherwise logits are divided by it.
    pub temperature: f32,
    /// Keep the `top_k` most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of tokens whose probabilities add up to at least this; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less probable than this times the most probable one; 0 drops none.
    pub min_p: f32,
    /// Start of the random sequence.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 }
    }
}

/// A chosen token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Token id.
    pub id: u32,
    /// Its probability under the model, before any of the filters.
    pub probability: f32,
}

/// Chooses tokens; holds its random state and scratch.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    state: u64,
    order: Vec<(f32, u32)>,
}

impl Sampler {
    /// A sampler at the start of its random sequence.
    #[must_use]
    pub fn new(sampling: Sampling) -> Self {
        Self { sampling, state: sampling.seed ^ 0x9E37_79B9_7F4A_7C15, order: Vec::new() }
    }

    /// A number in 0..1 (SplitMix64; its upper 24 bits).
    fn random(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Chooses from logits `[vocab]`; `None` when there are none or none is a number.
    pub fn choose(&mut self, logits: &[f32]) -> Option<Choice> {
        let top = argmax(logits)?;
        let max = logits[top as usize];
        let sum: f64 =
            logits.iter().map(|&x| f64::from(x - max).exp()).filter(|x| !x.is_nan()).sum();
        let probability = |x: f32| (f64::from(x - max).exp() / sum) as f32;
        if self.sampling.temperature <= 0.0 {
            return Some(Choice { id: top, probability: probability(max) });
        }
        let t = self.sampling.temperature;
        let numbers = logits.iter().zip(0u32..).filter(|(x, _)| !x.is_nan());
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(numbers.map(|(&x, i)| (((x - max) / t).exp(), i)));
        self.filter(&mut order);
        let kept: f32 = order.iter().map(|p| p.0).sum();
        let mut left = self.random() * kept;
        let chosen = order.iter().find(|p| {
            left -= p.0;
            left < 0.0
        });
        let id = chosen.or(order.last()).map_or(top, |p| p.1);
        self.order = order;
        Some(Choice { id, probability: probability(logits[id as usize]) })
    }

    /// Keeps what top-k, min-p and top-p keep. `order` holds weights relative to the largest.
    fn filter(&self, order: &mut Vec<(f32, u32)>) {
        let s = &self.sampling;
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if s.top_k > 0 {
            order.truncate(s.top_k);
        }
        if s.min_p > 0.0 {
            let floor = order.first().map_or(0.0, |p| p.0) * s.min_p;
            order.retain(|p| p.0 >= floor);
        }
        if s.top_p < 1.0 {
            let total: f32 = order.iter().map(|p| p.0).sum();
            let mut sum = 0.0;
            let n = order.iter().position(|p| {
                sum += p.0;
                sum >= s.top_p * total
            });
            order.truncate(n.map_or(order.len(), |n| n + 1));
        }
    }
}

/// The probability that a model gives to a token.
#[must_use]
pub fn probability(logits: &[f32], id: u32) -> f32 {
    let Some(top) = argmax(logits) else { return 0.0 };
    let max = logits[top as usize];
    let sum: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).filter(|x| !x.is_nan()).sum();
    logits.get(id as usize).map_or(0.0, |&x| (f64::from(x - max).exp() / sum) as f32)
}

/// The `k` likeliest tokens, the likeliest first, with their probabilities.
#[must_use]
pub fn likeliest(logits: &[f32], k: usize) -> Vec<Choice> {
    let Some(top) = argmax(logits) else { return Vec::new() };
    let max = logits[top as usize];
    let sum: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).filter(|x| !x.is_nan()).sum();
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(k + 1);
    for (&x, id) in logits.iter().zip(0u32..).filter(|(x, _)| !x.is_nan()) {
        if best.len() == k && best.last().is_some_and(|b| x <= b.0) {
            continue;
        }
        let at = best.partition_point(|b| b.0 >= x);
        best.insert(at, (x, id));
        best.truncate(k);
    }
    let probability = |x: f32| (f64::from(x - max).exp() / sum) as f32;
    best.into_iter().map(|(x, id)| Choice { id, probability: probability(x) }).collect()
}

fn argmax(logits: &[f32]) -> Option<u32> {
    let best = logits.iter().enumerate().filter(|(_, x)| !x.is_nan());
    let best = best.fold(None::<(usize, f32)>, |best, (i, &x)| match best {
        Some((_, y)) if y >= x => best,
        _ => Some((i, x)),
    });
    best.and_then(|(i, _)| u32::try_from(i).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(sampling: Sampling, logits: &[f32], n: usize) -> Vec<usize> {
        let mut s = Sampler::new(sampling);
        let mut c = vec![0; logits.len()];
        for _ in 0..n {
            c[s.choose(logits).unwrap().id as usize] += 1;
        }
        c
    }

    const LOGITS: [f32; 4] = [1.0, 2.0, 0.0, -1.0];

    fn softmax(logits: &[f32], t: f32) -> Vec<f32> {
        let e: Vec<f32> = logits.iter().map(|x| (x / t).exp()).collect();
        let s: f32 = e.iter().sum();
        e.iter().map(|x| x / s).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest_and_its_true_probability() {
        let c = Sampler::new(Sampling::default()).choose(&[0.0, 3.0, f32::NAN, 3.0]).unwrap();
        assert_eq!(c.id, 1);
        let want = 3f32.exp() / (1.0 + 2.0 * 3f32.exp());
        assert!((c.probability - want).abs() < 1e-6);
        assert_eq!(Sampler::new(Sampling::default()).choose(&[]), None);
        assert_eq!(Sampler::new(Sampling::default()).choose(&[f32::NAN]), None);
    }

    #[test]
    fn frequencies_follow_the_tempered_softmax() {
        for t in [0.5, 1.0, 2.0] {
            let n = 40_000;
            let c = counts(Sampling { temperature: t, seed: 3, ..Sampling::default() }, &LOGITS, n);
            for (got, want) in c.iter().zip(softmax(&LOGITS, t)) {
                let got = *got as f32 / n as f32;
                assert!((got - want).abs() < 0.01, "t {t}: {got} {want}");
            }
        }
    }

    #[test]
    fn filters_keep_what_they_say() {
        let base = Sampling { temperature: 1.0, seed: 1, ..Sampling::default() };
        let zero = |s, zeros: &[usize]| {
            let c = counts(s, &LOGITS, 3000);
            for (i, &n) in c.iter().enumerate() {
                assert_eq!(n == 0, zeros.contains(&i), "{s:?}: {c:?}");
            }
        };
        zero(Sampling { top_k: 2, ..base }, &[2, 3]);
        zero(Sampling { min_p: 0.2, ..base }, &[2, 3]); // e^-2 = .135 < .2 <= e^-1
        zero(Sampling { top_p: 0.6, ..base }, &[0, 2, 3]); // the largest alone has .644
        zero(Sampling { top_p: 0.7, ..base }, &[2, 3]);
        zero(base, &[]);
    }

    #[test]
    fn the_likeliest_come_in_order_with_true_probabilities() {
        let got = likeliest(&[1.0, f32::NAN, 2.0, 0.0, 2.0, -1.0], 3);
        assert_eq!(got.iter().map(|c| c.id).collect::<Vec<_>>(), [2, 4, 0]);
        let all = softmax(&[1.0, 2.0, 0.0, 2.0, -1.0], 1.0);
        assert!((got[0].probability - all[1]).abs() < 1e-6);
        assert!((got[2].probability - all[0]).abs() < 1e-6);
        assert_eq!(likeliest(&[f32::NAN], 2), []);
        assert_eq!(likeliest(&[0.5], 2).len(), 1);
    }

    #[test]
    fn a_seed_fixes_the_sequence() {
        let s = Sampling { temperature: 1.0, seed: 9, ..Sampling::default() };
        assert_eq!(counts(s, &LOGITS, 500), counts(s, &LOGITS, 500));
    }
}
