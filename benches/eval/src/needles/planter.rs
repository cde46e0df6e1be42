//! Draws facts that are new to the text and puts their lines between its lines.

use super::template::{Template, templates};
use super::{Absent, AbsentKind, Haystack, Needle, NeedleOptions, PlantError, stamp};
use crate::rng::Rng;
use crate::score::normalise;

/// How often a name and value are drawn anew before giving up.
const TRIES: usize = 600;

/// A line to insert.
struct Inserted {
    /// Where in the original text: the first byte of one of its lines, or its end.
    at: usize,
    line: String,
    /// The fact that it states; `None` for a look-alike.
    fact: Option<Fact>,
}

struct Fact {
    template: &'static Template,
    name: String,
    value: String,
    question: String,
}

pub(super) struct Planter<'a> {
    text: &'a [u8],
    options: &'a NeedleOptions,
    /// The text as answers are compared with it.
    known: String,
    /// The inserted lines as answers are compared with them.
    lines: Vec<String>,
    values: Vec<String>,
    names: Vec<String>,
    inserted: Vec<Inserted>,
    starts: Vec<usize>,
    newline: &'static str,
    rng: Rng,
}

impl<'a> Planter<'a> {
    pub(super) fn new(text: &'a [u8], options: &'a NeedleOptions) -> Self {
        let first = text.iter().position(|byte| *byte == b'\n');
        let crlf = first.is_some_and(|at| at > 0 && text[at - 1] == b'\r');
        let mut starts = vec![0];
        starts.extend(text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1));
        // After a last line without an end there is no place for a line.
        Self {
            text,
            options,
            known: normalise(&String::from_utf8_lossy(text)),
            lines: Vec::new(),
            values: Vec::new(),
            names: Vec::new(),
            inserted: Vec::new(),
            starts,
            newline: if crlf { "\r\n" } else { "\n" },
            rng: Rng::new(options.seed).fork(options.family.name()),
        }
    }

    /// One place in each of `count` equal parts of the text, before the tail that stays clear.
    fn places(&mut self, count: usize) -> Vec<usize> {
        let end = self.text.len().saturating_sub(self.options.clear_tail_bytes);
        let last = self.starts.partition_point(|start| *start <= end).max(1);
        let mut places = Vec::with_capacity(count);
        for part in 0..count {
            let low = end * part / count;
            let high = end * (part + 1) / count;
            let offset = low + self.rng.below((high - low).max(1));
            let index = self.starts[..last].partition_point(|start| *start <= offset);
            places.push(self.starts[index.saturating_sub(1)]);
        }
        places
    }

    /// The time that the line before `at` carries.
    fn head(&self, at: usize) -> &'a str {
        let text: &'a [u8] = self.text;
        let before = &text[..at.saturating_sub(1)];
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let end = text[start..].iter().position(|byte| *byte == b'\n');
        stamp::head(&text[start..end.map_or(text.len(), |length| start + length)])
    }

    pub(super) fn hide_facts(&mut self) -> Result<(), PlantError> {
        let wanted = self.options.facts;
        for (made, at) in self.places(wanted).into_iter().enumerate() {
            self.hide(at, None).ok_or(PlantError::Exhausted { what: "facts", wanted, made })?;
        }
        Ok(())
    }

    pub(super) fn hide_distractors(&mut self) -> Result<(), PlantError> {
        let wanted = self.options.distractors;
        for (made, at) in self.places(wanted).into_iter().enumerate() {
            let exhausted = PlantError::Exhausted { what: "look-alikes", wanted, made };
            let facts = self.options.facts;
            if facts == 0 {
                return Err(exhausted);
            }
            let model = self.rng.below(facts);
            self.hide(at, Some(model)).ok_or(exhausted)?;
        }
        Ok(())
    }

    /// Puts a new fact at `at`, or a look-alike of the fact number `model`.
    fn hide(&mut self, at: usize, model: Option<usize>) -> Option<()> {
        let family = self.options.family;
        let prefix = self.head(at);
        for attempt in 0..TRIES {
            let like = model.map(|model| (model + attempt / 20) % self.options.facts);
            let like = like.and_then(|index| self.inserted[index].fact.as_ref());
            let (template, name) = match like {
                Some(fact) => {
                    let name = fact.template.name.similar(&fact.name, family, &mut self.rng);
                    (fact.template, name)
                }
                None => {
                    let all = templates(family);
                    let template = &all[self.rng.below(all.len())];
                    (template, template.name.draw(family, &mut self.rng))
                }
            };
            let value = template.value.draw(family, &mut self.rng);
            let wording = self.rng.pick(template.lines);
            let line = wording.render(&name, &value, prefix, &mut self.rng);
            if !self.is_new(&name, &value, &line) {
                continue;
            }
            self.remember(&name, &value, &line);
            let question = self.rng.pick(template.questions).replace("{e}", &name);
            let fact = Fact { template, name, value, question };
            let fact = if model.is_none() { Some(fact) } else { None };
            self.inserted.push(Inserted { at, line, fact });
            return Some(());
        }
        None
    }

    /// Whether neither name nor value stands anywhere yet, and `line` says nothing that another
    /// line is for.
    fn is_new(&self, name: &str, value: &str, line: &str) -> bool {
        let (name, value, line) = (normalise(name), normalise(value), normalise(line));
        let free = |what: &str| {
            !self.known.contains(what) && self.lines.iter().all(|other| !other.contains(what))
        };
        let own = line.matches(value.as_str()).count() == 1;
        let others = self.values.iter().chain(&self.names);
        own && free(&value) && free(&name) && others.into_iter().all(|other| !line.contains(other))
    }

    fn remember(&mut self, name: &str, value: &str, line: &str) {
        self.names.push(normalise(name));
        self.values.push(normalise(value));
        self.lines.push(normalise(line));
    }

    /// Questions without an answer: by turns about an unknown name and about something unsaid of a
    /// known one.
    pub(super) fn ask_absent(&mut self) -> Result<Vec<Absent>, PlantError> {
        let wanted = self.options.absent;
        let mut absent: Vec<Absent> = Vec::with_capacity(wanted);
        for number in 0..wanted {
            let made = absent.len();
            let exhausted = PlantError::Exhausted { what: "absent questions", wanted, made };
            let near = number % 2 == 1 && self.options.facts > 0;
            let question = if near { self.near_miss(&absent) } else { None };
            let question = question.or_else(|| self.unknown(number / 2)).ok_or(exhausted)?;
            absent.push(question);
        }
        Ok(absent)
    }

    /// The name occurs, what is asked of it does not.
    fn near_miss(&mut self, asked: &[Absent]) -> Option<Absent> {
        for _ in 0..TRIES {
            let index = self.rng.below(self.options.facts);
            let fact = self.inserted[index].fact.as_ref()?;
            let question = self.rng.pick(fact.template.near).replace("{e}", &fact.name);
            if asked.iter().all(|other| other.question != question) {
                let (template, entity) = (fact.template.id, fact.name.clone());
                let kind = AbsentKind::UnstatedAttribute;
                return Some(Absent { template, entity, question, kind });
            }
        }
        None
    }

    /// Nothing is said of the name; every other time it looks like one of which something is.
    fn unknown(&mut self, number: usize) -> Option<Absent> {
        let family = self.options.family;
        for _ in 0..TRIES {
            let like = if number.is_multiple_of(2) && self.options.facts > 0 {
                self.inserted[self.rng.below(self.options.facts)].fact.as_ref()
            } else {
                None
            };
            let (template, name) = match like {
                Some(fact) => {
                    let name = fact.template.name.similar(&fact.name, family, &mut self.rng);
                    (fact.template, name)
                }
                None => {
                    let all = templates(family);
                    let template = &all[self.rng.below(all.len())];
                    (template, template.name.draw(family, &mut self.rng))
                }
            };
            let plain = normalise(&name);
            let taken = self.names.contains(&plain) || self.known.contains(&plain);
            if taken || self.lines.iter().any(|line| line.contains(&plain)) {
                continue;
            }
            self.names.push(plain);
            let question = self.rng.pick(template.questions).replace("{e}", &name);
            let kind = AbsentKind::UnknownEntity;
            return Some(Absent { template: template.id, entity: name, question, kind });
        }
        None
    }

    /// The text with its insertions, each with the place where it came to stand.
    pub(super) fn assemble(mut self, absent: Vec<Absent>) -> Haystack {
        self.inserted.sort_by_key(|inserted| inserted.at);
        let extra: usize = self.inserted.iter().map(|inserted| inserted.line.len() + 2).sum();
        let mut text = Vec::with_capacity(self.text.len() + extra);
        let (mut needles, mut distractors) = (Vec::new(), Vec::new());
        let (mut copied, mut line) = (0, 1);
        for inserted in self.inserted {
            let before = &self.text[copied..inserted.at];
            line += before.iter().filter(|byte| **byte == b'\n').count() as u64;
            text.extend_from_slice(before);
            copied = inserted.at;
            let byte_start = text.len();
            text.extend_from_slice(inserted.line.as_bytes());
            let byte_end = text.len();
            text.extend_from_slice(self.newline.as_bytes());
            match inserted.fact {
                Some(fact) => needles.push(Needle {
                    template: fact.template.id,
                    entity: fact.name,
                    question: fact.question,
                    answer: fact.value,
                    line,
                    byte_start,
                    byte_end,
                }),
                None => distractors.push(line),
            }
            line += 1;
        }
        text.extend_from_slice(&self.text[copied..]);
        Haystack { text, needles, absent, distractors }
    }
}
