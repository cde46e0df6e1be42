//! Next-chunk loss: a history is read, and the nats of what follows it are measured.

use std::time::{Duration, Instant};

use lcedge::limits::PIECE_BYTES;
use lcedge::models::Tokenizer;
use lcedge::session::Session;
use lcedge_eval::places::{Place, spread};

use super::check_stop;
use crate::context::Context;
use crate::failure::Failure;

/// What was measured at one place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loss {
    /// Nats of the tokens that were predicted.
    pub(crate) nats: f64,
    /// How many were.
    pub(crate) scored: u64,
    /// Tokens of the history.
    pub(crate) history: u64,
    /// What reading the history took.
    pub(crate) time: Duration,
}

/// Where to measure.
///
/// # Errors
/// When the text is too short.
pub(crate) fn places(
    context: &Context,
    tokenizer: &Tokenizer,
    text: &[u8],
    history: usize,
    targets: usize,
    windows: usize,
) -> Result<Vec<Place>, Failure> {
    let ends = ends(tokenizer, text)?;
    let places = spread(text, &ends, history, targets, windows).map_err(Failure::bad_argument)?;
    if places.len() < windows {
        context.out.note(format!(
            "{} places of {windows} fit into {} tokens without overlap of what is predicted",
            places.len(),
            ends.len()
        ));
    }
    Ok(places)
}

/// Where each token of the text ends, read in pieces as a session reads them.
fn ends(tokenizer: &Tokenizer, text: &[u8]) -> Result<Vec<usize>, Failure> {
    let mut ends = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let n = tokenizer.cut(&text[at..], PIECE_BYTES);
        let piece =
            tokenizer.encode_spans(&text[at..at + n]).map_err(|e| Failure::new("tokenizer", e))?;
        ends.extend(piece.byte_ends.iter().map(|&end| at + end as usize));
        at += n;
    }
    Ok(ends)
}

/// Reads the history of a place in whole, then what follows it.
///
/// # Errors
/// As the session says.
pub(crate) fn measure(
    context: &Context,
    session: &mut Session,
    text: &[u8],
    place: &Place,
) -> Result<Loss, Failure> {
    session.begin_source("history")?;
    let start = Instant::now();
    for part in text[place.history.clone()].chunks(PIECE_BYTES) {
        session.encode_ahead(part)?;
        while session.absorb_ahead(1)? > 0 {
            check_stop(context)?;
        }
    }
    session.drain(false)?;
    session.flush()?;
    let time = start.elapsed();
    let history = session.fates().total();
    let before = session.lines().measured();
    session.feed(&text[place.target.clone()])?;
    session.finish_source()?;
    let after = session.lines().measured();
    Ok(Loss { nats: after.1 - before.1, scored: after.0 - before.0, history, time })
}
