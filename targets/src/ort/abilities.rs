//! What a version of ONNX Runtime can do on the CPU, as data.
//!
//! Found by running the graph of each kind of weights on each version and comparing its results
//! with those of 1.31; an older version may load a graph and compute wrong results without an
//! error.

use lcedge_models::WeightKind;

use super::library::OrtVersion;

/// Something that a graph needs, and since when it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ability {
    /// What it is.
    pub name: &'static str,
    /// The first version that has it and computes it rightly.
    pub since: OrtVersion,
    /// What older versions do.
    pub before: &'static str,
}

const fn version(minor: u32) -> OrtVersion {
    OrtVersion { major: 1, minor, patch: 0 }
}

/// Attention over a shared past: every graph needs it.
pub const ATTENTION: Ability = Ability {
    name: "GroupQueryAttention in f32 for several tokens behind a past",
    since: version(20),
    before: "1.17 does not have it on the CPU; 1.18 and 1.19 give wrong results without an error",
};

/// Matrices of 8-bit blocks: graphs of int8 need it, and those of int4 for their head.
pub const BLOCKS_OF_8_BITS: Ability = Ability {
    name: "MatMulNBits with 8 bits",
    since: version(23),
    before: "1.22 fails when it runs, older ones when they load",
};

/// Attention of beacons: graphs that have them need it.
pub const ATTENTION_BIAS: Ability = Ability {
    name: "GroupQueryAttention with a bias, for beacons",
    since: version(22),
    before: "1.21 and older refuse the graph",
};

/// Saving packed matrices: used where it is there.
pub const SAVES_PACKED: Ability = Ability {
    name: "saving packed matrices",
    since: version(21),
    before: "matrices are packed anew each time",
};

/// A version lacks something that a graph needs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "ONNX Runtime {found} lacks {}, which {weights:?} weights need ({}); use {} or newer (--ort), \
     or let lcedge fetch one",
    ability.name, ability.before, ability.since
)]
pub struct AbilityError {
    /// The version that is loaded.
    pub found: OrtVersion,
    /// The weights of the graph.
    pub weights: WeightKind,
    /// What is lacking.
    pub ability: Ability,
}

/// Whether `found` can run a graph of these weights, with beacons or without.
///
/// # Errors
/// [`AbilityError`] names the first ability that is lacking.
pub fn check(found: OrtVersion, weights: WeightKind, beacons: bool) -> Result<(), AbilityError> {
    let needed: &[Ability] = match weights {
        WeightKind::F32 | WeightKind::F16 => &[ATTENTION],
        WeightKind::Int8 | WeightKind::Int4 => &[ATTENTION, BLOCKS_OF_8_BITS],
    };
    let beacons = beacons.then_some(&ATTENTION_BIAS);
    match needed.iter().chain(beacons).find(|a| found < a.since) {
        None => Ok(()),
        Some(&ability) => Err(AbilityError { found, weights, ability }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (minor, weights, able) in [
            (19, WeightKind::F32, false),
            (20, WeightKind::F32, true),
            (20, WeightKind::F16, true),
            (22, WeightKind::Int8, false),
            (22, WeightKind::Int4, false),
            (23, WeightKind::Int4, true),
            (31, WeightKind::Int8, true),
        ] {
            let checked = check(version(minor), weights, false).is_ok();
            assert_eq!(checked, able, "1.{minor} {weights:?}");
        }
        assert!(check(version(22), WeightKind::F32, true).is_ok());
        let text = check(version(21), WeightKind::F32, true).unwrap_err().to_string();
        assert!(text.contains("beacons") && text.contains("1.22.0"), "{text}");
        let text = check(version(22), WeightKind::Int4, false).unwrap_err().to_string();
        assert!(
            text.contains("1.22.0") && text.contains("1.23.0") && text.contains("--ort"),
            "{text}"
        );
    }
}
