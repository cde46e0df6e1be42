//! Compares arms of one measurement: the same places, other tiers of memory.

use crate::rng::Rng;
use crate::score::Mean;

/// What one arm measured at each place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arm {
    /// Nats of what was to be predicted, one entry a place.
    pub nats: Vec<f64>,
    /// Tokens of it, one entry a place.
    pub tokens: Vec<u64>,
}

impl Arm {
    /// Adds a place.
    pub fn push(&mut self, nats: f64, tokens: u64) {
        self.nats.push(nats);
        self.tokens.push(tokens);
    }

    /// Nats a token over all places; `None` before the first token.
    #[must_use]
    pub fn nats_per_token(&self) -> Option<f64> {
        self.over(0..self.nats.len())
    }

    /// The same over some places, each as often as it is named.
    fn over(&self, places: impl Iterator<Item = usize>) -> Option<f64> {
        let sum = places
            .fold((0.0, 0), |(nats, tokens), i| (nats + self.nats[i], tokens + self.tokens[i]));
        (sum.1 > 0).then(|| sum.0 / sum.1 as f64)
    }

    /// What it is better by than `other`, place by place: nats a token with a 95% interval.
    #[must_use]
    pub fn gain_over(&self, other: &Self) -> Option<Mean> {
        let at = |i: usize| Some(other.over(i..i + 1)? - self.over(i..i + 1)?);
        let places = self.nats.len().min(other.nats.len());
        Mean::of(&(0..places).filter_map(at).collect::<Vec<f64>>())
    }
}

/// How much of the way from `none` to `all` an arm goes: 0 is as `none`, 1 as `all`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Closed {
    /// The share over all places.
    pub share: f64,
    /// The 95% interval over places drawn again (bootstrap).
    pub interval: (f64, f64),
}

const DRAWS: usize = 2000;

/// The share of the gap between two arms that a third one closes; `None` where `all` is not
/// better than `none`.
#[must_use]
pub fn gap_closed(arm: &Arm, none: &Arm, all: &Arm) -> Option<Closed> {
    let places = arm.nats.len().min(none.nats.len()).min(all.nats.len());
    let of = |draw: &[usize]| {
        let over = |arm: &Arm| arm.over(draw.iter().copied());
        let (none, arm, all) = (over(none)?, over(arm)?, over(all)?);
        (none > all).then(|| (none - arm) / (none - all))
    };
    let every: Vec<usize> = (0..places).collect();
    let share = of(&every)?;
    let mut rng = Rng::new(1).fork("places");
    let mut shares: Vec<f64> = (0..DRAWS)
        .filter_map(|_| of(&every.iter().map(|_| rng.below(places)).collect::<Vec<usize>>()))
        .collect();
    shares.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let i = (part * (shares.len() as f64 - 1.0)).round();
        // A rank within the list: never negative, never beyond it.
        shares.get(i as usize).copied().unwrap_or(share)
    };
    Some(Closed { share, interval: (at(0.025), at(0.975)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(per_token: &[f64]) -> Arm {
        let mut arm = Arm::default();
        for x in per_token {
            arm.push(x * 10.0, 10);
        }
        arm
    }

    #[test]
    fn the_share_of_the_gap_is_that_of_the_means() {
        let (none, all) = (arm(&[4.0, 3.0, 5.0]), arm(&[2.0, 2.0, 2.0]));
        let half = arm(&[3.0, 2.5, 3.5]);
        assert_eq!(half.nats_per_token(), Some(3.0));
        let closed = gap_closed(&half, &none, &all).unwrap();
        assert!((closed.share - 0.5).abs() < 1e-12);
        assert!((closed.interval.0 - 0.5).abs() < 1e-9, "it is a half at every place: {closed:?}");
        let best = gap_closed(&all, &none, &all).unwrap();
        assert_eq!((best.share, best.interval), (1.0, (1.0, 1.0)));
        let uneven = gap_closed(&arm(&[2.0, 3.0, 5.0]), &none, &all).unwrap();
        assert!(uneven.interval.0 < 0.1 && uneven.interval.1 > 0.5, "{uneven:?}");
        assert_eq!(gap_closed(&half, &all, &none), None);
        assert_eq!(gap_closed(&Arm::default(), &none, &all), None);
    }

    #[test]
    fn gains_are_paired() {
        let gain = arm(&[3.0, 2.0]).gain_over(&arm(&[4.0, 3.0])).unwrap();
        assert_eq!((gain.value, gain.half_width, gain.n), (1.0, 0.0, 2));
        let mut long = Arm::default();
        long.push(10.0, 10);
        long.push(90.0, 30);
        assert_eq!(long.nats_per_token(), Some(2.5), "tokens weigh the same, not places");
        assert_eq!(Arm::default().nats_per_token(), None);
    }
}
