//! Rates and means with 95% intervals, recall at k, area under the curve.

use std::fmt;

/// The two-sided 95% point of the normal distribution.
const Z95: f64 = 1.959_963_985;

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub hits: usize,
    /// Of how many.
    pub n: usize,
}

impl Rate {
    /// Counts the true ones.
    #[must_use]
    pub fn of(outcomes: impl IntoIterator<Item = bool>) -> Self {
        let mut rate = Self::default();
        for hit in outcomes {
            rate.n += 1;
            rate.hits += usize::from(hit);
        }
        rate
    }

    /// The share, 0 to 1; `None` of nothing.
    #[must_use]
    pub fn value(self) -> Option<f64> {
        (self.n > 0).then(|| float(self.hits) / float(self.n))
    }

    /// The 95% interval of the share (Wilson, 1927), which also holds near 0 and 1 and for few
    /// cases.
    #[must_use]
    pub fn interval(self) -> Option<(f64, f64)> {
        let share = self.value()?;
        let n = float(self.n);
        let z2 = Z95 * Z95;
        let centre = share + z2 / (2.0 * n);
        let spread = Z95 * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z2 / n;
        Some((((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0)))
    }
}

impl fmt::Display for Rate {
    /// `93.3% [84.1, 97.4] (56/60)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.value(), self.interval()) {
            (Some(share), Some((low, high))) => {
                let (share, low, high) = (share * 100.0, low * 100.0, high * 100.0);
                write!(f, "{share:.1}% [{low:.1}, {high:.1}] ({}/{})", self.hits, self.n)
            }
            _ => f.write_str("- (0/0)"),
        }
    }
}

/// A mean with its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Half the width of the 95% interval (normal approximation); 0 for one value.
    pub half_width: f64,
    /// How many values.
    pub n: usize,
}

impl Mean {
    /// The mean of `values`; `None` of nothing.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = float(values.len());
        let value = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|x| (x - value) * (x - value)).sum();
        let half_width =
            if values.len() > 1 { Z95 * (squares / (n - 1.0) / n).sqrt() } else { 0.0 };
        Some(Self { value, half_width, n: values.len() })
    }
}

/// The share of `relevant` among the first `k` of `ranked`; `None` when nothing is relevant.
#[must_use]
pub fn recall_at_k<T: PartialEq>(ranked: &[T], relevant: &[T], k: usize) -> Option<f64> {
    let top = &ranked[..k.min(ranked.len())];
    Rate::of(relevant.iter().map(|wanted| top.contains(wanted))).value()
}

/// The chance that a positive scores above a negative, ties counted half (area under the ROC
/// curve).
///
/// `None` when either side is empty or a score is not a number.
#[must_use]
pub fn auc(positives: &[f64], negatives: &[f64]) -> Option<f64> {
    let all = positives.iter().map(|score| (*score, true));
    let mut all: Vec<(f64, bool)> = all.chain(negatives.iter().map(|s| (*s, false))).collect();
    if positives.is_empty() || negatives.is_empty() || all.iter().any(|(s, _)| s.is_nan()) {
        return None;
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut wins = 0.0;
    let mut below = 0.0;
    for tied in all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let ups = float(tied.iter().filter(|(_, positive)| *positive).count());
        let downs = float(tied.len()) - ups;
        wins += ups * (below + downs / 2.0);
        below += downs;
    }
    Some(wins / (float(positives.len()) * float(negatives.len())))
}

/// A count as a float: exact below 2^53.
pub(super) fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 5e-4
    }

    #[test]
    fn wilson_intervals_are_those_of_the_tables() {
        let cases = [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (54, 60, 0.7985, 0.9534)];
        for (hits, n, low, high) in cases {
            let interval = Rate { hits, n }.interval().unwrap();
            assert!(close(interval.0, low) && close(interval.1, high), "{hits}/{n}: {interval:?}");
        }
        assert_eq!(Rate::default().interval(), None);
        assert_eq!(Rate { hits: 1, n: 2 }.to_string(), "50.0% [9.5, 90.5] (1/2)");
    }

    #[test]
    fn a_mean_has_its_interval() {
        let mean = Mean::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!(close(mean.value, 2.5) && close(mean.half_width, 1.2651), "{mean:?}");
        assert_eq!(Mean::of(&[]), None);
        assert_eq!(Mean::of(&[3.0]).unwrap().half_width, 0.0);
    }

    #[test]
    fn recall_counts_the_relevant_among_the_first() {
        assert_eq!(recall_at_k(&[4, 2, 9], &[2, 9], 2), Some(0.5));
        assert_eq!(recall_at_k(&[4, 2, 9], &[2, 9], 8), Some(1.0));
        assert_eq!(recall_at_k(&[4], &[], 1), None);
    }

    #[test]
    fn auc_equals_counting_all_pairs() {
        let positives = [0.9, 0.4, 0.4, 0.8];
        let negatives = [0.1, 0.4, 0.95, 0.2, 0.4];
        let mut pairs = 0.0;
        for p in positives {
            for n in negatives {
                pairs += if p > n {
                    1.0
                } else if p == n {
                    0.5
                } else {
                    0.0
                };
            }
        }
        assert!(close(auc(&positives, &negatives).unwrap(), pairs / 20.0));
        assert_eq!(auc(&[1.0], &[0.0]), Some(1.0));
        assert_eq!(auc(&[], &[0.0]), None);
        assert_eq!(auc(&[f64::NAN], &[0.0]), None);
    }
}
