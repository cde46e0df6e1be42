//! lcedge: an embedded, memory-augmented runtime.
#![forbid(unsafe_code)]

pub mod cite;
pub mod confidence;
pub mod config;
pub mod error;
pub mod fates;
pub mod limits;
pub mod plan;
pub mod rank;
pub mod sample;
pub mod session;
pub mod source;
pub mod spill;
pub mod surprise;
pub mod tail;
pub mod text;
pub mod window;

pub use config::{MemoryMode, RecallMode, SessionConfig};
pub use plan::{Plan, Request};
pub use session::{Answer, Parts, Question, Session};
