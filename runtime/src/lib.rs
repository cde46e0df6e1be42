//! lcedge: an embedded, memory-augmented runtime.
#![forbid(unsafe_code)]

pub mod answer_kind;
pub mod asked;
pub mod beacons;
pub mod cite;
pub mod codec;
pub mod confidence;
pub mod config;
pub mod conversation;
pub mod cost;
pub mod error;
pub mod fates;
pub mod finder;
pub mod gist;
pub mod input;
pub mod limits;
pub mod plan;
pub mod probes;
pub mod rank;
pub mod sample;
pub mod session;
pub mod setup;
pub mod source;
pub mod spill;
pub mod surprise;
pub mod tail;
pub mod text;
pub mod when;
pub mod window;

pub use {
    lcedge_compress as compress, lcedge_memory as memory, lcedge_models as models,
    lcedge_targets as targets,
};

pub use config::{MemoryMode, RecallMode, SessionConfig};
pub use plan::{Plan, Request};
pub use session::{Answer, Parts, Question, Session};
