//! One module a command.

mod answers;
pub(crate) mod ask;
pub(crate) mod bench;
mod carry;
pub(crate) mod chat;
pub(crate) mod doctor;
pub(crate) mod eval;
mod forget;
pub(crate) mod help;
pub(crate) mod memory;
pub(crate) mod model;
pub(crate) mod plan;
mod reading;
pub(crate) mod stream;
mod summary;
mod workspace;
