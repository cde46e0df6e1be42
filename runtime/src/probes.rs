//! The background of addresses: queries of fixed questions about nothing in particular.
//!
//! A block that scores high for every question says nothing by scoring high for one. Each block's
//! score is therefore set against its own mean and spread over these questions' queries, which are
//! computed once a model and kept beside it.

use std::path::{Path, PathBuf};

use lcedge_compress::Background;
use lcedge_compress::address::AddressHead;
use lcedge_models::RetrievalHead;
use lcedge_targets::{Engine, SlotError, StepError, StepOutput};
use serde::{Deserialize, Serialize};

use crate::text::{Codec, CodecError};
use crate::window::{Wanted, Window, WindowSizes};

/// Questions of many kinds, none about anything that is stored.
pub const QUESTIONS: [&str; 32] = [
    "What is the serial number of the green printer?",
    "Which port does the billing service listen on?",
    "Who opened the ticket about the elevator?",
    "When did the backup of the archive finish?",
    "What is the colour of the captain's coat?",
    "How many seats does the small theatre have?",
    "Which version of the driver is installed on the laptop?",
    "What did Margaret buy at the market?",
    "Where was the stolen bicycle found?",
    "What is the IP address of the mail gateway?",
    "At what time does the museum open on Sundays?",
    "Which user changed the firewall rules?",
    "How much did the repair of the roof cost?",
    "What is the password for the guest network?",
    "Why did the import job fail yesterday?",
    "What is the name of the doctor's dog?",
    "Which file could not be opened by the editor?",
    "How long did the flight to Lisbon take?",
    "What was the exit code of the nightly build?",
    "Who wrote the letter to the mayor?",
    "Which table ran out of space?",
    "What temperature did the sensor in the cellar report?",
    "What is the phone number of the bakery?",
    "Which street does the professor live in?",
    "How many packets were dropped on the second interface?",
    "What is the deadline for the grant proposal?",
    "Which session was closed because of inactivity?",
    "What is the account number of the gardening club?",
    "Who is responsible for the warehouse keys?",
    "Which disk reported bad sectors?",
    "What is the codename of the autumn release?",
    "What happened after the second alarm?",
];

/// Why the background could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A question could not be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The decoder refused.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The window refused.
    #[error(transparent)]
    Slot(#[from] SlotError),
}

/// The heads of a card with equal weights.
#[must_use]
pub fn address_heads(heads: &[RetrievalHead]) -> Vec<AddressHead> {
    let weight = 1.0 / heads.len().max(1) as f32;
    let head = |h: &RetrievalHead| AddressHead {
        layer: usize::from(h.layer),
        kv_head: usize::from(h.kv_head),
        weight,
    };
    heads.iter().map(head).collect()
}

#[derive(Serialize, Deserialize)]
struct Kept {
    heads: Vec<AddressHead>,
    questions: Vec<String>,
    background: Background,
}

/// Where a model's background is kept.
#[must_use]
pub fn file(prepared: &Path) -> PathBuf {
    prepared.join("background.json")
}

/// The background kept beside a model, when it is for these heads and questions.
#[must_use]
pub fn kept(prepared: &Path, heads: &[AddressHead]) -> Option<Background> {
    let text = std::fs::read_to_string(file(prepared)).ok()?;
    let kept: Kept = serde_json::from_str(&text).ok()?;
    (kept.heads == heads && kept.questions == QUESTIONS).then_some(kept.background)
}

/// Keeps it. A folder that cannot be written to is no error: it is made again next time.
pub fn keep(prepared: &Path, heads: &[AddressHead], background: &Background) {
    let kept = Kept {
        heads: heads.to_vec(),
        questions: QUESTIONS.map(str::to_owned).to_vec(),
        background: background.clone(),
    };
    let Ok(text) = serde_json::to_vec(&kept) else { return };
    let stage = prepared.join(format!("background.{}.stage", std::process::id()));
    if std::fs::write(&stage, text).is_ok() {
        let _ = std::fs::rename(&stage, file(prepared));
    }
}

/// Runs every probe question behind the sinks and takes its queries. The engine's window is empty
/// before and after.
///
/// # Errors
/// [`ProbeError`] with what refused.
pub fn make(
    engine: Box<dyn Engine>,
    codec: &dyn Codec,
    heads: &[AddressHead],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Background, Box<dyn Engine>), ProbeError> {
    let card = engine.card().clone();
    let (layers, group, d) = (&card.query_layers, card.heads / card.kv_heads, card.head_dim);
    let sizes = WindowSizes {
        window_tokens: 0,
        chunk_tokens: engine.capacity(),
        memory_tokens_max: codec.sinks().len(),
    };
    let mut window = Window::new(engine, sizes);
    let mut out = StepOutput::default();
    if !codec.sinks().is_empty() {
        window.step(codec.sinks(), Wanted::default(), &mut out)?;
    }
    let mut background = Background::default();
    for (i, question) in QUESTIONS.iter().enumerate() {
        progress(i, QUESTIONS.len());
        let turn = codec.turn(question)?;
        let n = turn.ids.len();
        window.step(&turn.ids, Wanted { queries: true, ..Wanted::default() }, &mut out)?;
        window.pop(n)?;
        let vectors = heads.iter().map(|h| {
            let tap = layers.iter().position(|&l| l == h.layer).unwrap_or(0);
            let rows = turn.question.clone();
            rows.flat_map(|r| {
                let at = ((tap * n + r) * card.heads + h.kv_head * group) * d;
                out.queries[at..at + group * d].iter().copied()
            })
            .collect()
        });
        background.probes.push(vectors.collect());
    }
    Ok((background, window.into_engine()?))
}
