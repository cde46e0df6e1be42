//! Percentiles of measured times.

use std::time::Duration;

/// Measured times, sorted.
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn new(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut ms: Vec<f64> = times.into_iter().map(|t| t.as_secs_f64() * 1000.0).collect();
        ms.sort_by(f64::total_cmp);
        Self(ms)
    }

    /// The time in milliseconds that `percent` of them do not exceed (nearest rank); 0 of none.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (percent * self.0.len()).div_ceil(100).clamp(1, self.0.len().max(1));
        self.0.get(rank - 1).map_or(0.0, |ms| (ms * 1000.0).round() / 1000.0)
    }

    /// `p50 1.2 ms, p99 3.4 ms, max 5.6 ms`.
    pub(crate) fn text(&self) -> String {
        let p = |percent| self.percentile(percent);
        format!("p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", p(50), p(99), p(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let t = Times::new((1..=100).rev().map(Duration::from_millis));
        assert_eq!([1, 50, 99, 100].map(|p| t.percentile(p)), [1.0, 50.0, 99.0, 100.0]);
        assert_eq!(Times::new([Duration::from_millis(7)]).percentile(99), 7.0);
        assert_eq!(Times::new([]).percentile(50), 0.0);
    }
}
