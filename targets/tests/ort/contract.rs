//! The contract that every engine passes.

use lcedge_models::WeightKind;
use lcedge_targets::contract::{self, Tolerance};
use lcedge_targets::{Engine, FakeEngine};

use crate::common::{Small, engine, model, weights};

const CLOSE: Tolerance = Tolerance { chunks: 1e-3, moved: 1e-3 };

#[test]
fn stories_in_f32() {
    contract::all(&|| Box::new(engine(Small::Stories, WeightKind::F32, 400)), CLOSE);
}

#[test]
fn random_model_in_f32() {
    contract::all(&|| Box::new(engine(Small::Random, WeightKind::F32, 401)), CLOSE);
}

/// Products of 8- and 4-bit blocks quantise activations in some kernels, so chunks differ more.
#[test]
fn stories_in_int4_and_int8() {
    for kind in [WeightKind::Int4, WeightKind::Int8] {
        let make = || -> Box<dyn Engine> { Box::new(engine(Small::Stories, kind, 400)) };
        contract::refuses_and_stays_as_it_was(&make);
        contract::reads_what_was_placed(&make);
        contract::chunks_equal_one_pass(&make, Tolerance { chunks: 2e-2, moved: 2e-2 });
    }
}

#[test]
fn the_plain_engine_with_real_weights() {
    let card = model(Small::Stories, WeightKind::F32).card;
    let weights = weights(Small::Stories);
    let make = || -> Box<dyn Engine> {
        Box::new(FakeEngine::from_weights(card.clone(), &weights, 400).unwrap())
    };
    contract::all(&make, Tolerance { chunks: 1e-6, moved: 1e-5 });
}
