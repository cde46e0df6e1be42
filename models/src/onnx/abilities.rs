//! What a version of ONNX Runtime can do, as data (`abilities.toml`), and the check against it.

use serde::Deserialize;

use crate::card::WeightKind;

/// Why a graph cannot run under a version of ONNX Runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AbilityError {
    /// The version is too old.
    #[error(
        "ONNX Runtime {found} with {provider} lacks {ability:?} ({tried}); \
         {since} or newer is needed"
    )]
    Missing {
        /// What is missing.
        ability: String,
        /// The provider.
        provider: String,
        /// The version.
        found: String,
        /// The first version that has it.
        since: String,
        /// What was tried.
        tried: String,
    },
    /// The provider cannot run these graphs in any version.
    #[error("{provider} cannot run this graph: {why}")]
    Provider {
        /// The provider.
        provider: String,
        /// Why not.
        why: String,
    },
    /// The version is not of the form `1.31.0`.
    #[error("{0:?} is not a version of ONNX Runtime")]
    Version(String),
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ability {
    /// The provider, as `--device` calls it.
    pub provider: String,
    /// The weight kinds that need it; all where none are named.
    #[serde(default)]
    pub weights: Vec<WeightKind>,
    /// Whether only graphs with beacons need it.
    #[serde(default)]
    pub beacons: bool,
    /// What it is.
    pub name: String,
    /// The first version that has it, `major.minor`.
    pub since: String,
    /// With which versions this was seen.
    pub tried: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    provider: String,
    why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    ability: Vec<Ability>,
    refused: Vec<Refused>,
}

/// The whole table.
fn table() -> Table {
    toml::from_str(include_str!("abilities.toml")).expect("a test reads the table")
}

/// All rows of the table.
#[must_use]
pub fn abilities() -> Vec<Ability> {
    table().ability
}

/// Checks that `version` (`1.31.0`) of ONNX Runtime with `provider` (`cpu`) runs a graph with
/// weights of `kind`, and with `beacons` where the model has them.
///
/// # Errors
/// [`AbilityError`] naming the newest ability that is missing.
pub fn check(
    version: &str,
    provider: &str,
    kind: WeightKind,
    beacons: bool,
) -> Result<(), AbilityError> {
    let table = table();
    if !table.ability.iter().any(|a| a.provider == provider) {
        let row = table.refused.into_iter().find(|r| r.provider == provider);
        let why = row.map_or_else(|| "nothing is known of it".to_owned(), |r| r.why);
        return Err(AbilityError::Provider { provider: provider.into(), why });
    }
    let found = parse(version).ok_or_else(|| AbilityError::Version(version.into()))?;
    let needed = table
        .ability
        .into_iter()
        .filter(|a| a.provider == provider && (a.weights.is_empty() || a.weights.contains(&kind)))
        .filter(|a| beacons || !a.beacons);
    let missing = needed.filter(|a| parse(&a.since).is_none_or(|since| since > found));
    match missing.max_by_key(|a| parse(&a.since)) {
        None => Ok(()),
        Some(a) => Err(AbilityError::Missing {
            ability: a.name,
            provider: a.provider,
            found: version.into(),
            since: a.since,
            tried: a.tried,
        }),
    }
}

/// Major and minor number of `1.31`, `1.31.0` or `1.31.0+cu12`.
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim().split(['.', '+', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_were_tried_are_told_apart() {
        for (version, f32, int8, int4) in [
            ("1.17.3", false, false, false),
            ("1.19.2", false, false, false),
            ("1.20.1", true, false, false),
            ("1.21.1", true, false, false),
            ("1.22.1", true, true, true),
            ("1.31.0", true, true, true),
            ("2.0.0", true, true, true),
        ] {
            assert_eq!(check(version, "cpu", WeightKind::F32, false).is_ok(), f32, "{version}");
            assert_eq!(check(version, "cpu", WeightKind::F16, false).is_ok(), f32, "{version}");
            assert_eq!(check(version, "cpu", WeightKind::Int8, false).is_ok(), int8, "{version}");
            assert_eq!(check(version, "cpu", WeightKind::Int4, false).is_ok(), int4, "{version}");
            let beacons = check(version, "cpu", WeightKind::F32, true).is_ok();
            assert_eq!(beacons, int8, "{version}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = check("1.19.2", "cpu", WeightKind::F32, false).unwrap_err().to_string();
        assert!(message.contains("follows a past") && message.contains("1.20"), "{message}");
        let message = check("1.21.0", "cpu", WeightKind::Int4, false).unwrap_err().to_string();
        assert!(message.contains("8 bits") && message.contains("1.22"), "{message}");
        let message = check("1.31.0", "cuda", WeightKind::F32, false).unwrap_err().to_string();
        assert!(message.contains("16-bit"), "{message}");
        assert!(matches!(
            check("new", "cpu", WeightKind::F32, false),
            Err(AbilityError::Version(_))
        ));
        assert!(abilities().iter().all(|a| parse(&a.since).is_some()));
    }
}
