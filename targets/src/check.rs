//! What every engine refuses, checked before anything is changed.

use lcedge_models::Card;

use crate::engine::{StepError, StepInput};

impl StepInput<'_> {
    /// Whether a model of this card with `len` valid slots of `capacity` can run this.
    ///
    /// # Errors
    /// [`StepError::WindowFull`], [`StepError::Shape`] or [`StepError::Range`].
    pub fn check(&self, card: &Card, len: usize, capacity: usize) -> Result<(), StepError> {
        let tokens = self.tokens.len();
        if tokens == 0 {
            return Err(StepError::Shape { what: "tokens", found: 0, expected: 1 });
        }
        same("positions", self.positions.len(), tokens)?;
        same("score_targets", self.score_targets.len(), self.score_rows.len())?;
        let slots = tokens + self.beacons.len();
        if slots > capacity - len.min(capacity) {
            return Err(StepError::WindowFull { tokens: slots, len, capacity });
        }
        self.check_beacons(card)?;
        below("token", self.tokens, card.vocab)?;
        below("score target", self.score_targets, card.vocab)?;
        below("logit row", self.logit_rows, tokens)?;
        below("score row", self.score_rows, tokens)?;
        for &position in self.positions {
            if !usize::try_from(position).is_ok_and(|p| p < card.positions) {
                let value = i64::from(position);
                return Err(StepError::Range { what: "position", value, limit: card.positions });
            }
        }
        Ok(())
    }
}

impl StepInput<'_> {
    fn check_beacons(&self, card: &Card) -> Result<(), StepError> {
        let ratios = card.memory.as_ref().map_or(0, |m| m.beacons.len());
        let mut before = 0;
        for beacon in self.beacons {
            below("beacon ratio", &[u32::from(beacon.ratio)], ratios)?;
            below("last row of a beacon", &[beacon.last], self.tokens.len())?;
            if beacon.last < before {
                return Err(StepError::BeaconOrder { before, after: beacon.last });
            }
            before = beacon.last;
        }
        Ok(())
    }
}

fn same(what: &'static str, found: usize, expected: usize) -> Result<(), StepError> {
    if found == expected { Ok(()) } else { Err(StepError::Shape { what, found, expected }) }
}

fn below(what: &'static str, values: &[u32], limit: usize) -> Result<(), StepError> {
    match values.iter().find(|&&v| v as usize >= limit) {
        None => Ok(()),
        Some(&v) => Err(StepError::Range { what, value: i64::from(v), limit }),
    }
}
