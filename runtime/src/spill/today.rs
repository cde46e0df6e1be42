//! What a day's write budget allows.

/// What of a block may be written on a day, less and less: in the order in which a disk budget
/// takes from blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Today {
    /// All of it.
    All,
    /// Beacons, text and address.
    Beacons,
    /// Text and address, which are never held back: what was read is not lost. No room is made for
    /// a disk budget by writing segments anew.
    Text,
}

impl Today {
    /// When so much was written of a day's budget.
    pub(super) const fn of(spent: u64, budget: u64) -> Self {
        if spent < budget {
            Self::All
        } else if spent - budget <= budget / 2 {
            Self::Beacons
        } else {
            Self::Text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_written_the_less_is_stored_of_a_block() {
        for (spent, want) in [
            (0, Today::All),
            (999, Today::All),
            (1000, Today::Beacons),
            (1500, Today::Beacons),
            (1501, Today::Text),
            (u64::MAX, Today::Text),
        ] {
            assert_eq!(Today::of(spent, 1000), want, "{spent}");
        }
        assert_eq!(Today::of(1, 0), Today::Text);
    }
}
