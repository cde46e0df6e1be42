//! What is shown of a conversation, to people and as JSON.

use std::io::{self, Write};

use lcedge::cite::Citation;
use lcedge::conversation::{self, Role, turn_of};
use lcedge::session::{Answer, Reply};
use lcedge::when::Clock;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::answers::{AnswerEvent, TEXT_CHARS_MAX, clip, counted_what, place, shown_name};
use super::talk::{Said, Talk};
use crate::context::Context;
use crate::failure::Failure;
use crate::size;

/// The `answer` object of a turn: that of the contract, and the conversation's own fields.
#[derive(Serialize)]
struct TurnEvent<'a> {
    #[serde(flatten)]
    answer: AnswerEvent<'a>,
    role: &'static str,
    session: &'a str,
    turn: u64,
    /// What was said, from memory or not.
    reply: &'a str,
    from: &'static str,
    stopped: bool,
}

/// The days of a conversation's first and last turn that are stored.
fn days(talk: &Talk) -> Option<(String, String)> {
    let (reader, clock) = (talk.reader().ok()?, Clock::system());
    let blocks = reader.blocks_of(talk.info()?.id);
    let at = |id: Option<&lcedge::memory::BlockId>| {
        Some(clock.minute(reader.block(*id?).ok()?.time_unix_ms))
    };
    Some((at(blocks.first())?, at(blocks.last())?))
}

/// What there is of the conversation already.
pub(super) fn begin(context: &Context, talk: &Talk) -> Result<(), Failure> {
    let (name, turns) = (&talk.name, talk.turns);
    let days = days(talk);
    context.out.event(&json!({
        "event": "session", "session": name, "turns": turns,
        "first": days.as_ref().map(|d| &d.0), "last": days.as_ref().map(|d| &d.1),
    }))?;
    let known = match days {
        Some((first, last)) => {
            let n = size::count(turns);
            let word = if turns == 1 { "turn" } else { "turns" };
            format!("goes on: {n} {word} so far, from {first} to {last}")
        }
        None => "is new".to_owned(),
    };
    context.out.note(format!("The conversation {name:?} {known}. /help lists the commands."));
    Ok(())
}

/// How to come back.
pub(super) fn end(context: &Context, name: &str, turns: u64, said: u64) -> Result<(), Failure> {
    context.out.event(&json!({
        "event": "bye", "session": name, "turns": turns, "said": said,
    }))?;
    let quoted = quoted(name);
    context.out.note(format!(
        "Kept: {} turns. `lcedge chat --session {quoted}` goes on.",
        size::count(turns)
    ));
    Ok(())
}

/// A name as a shell takes it, and as no terminal takes a part of it for a command.
fn quoted(name: &str) -> String {
    if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) {
        return name.to_owned();
    }
    if shown_name(name) == name {
        return format!("'{}'", name.replace('\'', "'\\''"));
    }
    let escaped = name.chars().map(|c| match c {
        '\'' | '\\' => format!("\\{c}"),
        c if shown_name(c.encode_utf8(&mut [0; 4])) == c.to_string() => c.to_string(),
        c => format!("\\u{:04x}", u32::from(c)),
    });
    format!("$'{}'", escaped.collect::<String>())
}

/// Where to type, on a terminal.
pub(super) fn prompt(context: &Context, typed: bool) {
    if typed && !context.out.json && !context.out.quiet {
        let mut err = io::stderr().lock();
        // A closed standard error keeps nobody from typing.
        let _ = write!(err, "{} ", context.out.paint_err.bold("you>"));
        let _ = err.flush();
    }
}

/// A piece of a reply, as soon as it is there.
pub(super) fn piece(context: &Context, text: &str) -> Result<(), Failure> {
    if context.out.json || text.is_empty() {
        return Ok(());
    }
    let shown: String =
        text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    let mut out = io::stdout().lock();
    write!(out, "{shown}").and_then(|()| out.flush()).map_err(|e| Failure::output(&e))
}

/// Ends the line of a reply.
pub(super) fn after_pieces(context: &Context, reply: &Reply) -> Result<(), Failure> {
    let stopped = if reply.stopped { context.out.paint.dim(" (stopped)") } else { String::new() };
    context.out.line(stopped)
}

/// An answer from memory, and from when it is.
pub(super) fn answer(context: &Context, talk: &Talk, a: &Answer) -> Result<Said, Failure> {
    let clock = Clock::system();
    let (text, note) = match &a.counted {
        Some(counted) => {
            let what = counted_what(counted, a.time.as_ref(), &clock);
            let n = if a.found { a.text.as_str() } else { "None in memory" };
            (format!("{n} ({what})"), String::new())
        }
        None => {
            let from = a
                .citations
                .first()
                .map_or(String::new(), |c| format!("; {}", from_when(talk, c, &clock)));
            (a.text.clone(), format!("({:.0}% sure{from})", 100.0 * a.confidence))
        }
    };
    let paint = context.out.paint;
    let line = format!("{}  {}", paint.green(&clip(&text, 10 * TEXT_CHARS_MAX)), paint.dim(&note));
    context.out.line(line.trim_end())?;
    Ok(Said { text, from: "memory", stopped: false })
}

/// What is replied where memory does not hold what only the person can know.
pub(super) fn unknown(context: &Context) -> Result<Said, Failure> {
    let text = "I do not know that: it is not in my memory.".to_owned();
    context.out.line(context.out.paint.yellow(&text))?;
    Ok(Said { text, from: "none", stopped: false })
}

/// `turn 3 of main, 2026-11-24 15:10`, or `auth.log:33, 2026-03-02 04:03`.
fn from_when(talk: &Talk, c: &Citation, clock: &Clock) -> String {
    let time = time_of(talk, c).map(|ms| format!(", {}", clock.minute(ms))).unwrap_or_default();
    match c.source.strip_prefix(conversation::PREFIX) {
        Some(name) => {
            let (turn, role) = turn_of(c.line_start);
            let who = if role == Role::User { "you said so in" } else { "I said so in" };
            let of =
                if name == talk.name { String::new() } else { format!(" of {}", shown_name(name)) };
            format!("{who} turn {turn}{of}{time}")
        }
        None => format!("{}{time}", place(c).trim_end_matches(':')),
    }
}

fn time_of(talk: &Talk, c: &Citation) -> Option<i64> {
    let clock = Clock::system();
    if let Some(ms) = lcedge::when::line_time(c.text.as_bytes(), &clock) {
        return Some(ms);
    }
    Some(talk.reader().ok()?.block(*c.blocks.first()?).ok()?.time_unix_ms)
}

/// A turn as JSON.
pub(super) fn turn(
    context: &Context,
    talk: &Talk,
    answer: AnswerEvent<'_>,
    said: &Said,
) -> Result<(), Failure> {
    context.out.event(&TurnEvent {
        answer,
        role: Role::Assistant.name(),
        session: &talk.name,
        turn: talk.turns,
        reply: &said.text,
        from: said.from,
        stopped: said.stopped,
    })
}

/// Where the last answer came from.
pub(super) fn why(context: &Context, talk: &Talk) -> Result<(), Failure> {
    let (out, clock) = (&context.out, Clock::system());
    let Some(a) = &talk.last else {
        out.event(&json!({"event": "why", "found": false, "citations": []}))?;
        return out.line("The last reply was not looked up in memory.");
    };
    let citations: Vec<Value> = a.citations.iter().map(|c| citation(talk, c, &clock)).collect();
    out.event(&json!({
        "event": "why", "question": a.question, "found": a.found, "confidence": a.confidence,
        "citations": citations,
    }))?;
    let head = match (a.found, a.citations.is_empty()) {
        (true, _) => "It is from these lines, the best one first:",
        (false, false) => "Memory does not hold it; what comes nearest:",
        (false, true) => "Memory has nothing near it.",
    };
    out.line(head)?;
    for c in &a.citations {
        let from = from_when(talk, c, &clock);
        let block = c.blocks.first().map_or(String::new(), |b| format!("block {}, ", b.0));
        let place = out.paint.cyan(&format!("{block}{from}:"));
        out.line(format!("  {place} {}", clip(&c.text, TEXT_CHARS_MAX)))?;
    }
    Ok(())
}

fn citation(talk: &Talk, c: &Citation, clock: &Clock) -> Value {
    let mut value = serde_json::to_value(c).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut value {
        if let Some(name) = c.source.strip_prefix(conversation::PREFIX) {
            let (turn, role) = turn_of(c.line_start);
            fields.insert("session".to_owned(), json!(name));
            fields.insert("turn".to_owned(), json!(turn));
            fields.insert("role".to_owned(), json!(role.name()));
        }
        fields.insert("time".to_owned(), json!(time_of(talk, c).map(|ms| clock.rfc3339(ms))));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn names_are_quoted_for_a_shell_and_harmless_on_a_terminal() {
        for (name, want) in [
            ("main", "main"),
            ("a b", "'a b'"),
            ("Ana's", r"'Ana'\''s'"),
            ("$(x)", "'$(x)'"),
            ("a\u{1b}[31m'\\", r"$'a\u001b[31m\'\\'"),
            ("x\u{202e}y", r"$'x\u202ey'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(name), want, "{name:?}");
        }
    }
}
