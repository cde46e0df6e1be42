//! Opening the session of an engine: with packed matrices from disk where they are asked for and
//! have been seen to give the same results.

use std::path::{Path, PathBuf};

use lcedge_models::onnx::recurrent::RECURRENT_DATA_FILE;
use lcedge_models::{Card, WeightKind};
use ort::session::Session;

use super::engine::{LoadError, OrtEngine, Packing, has_beacons};
use super::provider::Provider;
use super::runtime::Runtime;
use super::session::{self, Packed, Setup};
use crate::choose::{self, Choice, Device};
use crate::engine::{BeaconRow, Engine, StepInput, StepOutput};

/// Largest difference allowed between logits of packed matrices from disk and from memory,
/// relative to one plus the largest logit: they are the same matrices in the same kernels.
const SAME: f32 = 1e-5;

/// What a session is opened from.
pub(super) struct Opening<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) graph: &'a Path,
    pub(super) card: &'a Card,
    pub(super) provider: &'a dyn Provider,
    pub(super) setup: Setup,
}

impl Opening<'_> {
    /// The session, and where its packed matrices lie or why they are not kept (`None` when that
    /// was not asked for).
    pub(super) fn session(
        &self,
        packing: &Packing,
    ) -> Result<(Session, Option<Result<PathBuf, String>>), LoadError> {
        let beside = self.graph.parent().unwrap_or(Path::new("."));
        let (cache, alone) = match packing {
            Packing::InMemory => return Ok((self.plain()?, None)),
            Packing::BesideGraph => (beside, true),
            Packing::Under(folder) => (folder.as_path(), false),
        };
        match self.packed(cache, alone) {
            Ok(folder) => {
                let opened = self.open_packed(&folder);
                let session = opened.map_err(|e| self.failed_at(&folder, &e.to_string()))?;
                Ok((session, Some(Ok(folder))))
            }
            // The model runs all the same; the report says why its matrices were not kept.
            Err(why) => Ok((self.plain()?, Some(Err(why)))),
        }
    }

    /// A folder with packed matrices, made where it is not there yet; or why there is none.
    fn packed(&self, cache: &Path, alone: bool) -> Result<PathBuf, String> {
        if self.provider.device() != Device::Cpu {
            return Err("only the CPU packs matrices".to_owned());
        }
        if !matches!(self.card.weights, WeightKind::F32 | WeightKind::F16) {
            // Seen with 1.31 and products that quantise activations: matrices that come back from
            // disk give infinite logits, for some shapes. Packing them anew takes half a second.
            return Err(
                "ONNX Runtime saves some matrices of 8- and 4-bit blocks wrongly".to_owned()
            );
        }
        let Some(folder) =
            session::packed_folder(self.runtime, cache, self.graph, &self.card.fingerprint)
        else {
            return Err(format!("ONNX Runtime {} cannot save them", self.runtime.version()));
        };
        if session::state(&folder) == Packed::Absent {
            let write = |stage: &Path| {
                session::write_packed(self.runtime, self.graph, stage, self.provider, self.setup)
            };
            session::pack(&folder, alone, &write, &|stage| self.verify(stage))
                .map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        match session::state(&folder) {
            Packed::Whole => Ok(folder),
            Packed::Refused(why) => Err(why),
            Packed::Absent => Err(format!("{}: it is gone again", folder.display())),
        }
    }

    /// Whether packed matrices give what the graph gives, for several tokens and for one: the
    /// library may save some kinds wrongly and load them without an error.
    fn verify(&self, folder: &Path) -> Result<(), String> {
        let want = self.logits(self.plain().map_err(|e| e.to_string())?)?;
        let got = self.logits(self.open_packed(folder).map_err(|e| e.to_string())?)?;
        let scale = 1.0 + want.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
        // Written so that a NaN is a difference.
        let same = |(a, b): (&f32, &f32)| (a - b).abs() <= SAME * scale;
        if want.len() == got.len() && want.iter().zip(&got).all(same) {
            return Ok(());
        }
        Err(format!(
            "ONNX Runtime {} gives other results with saved {:?} matrices than with those it packs \
             itself",
            self.runtime.version(),
            self.card.weights
        ))
    }

    /// Logits of all rows of a chunk of twelve tokens and of one token behind it; where the model
    /// has beacons, also what that token makes of theirs.
    fn logits(&self, session: Session) -> Result<Vec<f32>, String> {
        let choice = Choice { device: Device::Cpu, reason: String::new() };
        let mut engine =
            OrtEngine::assemble(self, session, 20, choice, None).map_err(|e| e.to_string())?;
        let mut all = Vec::new();
        let mut out = StepOutput::default();
        let beacons = [3, 7, 11].map(|last| BeaconRow { last, ratio: 0 });
        let beacons = if has_beacons(self.card) { &beacons[..] } else { &[] };
        for range in [0..12_u32, 12..13] {
            let tokens: Vec<u32> =
                range.clone().map(|i| (i + 3) * 7919 % self.card.vocab as u32).collect();
            let positions: Vec<i32> = range.clone().map(|i| i as i32).collect();
            let rows: Vec<u32> = (0..tokens.len() as u32).collect();
            let input = StepInput {
                tokens: &tokens,
                positions: &positions,
                logit_rows: &rows,
                score_rows: &[],
                score_targets: &[],
                beacons: if rows.len() > 1 { beacons } else { &[] },
                ..StepInput::default()
            };
            engine.step(&input, &mut out).map_err(|e| e.to_string())?;
            all.extend_from_slice(&out.logits);
        }
        Ok(all)
    }

    fn plain(&self) -> Result<Session, LoadError> {
        session::open(self.runtime, self.graph, self.provider, self.setup)
            .map_err(|e| self.failed(&e))
    }

    fn open_packed(&self, folder: &Path) -> Result<Session, ort::Error> {
        session::open_packed(self.runtime, folder, self.provider, self.setup)
    }

    /// The error of a graph that the library refuses.
    pub(super) fn failed(&self, error: &ort::Error) -> LoadError {
        self.failed_at(self.graph, &error.to_string())
    }

    pub(super) fn failed_at(&self, path: &Path, message: &str) -> LoadError {
        let device = self.provider.device();
        let lacking = [
            "not a registered function/op",
            "No Op registered",
            "NOT_IMPLEMENTED",
            "Could not find an implementation",
        ];
        let hint = if device != Device::Cpu {
            format!("; {}", choose::advice(device))
        } else if lacking.iter().any(|l| message.contains(l)) {
            "; this version lacks an operator that the graph needs: use a newer ONNX Runtime \
             (--ort)"
                .to_owned()
        } else {
            String::new()
        };
        LoadError::Graph {
            path: path.to_path_buf(),
            version: self.runtime.version().to_string(),
            message: message.to_owned(),
            hint,
        }
    }
}

/// Bytes of the weights beside a graph. Packed matrices have the same size, and where they are
/// mapped from another file, that file's copy of the originals is never read.
pub(super) fn weights_bytes(graph: &Path) -> u64 {
    let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
    ["weights.bin", RECURRENT_DATA_FILE]
        .map(|name| size(graph.with_file_name(name)))
        .iter()
        .sum::<u64>()
        + size(graph.to_path_buf())
}
