//! The turns of a conversation: from memory where it holds the answer, else by the model itself.

use std::collections::VecDeque;

use lcedge::RecallMode;
use lcedge::conversation::{self, asks};
use lcedge::error::AskError;
use lcedge::memory::{BlockId, Reader, SourceInfo, Store};
use lcedge::sample::Sampling;
use lcedge::session::{Answer, Question, Reply, Session, Turn};
use lcedge::setup;

use super::super::answers::AnswerEvent;
use super::show;
use crate::args::ChatArgs;
use crate::context::Context;
use crate::failure::Failure;

/// Blocks that are looked at for the newest exchanges, and exchanges that are held.
const BLOCKS_BEFORE: usize = 16;

/// A reply in words, and where it came from.
pub(super) struct Said {
    pub(super) text: String,
    /// `memory`, `model`, or `none` where neither has anything to say.
    pub(super) from: &'static str,
    pub(super) stopped: bool,
}

/// A conversation that is going on.
pub(super) struct Talk {
    /// Gone only while the store is changed, or for good when it could not be opened again.
    session: Option<Session>,
    pub(super) name: String,
    pub(super) source: String,
    system: Option<String>,
    reply_tokens_max: usize,
    citations_max: usize,
    sampling: Sampling,
    /// Turns of the conversation, earlier runs included.
    pub(super) turns: u64,
    /// Turns of this run.
    pub(super) said: u64,
    /// What the memory said to the last question.
    pub(super) last: Option<Answer>,
    /// The newest exchanges, oldest first, of earlier runs too.
    before: VecDeque<(String, String)>,
}

fn closed() -> Failure {
    Failure::new("session", "the conversation's memory is closed")
}

impl Talk {
    pub(super) fn new(
        session: Session,
        args: &ChatArgs,
        source: String,
        sampling: Sampling,
    ) -> Result<Self, Failure> {
        let mut talk = Self {
            session: Some(session),
            name: args.session.clone(),
            source,
            system: args.system.clone(),
            reply_tokens_max: args.max_tokens,
            citations_max: args.citations,
            sampling,
            turns: 0,
            said: 0,
            last: None,
            before: VecDeque::new(),
        };
        talk.begin()?;
        Ok(talk)
    }

    /// Whether the conversation can go on.
    pub(super) const fn goes_on(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn session(&mut self) -> Result<&mut Session, Failure> {
        self.session.as_mut().ok_or_else(closed)
    }

    pub(super) fn reader(&self) -> Result<&Reader, Failure> {
        let reader = self.session.as_ref().and_then(Session::reader);
        reader.ok_or_else(closed)
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let source = self.source.clone();
        self.session()?.begin_source(&source)?;
        self.turns = self.info().map_or(0, |s| s.progress.absorbed_lines / 2);
        self.before = self.newest_exchanges()?;
        Ok(())
    }

    /// The newest exchanges that are stored.
    fn newest_exchanges(&self) -> Result<VecDeque<(String, String)>, Failure> {
        let reader = self.reader()?;
        let mut texts = Vec::new();
        let mut next = match self.info() {
            Some(info) => reader.last_block(info.id)?,
            None => None,
        };
        while let Some(id) = next.filter(|_| texts.len() < BLOCKS_BEFORE) {
            texts.push(reader.text(id)?);
            next = reader.neighbour(id, -1);
        }
        texts.reverse();
        Ok(conversation::exchanges(&String::from_utf8_lossy(&texts.concat())).into())
    }

    /// The conversation's source.
    pub(super) fn info(&self) -> Option<SourceInfo> {
        let sources = self.reader().ok()?.sources();
        sources.into_iter().find(|s| s.name == self.source && !s.superseded)
    }

    /// Makes everything durable.
    pub(super) fn close(mut self) -> Result<(), Failure> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        let finished = session.finish_source().map_err(Failure::from);
        session.close()?;
        finished
    }

    /// Does something with the store as its writer, and opens the conversation again.
    pub(super) fn with_store<T>(
        &mut self,
        context: &Context,
        work: impl FnOnce(&mut Store) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let dir = context.store_dir()?;
        let Some(mut session) = self.session.take() else { return Err(closed()) };
        session.drain(false)?;
        let parts = session.into_parts()?;
        let options = setup::store_options(&context.options, parts.engine.card());
        let done = Store::open(&dir, &options)
            .map_err(|e| Failure::from(setup::SetupError::from(e)))
            .and_then(|mut store| work(&mut store));
        self.session = Some(setup::reopen(parts, &context.options)?);
        self.last = None;
        self.begin()?;
        done
    }

    /// The blocks of the last turn.
    pub(super) fn last_blocks(&self) -> Result<Vec<BlockId>, Failure> {
        let (reader, mut blocks) = (self.reader()?, Vec::new());
        let first = (2 * self.turns).saturating_sub(1);
        let mut next = match self.info() {
            Some(info) => reader.last_block(info.id)?,
            None => None,
        };
        while let Some(id) = next.filter(|id| {
            reader.block(*id).is_ok_and(|b| b.span.line_end >= first && self.turns > 0)
        }) {
            blocks.push(id);
            next = reader.neighbour(id, -1);
        }
        blocks.reverse();
        Ok(blocks)
    }

    /// One turn: the memory is asked, else the model replies; both lines are kept.
    pub(super) fn turn(&mut self, context: &Context, text: &str) -> Result<(), Failure> {
        self.last = if asks(text) { self.ask(text)? } else { None };
        let (said, reply) = match &self.last {
            Some(a) if a.found || a.counted.is_some() => {
                context.stop.calm();
                (show::answer(context, self, a)?, None)
            }
            // What only the person can know would be made up.
            _ if conversation::asks_about_user(text) => {
                context.stop.calm();
                (show::unknown(context)?, None)
            }
            _ => self.reply(context, text)?,
        };
        let session = self.session()?;
        session.keep_exchange(text, &said.text)?;
        if let Some(warning) = session.take_warning() {
            context.out.warn(warning);
        }
        self.turns += 1;
        self.said += 1;
        self.before.push_back((text.to_owned(), conversation::one_line(&said.text)));
        if self.before.len() > BLOCKS_BEFORE {
            self.before.pop_front();
        }
        let recall = context.options.recall;
        let mut event =
            self.last.as_ref().map_or_else(|| AnswerEvent::none(text, recall), AnswerEvent::of);
        if let Some(reply) = &reply {
            event = event.and(reply);
        }
        show::turn(context, self, event, &said)
    }

    /// What the memory says; `None` when it holds nothing yet or the question is too long for it.
    fn ask(&mut self, text: &str) -> Result<Option<Answer>, Failure> {
        if self.reader()?.blocks() == 0 {
            return Ok(None);
        }
        let question = Question { citations_max: self.citations_max, ..Question::new(text) };
        match self.session()?.answer_question(&question) {
            Ok(a) if !a.found && a.recall == RecallMode::Kv => {
                // A turn's keys and values were computed behind the turns before it, which may say
                // otherwise: its text alone is read again.
                let recall = Some(RecallMode::Text);
                let again = self.session()?.answer_question(&Question { recall, ..question })?;
                Ok(Some(if again.found { again } else { a }))
            }
            Ok(answer) => Ok(Some(answer)),
            Err(AskError::Long { .. } | AskError::Empty) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// An ordinary reply, shown as it is made.
    fn reply(&mut self, context: &Context, text: &str) -> Result<(Said, Option<Reply>), Failure> {
        let turn = Turn {
            text: text.to_owned(),
            before: self.before.iter().cloned().collect(),
            system: self.system.clone(),
            reply_tokens_max: self.reply_tokens_max,
            // What is stated needs no long reply.
            sentences_max: if asks(text) { None } else { Some(2) },
            sampling: Sampling { seed: self.sampling.seed ^ self.turns, ..self.sampling },
        };
        let mut broken = None;
        let stop = context.stop.clone();
        let replied = self.session()?.reply(&turn, &mut |piece| {
            let shown = show::piece(context, piece);
            broken = shown.err();
            broken.is_none() && !stop.interrupted() && !stop.requested()
        });
        if let Some(failure) = broken {
            return Err(failure);
        }
        // Before the end is shown: a Ctrl-C that comes from then on is meant for the program.
        context.stop.calm();
        match replied {
            Ok(reply) => {
                show::after_pieces(context, &reply)?;
                let said = Said { text: reply.text.clone(), from: "model", stopped: reply.stopped };
                Ok((said, Some(reply)))
            }
            Err(AskError::Long { tokens, max }) => {
                let text = format!(
                    "(kept; {tokens} tokens are too many to reply to, {max} fit: ask about it)"
                );
                context.out.line(&text)?;
                Ok((Said { text, from: "none", stopped: false }, None))
            }
            Err(e) => Err(e.into()),
        }
    }
}
