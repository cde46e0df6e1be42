//! What lcedge is measured with: seeded logs, facts hidden in them, and the scoring of answers.
//!
//! Nothing here runs a model. [`log`] makes a log of any size, [`needles`] hides facts in a text
//! and asks about them (and about things that are not there), [`score`] turns answers into rates
//! with intervals, [`samples`] makes the logs in the `examples` folder, [`sets`] reads public test
//! sets in their published forms, [`places`] and [`tiers`] compare memories by how well what
//! follows a history is predicted.
#![forbid(unsafe_code)]

pub mod log;
pub mod needles;
pub mod places;
pub mod rng;
pub mod samples;
pub mod score;
pub mod sets;
pub mod tiers;
