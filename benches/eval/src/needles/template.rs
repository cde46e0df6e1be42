//! What a template is: a kind of name, a kind of value, wordings of the line and of the question.

use super::Family;
use super::words::{Name, Value};
use crate::rng::Rng;

/// One way to write a fact. `{e}` is the name, `{v}` the value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wording {
    /// `key=value` pairs.
    Pairs(&'static str),
    /// A program's event: its name and its message.
    Event(&'static str, &'static str),
    /// A sentence, as in notes.
    Note(&'static str),
}

impl Wording {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Pairs(text) | Self::Event(_, text) | Self::Note(text) => text,
        }
    }

    /// The line. `prefix` is the time (and host) of the line before, or nothing in plain text.
    pub(super) fn render(self, name: &str, value: &str, prefix: &str, rng: &mut Rng) -> String {
        let text = self.text().replace("{e}", name).replace("{v}", value);
        match self {
            Self::Pairs(_) => format!("{prefix}{text}"),
            Self::Event(program, _) => format!("{prefix}{program}: {text}"),
            Self::Note(_) if prefix.is_empty() || rng.chance(40) => text,
            Self::Note(_) => format!("{prefix}note: {text}"),
        }
    }
}

/// A kind of fact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template {
    pub(super) id: &'static str,
    pub(super) name: Name,
    pub(super) value: Value,
    pub(super) lines: &'static [Wording],
    pub(super) questions: &'static [&'static str],
    /// Questions about the same name that no line of the family answers.
    pub(super) near: &'static [&'static str],
}

pub(super) fn templates(family: Family) -> &'static [Template] {
    match family {
        Family::Calibration => super::calibration::TEMPLATES,
        Family::Evaluation => super::evaluation::TEMPLATES,
    }
}
