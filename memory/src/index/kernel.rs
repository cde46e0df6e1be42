//! The inner loop: for each vector of a query, the largest dot product with a block's vectors.
//!
//! All kernels give the same integers; [`scalar`] is the one to be believed, and tests compare the
//! others with it. They work on tiles ([`super::tile`]): a query word of four signed bytes is
//! given to all sixteen vectors of a lane at once, so sums never cross a register.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod prefetch;
mod scalar;

use super::tile::Lane;

/// Which instructions are used. A value other than `Scalar` exists only where they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kernel(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Plain Rust.
    Scalar,
    /// 256 bits, 16-bit products.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits, with the dot-product instruction (VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 128 bits.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// The fastest that this processor has.
    pub(crate) fn detect() -> Self {
        Self::all().pop().unwrap_or(Self(Kind::Scalar))
    }

    /// The kernel that every processor has.
    #[cfg(test)]
    pub(crate) const fn scalar() -> Self {
        Self(Kind::Scalar)
    }

    /// All that this processor has, slowest first.
    pub(crate) fn all() -> Vec<Self> {
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64")),
            expect(unused_mut, reason = "other processors have the scalar kernel only")
        )]
        let mut all = vec![Self(Kind::Scalar)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(Self(Kind::Avx2));
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                all.push(Self(Kind::Avx512));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            all.push(Self(Kind::Neon));
        }
        all
    }

    /// Blocks from which a search samples first: where scoring all of them in full would pass
    /// about 6 ms on two cores. `examples/search.rs` prints what a block costs.
    pub(crate) const fn sample_from(self) -> usize {
        match self.0 {
            Kind::Scalar => 512,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 4096,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 8192,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => 2048,
        }
    }

    /// Its name, for reports.
    pub(crate) const fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
        }
    }

    /// `out[i]` becomes the largest, over all vectors in `lanes` (whole groups of `per_group`
    /// lanes), of the sum of unsigned bytes times the signed bytes of query vector `i`
    /// (`words[i]`, `per_group` of them, each byte within ±63). `ahead` is what will be asked for
    /// next: a hint.
    pub(crate) fn max_dots(
        self,
        lanes: &[Lane],
        ahead: &[Lane],
        per_group: usize,
        words: &[i32],
        out: &mut [i32],
    ) {
        #[cfg(not(target_arch = "x86_64"))]
        let _ = ahead; // no such hint in stable Rust
        assert!(per_group > 0, "a vector has at least one lane");
        assert_eq!(words.len(), out.len() * per_group, "words of all query vectors");
        match self.0 {
            Kind::Scalar => scalar::max_dots(lanes, per_group, words, out),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => avx2::max_dots(lanes, ahead, per_group, words, out),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => avx512::max_dots(lanes, ahead, per_group, words, out),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => neon::max_dots(lanes, per_group, words, out),
        }
    }

    /// `out[v]` becomes the sum of unsigned bytes times the signed bytes of one query vector
    /// (`words`), for every vector of `lanes` (whole groups): for blocks of few vectors, several of
    /// which share a group.
    pub(crate) fn dots(self, lanes: &[Lane], words: &[i32], out: &mut [i32]) {
        let per_group = words.len();
        assert!(per_group > 0, "a vector has at least one lane");
        match self.0 {
            Kind::Scalar => scalar::dots(lanes, per_group, words, out),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => avx2::dots(lanes, per_group, words, out),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => avx512::dots(lanes, per_group, words, out),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => neon::dots(lanes, per_group, words, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tile::{GROUP, LANE};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_kernels_give_what_the_scalar_one_gives(
            per_group in 1_usize..20,
            groups in 1_usize..9,
            queries in 1_usize..40,
            seed: u64,
            extreme: bool,
        ) {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u32
            };
            let byte = |x: u32| if extreme { if x & 1 == 0 { 255 } else { 0 } } else { x as u8 };
            let lanes: Vec<Lane> = (0..groups * per_group)
                .map(|_| Lane(std::array::from_fn::<u8, LANE, _>(|_| byte(next()))))
                .collect();
            let level = |x: u32| if extreme { if x & 1 == 0 { 63 } else { -63 } }
                else { (x % 127) as i8 - 63 };
            let words: Vec<i32> = (0..queries * per_group)
                .map(|_| i32::from_le_bytes(std::array::from_fn(|_| level(next()).cast_unsigned())))
                .collect();
            let mut expected = vec![0; queries];
            scalar::max_dots(&lanes, per_group, &words, &mut expected);
            for kernel in Kernel::all() {
                let mut out = vec![0; queries];
                kernel.max_dots(&lanes, &lanes, per_group, &words, &mut out);
                prop_assert_eq!(&out, &expected, "{}", kernel.name());
                for (words, largest) in words.chunks_exact(per_group).zip(&expected) {
                    let mut dots = vec![7; groups * GROUP];
                    let mut plain = dots.clone();
                    kernel.dots(&lanes, words, &mut dots);
                    scalar::dots(&lanes, per_group, words, &mut plain);
                    prop_assert_eq!(&dots, &plain, "{}", kernel.name());
                    prop_assert_eq!(dots.iter().max(), Some(largest));
                }
            }
        }
    }
}
