//! The project's own rules, checked as tests.
//!
//! Each rule is a function that takes what it looks at and returns what is wrong: a [`Problem`]
//! says where and what to do. `tests/rules.rs` runs every rule over this repository.
#![forbid(unsafe_code)]

pub mod arrows;
pub mod files;
pub mod licences;
pub mod links;
pub mod metadata;
pub mod modules;
pub mod rules;
pub mod source;

use std::fmt;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, from the top of the repository.
    pub path: String,
    /// The line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

impl Problem {
    /// A problem in one line.
    pub fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }

    /// A problem of a whole file.
    pub fn of(path: &str, what: impl Into<String>) -> Self {
        Self::at(path, 0, what)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}
