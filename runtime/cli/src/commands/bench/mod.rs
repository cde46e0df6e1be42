//! `bench`: rows as they come, then one object with the figures.

mod bare;
mod exactness;
mod growth;
mod looping;
mod open;
mod pretend;
mod recall;
mod spill;
mod synthetic;
mod tiers;
mod times;

use crate::args::BenchCommand;
use crate::context::Context;
use crate::failure::Failure;

pub(crate) fn run(context: &mut Context, command: &BenchCommand) -> Result<u8, Failure> {
    match command {
        BenchCommand::Loop(args) => looping::run(context, args),
        BenchCommand::Tiers(args) => tiers::run(context, args),
        BenchCommand::Growth(args) => growth::run(context, args),
        BenchCommand::Recall(args) => recall::run(context, args),
        BenchCommand::Open(args) => open::run(context, args),
        BenchCommand::Spill(args) => spill::run(context, args),
    }
}
