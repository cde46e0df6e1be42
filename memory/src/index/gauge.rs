//! How much of the mapped pages of the index is resident, and when some has to go.
//!
//! A page counts as resident, with all its bytes, from the first look at it until it is given back:
//! rather too much than too little. What is given back stays in the system's page cache, as far as
//! that has room, and is mapped again at the next look.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of pages that were looked at, against a limit.
#[derive(Debug)]
pub(crate) struct Gauge {
    limit: u64,
    held: AtomicU64,
}

impl Gauge {
    /// `limit`: most bytes that may be resident; none: as many as there are.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit: limit.unwrap_or(u64::MAX), held: AtomicU64::new(0) }
    }

    /// What is kept from search to search: the rest is for pages that are being looked at.
    const fn kept(&self) -> u64 {
        self.limit / 4 * 3
    }

    pub(super) fn add(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn take(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that count as resident.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether a page that was gone through is to be given back.
    pub(crate) fn is_full(&self) -> bool {
        self.held() > self.kept()
    }

    /// Whether pages have to be given back before more are looked at.
    pub(crate) fn is_over(&self) -> bool {
        self.limit != u64::MAX && self.held() > self.kept() + self.limit / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_limit_is_kept_and_no_limit_is_never_over() {
        let gauge = Gauge::new(Some(800));
        gauge.add(600);
        assert!(!gauge.is_full() && !gauge.is_over());
        gauge.add(1);
        assert!(gauge.is_full() && !gauge.is_over());
        gauge.add(100);
        assert!(gauge.is_over());
        gauge.take(701);
        assert_eq!(gauge.held(), 0);
        let free = Gauge::new(None);
        free.add(1 << 60);
        assert!(!free.is_full() && !free.is_over());
    }
}
