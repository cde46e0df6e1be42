//! Profiles: what is known of kinds of machines, as data.
//!
//! Boards are named in `profiles/*.toml` only. Code asks for what a machine can do
//! (`unified_memory`, `f16_matmul`, `memory_bytes_total`), never for its name. A profile gives
//! suggestions; what [`Machine`] finds on the spot comes first.

use lcedge_models::WeightKind;
use serde::Deserialize;

use crate::probe::Machine;

/// What is known of a kind of machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name it is asked for by, e.g. `x86-cpu`: the name of its file.
    #[serde(skip)]
    pub name: &'static str,
    /// Its name for people.
    pub title: String,
    /// Architecture, as [`Machine::architecture`].
    pub architecture: String,
    /// Parts of names in the device tree that tell this board; none for any machine.
    pub boards: Vec<String>,
    /// Memory in all; `None` takes what the machine has.
    pub memory_bytes_total: Option<u64>,
    /// Memory that the system and other programs need.
    pub memory_bytes_reserved: u64,
    /// Bandwidth of memory, where it is known: a decoder's tokens a second stay below it divided
    /// by the bytes of the weights.
    pub memory_bytes_per_second: Option<u64>,
    /// Whether the GPU's memory is the host's: its bytes count once, against the same total.
    pub unified_memory: bool,
    /// Whether the GPU multiplies matrices of 16-bit floats faster than of 32-bit ones.
    pub f16_matmul: bool,
    /// Compute capability of the GPU (`8.7`), where there is one.
    pub gpu_compute: Option<String>,
    /// Threads of one operator; `None` takes all cores.
    pub threads: Option<usize>,
    /// Slots of the window.
    pub window_tokens: usize,
    /// Tokens of one step while absorbing.
    pub chunk_tokens: usize,
    /// How weights are stored.
    pub weights: WeightKind,
    /// Most bytes written to the store in a day, so that flash lasts; `None` sets no limit.
    pub storage_write_bytes_per_day_max: Option<u64>,
}

/// Name and text of every profile; those of boards before those of any machine.
const TEXTS: [(&str, &str); 7] = [
    ("jetson-orin-nano-8gb", include_str!("../profiles/jetson-orin-nano-8gb.toml")),
    ("jetson-orin-nx-16gb", include_str!("../profiles/jetson-orin-nx-16gb.toml")),
    ("jetson-agx-orin-64gb", include_str!("../profiles/jetson-agx-orin-64gb.toml")),
    ("jetson-thor", include_str!("../profiles/jetson-thor.toml")),
    ("rpi5-8gb", include_str!("../profiles/rpi5-8gb.toml")),
    ("aarch64-cpu", include_str!("../profiles/aarch64-cpu.toml")),
    ("x86-cpu", include_str!("../profiles/x86-cpu.toml")),
];

/// A profile that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// None has this name.
    #[error("no profile is called {name:?}; there are {}", names().join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// A text is not a profile.
    #[error("profile {name}: {message}")]
    Malformed {
        /// Its name.
        name: String,
        /// What is wrong, with the line.
        message: String,
    },
}

/// Names of all profiles.
#[must_use]
pub fn names() -> Vec<&'static str> {
    TEXTS.map(|(name, _)| name).to_vec()
}

impl Profile {
    /// The profile of a name.
    ///
    /// # Errors
    /// [`ProfileError::Unknown`] names those that there are.
    pub fn named(name: &str) -> Result<Self, ProfileError> {
        let found = TEXTS.iter().find(|(n, _)| *n == name);
        let (name, text) = found.ok_or_else(|| ProfileError::Unknown { name: name.to_owned() })?;
        Self::parse(name, text)
    }

    /// The profile that fits a machine, and why: that of its board, else that of its architecture.
    ///
    /// # Errors
    /// [`ProfileError::Unknown`] for an architecture that has none.
    pub fn of_machine(machine: &Machine) -> Result<(Self, String), ProfileError> {
        for (name, text) in TEXTS {
            let profile = Self::parse(name, text)?;
            let reason = profile.board_of(machine).map(|p| format!("the device tree names {p}"));
            if let Some(reason) = reason {
                return Ok((profile, reason));
            }
        }
        for (name, text) in TEXTS {
            let profile = Self::parse(name, text)?;
            if profile.boards.is_empty() && profile.architecture == machine.architecture {
                return Ok((profile, format!("a machine of {}", machine.architecture)));
            }
        }
        Err(ProfileError::Unknown { name: machine.architecture.to_owned() })
    }

    /// Threads of one operator on `machine`: never more than it has cores.
    #[must_use]
    pub fn threads_on(&self, machine: &Machine) -> usize {
        self.threads.map_or(machine.cores, |t| t.min(machine.cores)).max(1)
    }

    /// Memory that a plan may use on `machine`: the total less what is reserved, but no more than
    /// half of the total is ever reserved.
    #[must_use]
    pub fn memory_bytes_usable(&self, machine: &Machine) -> u64 {
        let known = (machine.memory_bytes_total > 0).then_some(machine.memory_bytes_total);
        let total = known.or(self.memory_bytes_total).unwrap_or(0);
        total - self.memory_bytes_reserved.min(total / 2)
    }

    fn board_of(&self, machine: &Machine) -> Option<&str> {
        let names = &machine.board.as_ref()?.compatible;
        let told = |part: &&String| names.iter().any(|n| n.contains(part.as_str()));
        self.boards.iter().find(told).map(String::as_str)
    }

    fn parse(name: &'static str, text: &str) -> Result<Self, ProfileError> {
        let parsed: Result<Self, _> = toml::from_str(text);
        parsed
            .map(|p| Self { name, ..p })
            .map_err(|e| ProfileError::Malformed { name: name.to_owned(), message: e.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Board;

    fn board(compatible: &[&str]) -> Machine {
        Machine {
            cores: 6,
            memory_bytes_total: 7_802_344 * 1024,
            architecture: "aarch64",
            board: Some(Board {
                model: String::new(),
                compatible: compatible.iter().map(|&c| c.to_owned()).collect(),
                jetson_linux: None,
            }),
            ..Machine::default()
        }
    }

    #[test]
    fn every_file_is_listed_parses_and_is_sound() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|f| f.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let mut listed = names();
        files.sort();
        listed.sort_unstable();
        assert_eq!(files, listed);
        for name in names() {
            let p = Profile::named(name).unwrap();
            assert!(p.chunk_tokens <= p.window_tokens && p.chunk_tokens >= 64, "{name}");
            assert!(p.memory_bytes_total.is_none_or(|t| t > 2 * p.memory_bytes_reserved), "{name}");
            assert_eq!(p.unified_memory, p.gpu_compute.is_some(), "{name}: all GPUs here share");
            assert!(["x86_64", "aarch64"].contains(&p.architecture.as_str()), "{name}");
        }
    }

    #[test]
    fn boards_are_told_by_their_device_tree() {
        for (compatible, name) in [
            (&["nvidia,p3768-0000+p3767-0005", "nvidia,tegra234"][..], "jetson-orin-nano-8gb"),
            (&["nvidia,p3768-0000+p3767-0000"], "jetson-orin-nx-16gb"),
            (&["nvidia,p3737-0000+p3701-0005"], "jetson-agx-orin-64gb"),
            (&["nvidia,p3834-0008"], "jetson-thor"),
            (&["raspberrypi,5-model-b", "brcm,bcm2712"], "rpi5-8gb"),
            (&["some,other-board"], "aarch64-cpu"),
        ] {
            let (profile, reason) = Profile::of_machine(&board(compatible)).unwrap();
            assert_eq!(profile.name, name, "{reason}");
        }
    }

    #[test]
    fn what_the_machine_has_comes_first() {
        let machine = board(&["nvidia,p3768-0000+p3767-0005"]);
        let (profile, _) = Profile::of_machine(&machine).unwrap();
        let total = machine.memory_bytes_total;
        assert_eq!(profile.memory_bytes_usable(&machine), total - profile.memory_bytes_reserved);
        assert_eq!(profile.threads_on(&Machine { cores: 2, ..machine.clone() }), 2);
        let tiny = Machine { memory_bytes_total: 1 << 30, ..machine };
        assert_eq!(profile.memory_bytes_usable(&tiny), 1 << 29);
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let text = Profile::named("toaster").unwrap_err().to_string();
        assert!(text.contains("toaster") && text.contains("rpi5-8gb"), "{text}");
        let wrong = Profile::parse("x", "title = 3").unwrap_err().to_string();
        assert!(wrong.contains("profile x") && wrong.contains("title"), "{wrong}");
    }
}
