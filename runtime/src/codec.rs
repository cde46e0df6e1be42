//! The codec of a real model: its tokenizer, its chat template, its sinks.

use lcedge_models::{Card, ChatTemplate, Message, Tokenizer};

use crate::text::{Codec, CodecError, Encoded, Turn};

/// Stands for the question while the template is taken apart.
const PLACE: &str = "\u{1}question\u{1}";

/// Tokenizer, template and sinks of one model.
pub struct ModelCodec {
    tokenizer: Tokenizer,
    before: Vec<u32>,
    after: Vec<u32>,
    chat: ChatParts,
    sinks: Vec<u32>,
    eos: Vec<u32>,
    absent: Option<u32>,
}

/// The template around what is said in a conversation.
struct ChatParts {
    /// Before the first words, with the template's own system message.
    head: Vec<u32>,
    /// Before a system message, and between that and the first words; `None` for a template
    /// without system messages.
    system: Option<(Vec<u32>, Vec<u32>)>,
    /// Between what is said and what is replied.
    reply: Vec<u32>,
    /// Between a reply and what is said next.
    next: Vec<u32>,
}

/// Stand for a system message and a reply while the template is taken apart.
const SYSTEM_PLACE: &str = "\u{1}system\u{1}";
const REPLY_PLACE: &str = "\u{1}reply\u{1}";

impl ChatParts {
    fn new(tokenizer: &Tokenizer, template: Option<&ChatTemplate>) -> Result<Self, CodecError> {
        let encode = |text: &str| tokenizer.encode_template(text).map_err(failed);
        let Some(template) = template else {
            let (reply, next) = (encode("\nAssistant:")?, encode("\nUser: ")?);
            return Ok(Self { head: next.clone(), system: None, reply, next });
        };
        let user = Message::new("user", PLACE);
        let talk = [user.clone(), Message::new("assistant", REPLY_PLACE), user.clone()];
        let whole = template.render(&talk, true).map_err(failed)?;
        let (head, rest) = split(&whole)?;
        let (between, _) = split(&rest)?;
        let (reply, next) = between.split_once(REPLY_PLACE).ok_or_else(|| {
            CodecError("the chat template does not give the reply's words back".to_owned())
        })?;
        let given = template.render(&[Message::new("system", SYSTEM_PLACE), user], true).ok();
        let given = given.and_then(|whole| Some(split(&whole).ok()?.0));
        let system = match given.as_deref().and_then(|b| b.split_once(SYSTEM_PLACE)) {
            Some((a, b)) => Some((encode(&format!("\n{a}"))?, encode(b)?)),
            None => None,
        };
        let head = encode(&format!("\n{head}"))?;
        Ok(Self { head, system, reply: encode(reply)?, next: encode(next)? })
    }
}

fn failed(e: impl std::fmt::Display) -> CodecError {
    CodecError(e.to_string())
}

impl ModelCodec {
    /// Takes the template apart once: what stands before and after a user's words when the turn
    /// follows other text. A trained memory marks its questions with a system message of its own;
    /// without one no system message stands between memory and question: on small stock models it
    /// costs half of the right answers.
    ///
    /// # Errors
    /// [`CodecError`] with the tokenizer's or the template's own words.
    pub fn new(
        tokenizer: Tokenizer,
        template: Option<&ChatTemplate>,
        card: &Card,
        sink_tokens: usize,
    ) -> Result<Self, CodecError> {
        let (before, after) = match template {
            Some(t) => turn_parts(t, card.memory.as_ref().map(|m| m.system.as_str()))?,
            None => ("\n".to_owned(), "\n".to_owned()),
        };
        let before = tokenizer.encode_template(&format!("\n{before}")).map_err(failed)?;
        let after = tokenizer.encode_template(&after).map_err(failed)?;
        let chat = ChatParts::new(&tokenizer, template)?;
        let sinks = sinks(&tokenizer, card, sink_tokens)?;
        let absent = match &card.memory {
            Some(memory) => tokenizer.encode(&memory.absent).map_err(failed)?.first().copied(),
            None => None,
        };
        Ok(Self { tokenizer, before, after, chat, sinks, eos: card.eos.clone(), absent })
    }

    /// The tokenizer.
    #[must_use]
    pub const fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

/// What the template puts before and after a user's message and up to the answer, with this system
/// message or with none.
fn turn_parts(
    template: &ChatTemplate,
    marker: Option<&str>,
) -> Result<(String, String), CodecError> {
    let system = Message::new("system", marker.unwrap_or("s"));
    let user = Message::new("user", PLACE);
    if marker.is_some() {
        let whole = template.render(&[system, user], true).map_err(failed)?;
        return split(&whole);
    }
    let alone = template.render(std::slice::from_ref(&system), false).unwrap_or_default();
    let whole = template.render(&[system, user.clone()], true);
    let whole = match whole {
        Ok(text) if !alone.is_empty() && text.starts_with(&alone) => text[alone.len()..].to_owned(),
        // A template without system messages.
        _ => template.render(&[user], true).map_err(failed)?,
    };
    split(&whole)
}

fn split(whole: &str) -> Result<(String, String), CodecError> {
    let (before, after) = whole.split_once(PLACE).ok_or_else(|| {
        CodecError("the chat template does not give the user's words back".to_owned())
    })?;
    Ok((before.to_owned(), after.to_owned()))
}

/// A document's start and line ends: what a model has seen before anything.
fn sinks(tokenizer: &Tokenizer, card: &Card, n: usize) -> Result<Vec<u32>, CodecError> {
    let start = tokenizer.token_id("<|endoftext|>").or(card.bos).or(card.eos.first().copied());
    let line = tokenizer.encode("\n").map_err(failed)?;
    let line = line.last().copied().or(start).unwrap_or(0);
    Ok(start.into_iter().chain(std::iter::repeat(line)).take(n).collect())
}

impl Codec for ModelCodec {
    fn encode(&self, text: &[u8]) -> Result<Encoded, CodecError> {
        let e = self.tokenizer.encode_spans(text).map_err(failed)?;
        Ok(Encoded {
            ids: e.ids,
            ends: e.byte_ends,
            dropped_bytes: e.dropped_bytes,
            invalid_utf8: e.invalid_utf8,
        })
    }

    fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids)
    }

    fn turn(&self, question: &str) -> Result<Turn, CodecError> {
        let words = self.tokenizer.encode(question).map_err(failed)?;
        let start = self.before.len();
        let end = start + words.len();
        let mut ids = self.before.clone();
        ids.extend(words);
        ids.extend(&self.after);
        Ok(Turn { ids, question: start..end })
    }

    fn chat_turn(
        &self,
        system: Option<&str>,
        before: &[(String, String)],
        text: &str,
    ) -> Result<Turn, CodecError> {
        let words = |text: &str| self.tokenizer.encode(text).map_err(failed);
        let parts = &self.chat;
        let mut ids = Vec::new();
        match (system, &parts.system) {
            (Some(system), Some((start, between))) => {
                ids.extend(start);
                ids.extend(words(system)?);
                ids.extend(between);
            }
            (Some(system), None) => {
                // A template without system messages: it stands before what is said.
                ids.extend(&parts.head);
                ids.extend(words(&format!("{system}\n\n"))?);
            }
            (None, _) => ids.extend(&parts.head),
        }
        for (said, replied) in before {
            ids.extend(words(said)?);
            ids.extend(&parts.reply);
            ids.extend(words(replied)?);
            ids.extend(&parts.next);
        }
        let start = ids.len();
        ids.extend(words(text)?);
        let question = start..ids.len();
        ids.extend(&parts.reply);
        Ok(Turn { ids, question })
    }

    fn sinks(&self) -> &[u32] {
        &self.sinks
    }

    fn absent(&self) -> Option<u32> {
        self.absent
    }

    fn ends_answer(&self, id: u32) -> bool {
        self.eos.contains(&id) || self.tokenizer.is_special(id)
    }
}
