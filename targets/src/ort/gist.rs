//! The gist's fold: a second, small session beside the decoder's.

use std::path::PathBuf;

use lcedge_models::Card;
use lcedge_models::onnx::recurrent::RECURRENT_FILE;
use ort::session::{RunOptions, Session};

use super::engine::{LoadError, check_names};
use super::opening::Opening;
use super::session::{self, Setup};
use super::tensor::{Call, Given, HostMemory, Lent, Tensor};
use crate::gist::{Fold, FoldError, GistState, shape_of};

const INPUTS: [&str; 6] =
    ["state_key", "state_value", "beacon_key", "beacon_value", "fresh", "question"];
const OUTPUTS: [&str; 2] = ["next_key", "next_value"];

/// Runs folds. States and beacons are bound where they lie; nothing of them is copied.
pub(super) struct Recurrent {
    session: Session,
    options: RunOptions,
    host: HostMemory,
    call: Call,
    /// `[1]`.
    fresh: Lent<f32>,
    /// `[A]`.
    question: Lent<f32>,
}

impl Recurrent {
    /// Opens the graph beside the decoder's; `None` for a model without a gist.
    pub(super) fn open(opening: &Opening<'_>) -> Result<Option<Self>, LoadError> {
        if shape_of(opening.card).is_none() {
            return Ok(None);
        }
        let graph: PathBuf = opening.graph.with_file_name(RECURRENT_FILE);
        // Folds are rare: its threads do not spin beside the decoder's.
        let setup = Setup { spin: false, ..opening.setup };
        let failed = |e: &ort::Error| opening.failed_at(&graph, &e.to_string());
        let session = session::open(opening.runtime, &graph, opening.provider, setup);
        let session = session.map_err(|e| failed(&e))?;
        let [inputs, outputs] = [&INPUTS[..], &OUTPUTS].map(|all| {
            let names = all.iter().map(|&n| n.to_owned());
            names.collect::<Vec<String>>()
        });
        check_names(&graph, &session, &inputs, &outputs)?;
        let address = opening.card.memory.as_ref().and_then(|m| m.address);
        let width = address.map_or(0, |a| a.dim) as i64;
        let bind = || -> Result<_, ort::Error> {
            let host = HostMemory::of(&session)?;
            let (mut fresh, mut question) = (Lent::new(), Lent::new());
            fresh.reshape(&host, &[1])?;
            question.reshape(&host, &[width])?;
            Ok((host, RunOptions::new()?, Call::new(&inputs, &outputs)?, fresh, question))
        };
        let (host, options, call, fresh, question) = bind().map_err(|e| failed(&e))?;
        Ok(Some(Self { session, options, host, call, fresh, question }))
    }

    /// Folds into `state`; both were checked for `card`.
    pub(super) fn fold(
        &mut self,
        card: &Card,
        fold: &Fold<'_>,
        state: &mut GistState,
    ) -> Result<(), FoldError> {
        if fold.beacons.tokens() == 0 {
            return Ok(());
        }
        self.run(card, fold, state).map_err(|e| FoldError::Backend(e.to_string()))?;
        state.advance();
        Ok(())
    }

    fn run(
        &mut self,
        card: &Card,
        fold: &Fold<'_>,
        state: &mut GistState,
    ) -> Result<(), ort::Error> {
        let rows = |n: usize| [card.layers, card.kv_heads, n, card.head_dim].map(|n| n as i64);
        self.fresh.values_mut()[0] = f32::from(u8::from(state.is_fresh()));
        match fold.question {
            Some(question) => self.question.values_mut().copy_from_slice(question),
            None => self.question.values_mut().fill(0.0),
        }
        let (slots, beacons) = (rows(state.slots()), rows(fold.beacons.tokens()));
        let (now, (next_k, next_v)) = state.planes();
        let given = [
            Given::over(&self.host, now.k(), &slots)?,
            Given::over(&self.host, now.v(), &slots)?,
            Given::over(&self.host, fold.beacons.k(), &beacons)?,
            Given::over(&self.host, fold.beacons.v(), &beacons)?,
        ];
        let next =
            [Tensor::over(&self.host, next_k, &slots)?, Tensor::over(&self.host, next_v, &slots)?];
        let small = [self.fresh.lend(), self.question.lend()];
        let inputs = given.iter().map(|g| Some(g.input()));
        let inputs = inputs.chain(small.into_iter().map(|t| t.map(Tensor::input)));
        self.call.run(&mut self.session, &self.options, inputs, next.iter().map(Some))
    }
}
