//! Lines that begin with a slash.

use lcedge::memory::{BlockId, Forget, Strictness};
use serde_json::{Value, json};

use super::super::answers::shown_name;
use super::show;
use super::talk::Talk;
use crate::context::Context;
use crate::failure::Failure;
use crate::size;

/// What comes after a command.
pub(super) enum Next {
    /// The next line.
    Line,
    /// The end of the conversation.
    End,
}

const HELP: [(&str, &str); 9] = [
    ("/why", "where the last answer came from: turn, day and words"),
    ("/memory", "what the memory holds in all"),
    ("/sources", "what it was read from"),
    ("/stats", "figures of this conversation"),
    ("/forget last", "the last turn goes, out of every file"),
    ("/forget TEXT", "every passage that holds this text goes, out of every file"),
    ("/pin last | ID", "this turn, or the block of this number, stays whatever the disk budget"),
    ("/bye", "ends; so do Ctrl-C twice and the end of the input"),
    ("/help", "these lines"),
];

/// The words of a command; `None` for a line that is said, such as `/etc is a folder`.
pub(super) fn command(text: &str) -> Option<&str> {
    let words = text.strip_prefix('/')?;
    let name = words.split(' ').next().unwrap_or_default();
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic())).then_some(words)
}

pub(super) fn run(context: &Context, talk: &mut Talk, words: &str) -> Result<Next, Failure> {
    let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
    let rest = rest.trim();
    match name.to_lowercase().as_str() {
        "help" => help(context)?,
        "why" => show::why(context, talk)?,
        "memory" => memory(context, talk)?,
        "sources" => sources(context, talk)?,
        "stats" => stats(context, talk)?,
        "forget" => forget(context, talk, rest)?,
        "pin" => pin(context, talk, rest)?,
        "bye" | "exit" | "quit" => return Ok(Next::End),
        _ => {
            return Err(Failure::new("command_unknown", format!("there is no command /{name}"))
                .hint("/help lists the commands".to_owned()));
        }
    }
    Ok(Next::Line)
}

fn help(context: &Context) -> Result<(), Failure> {
    let all: Vec<Value> =
        HELP.iter().map(|(name, what)| json!({"command": name, "what": what})).collect();
    context.out.event(&json!({"event": "help", "commands": all}))?;
    for (name, what) in HELP {
        context.out.line(format!("  {:<16} {what}", name))?;
    }
    Ok(())
}

fn memory(context: &Context, talk: &Talk) -> Result<(), Failure> {
    let stats = talk.reader()?.stats()?;
    let mut event = serde_json::to_value(stats).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut event {
        fields.insert("event".to_owned(), json!("stats"));
        fields.insert("store".to_owned(), json!(context.store_dir()?));
    }
    context.out.event(&event)?;
    context.out.line(format!(
        "{} tokens of {} sources in {} blocks, {} on disk, in {}.",
        size::count(stats.tokens),
        size::count(stats.sources),
        size::count(stats.blocks),
        size::text(stats.segment_bytes + stats.catalogue_bytes),
        context.store_dir()?.display(),
    ))
}

fn sources(context: &Context, talk: &Talk) -> Result<(), Failure> {
    for s in talk.reader()?.sources().into_iter().filter(|s| !s.superseded) {
        let lines = s.progress.absorbed_lines;
        context.out.event(&json!({
            "event": "source", "source": s.name, "version": s.version, "lines": lines,
            "blocks": s.blocks,
        }))?;
        let name = context.out.paint.bold(&shown_name(&s.name));
        context.out.line(format!("{name}  {} lines", size::count(lines)))?;
    }
    Ok(())
}

fn stats(context: &Context, talk: &mut Talk) -> Result<(), Failure> {
    let (turns, said) = (talk.turns, talk.said);
    let c = talk.session()?.counters();
    context.out.event(&json!({
        "event": "session_stats", "session": talk.name, "turns": turns, "said": said,
        "tokens_read_by_model": c.tokens_read_by_model, "blocks": c.blocks,
        "recalled_blocks": c.recalled_blocks, "restored_tokens": c.restored_tokens,
        "prefilled_tokens": c.prefilled_tokens,
    }))?;
    context.out.line(format!(
        "{} turns, {} of them in this run; {} tokens read by the model, {} blocks recalled, {} \
         tokens restored from disk instead of being read again.",
        size::count(turns),
        size::count(said),
        size::count(c.tokens_read_by_model),
        size::count(c.recalled_blocks),
        size::count(c.restored_tokens),
    ))
}

fn forget(context: &Context, talk: &mut Talk, what: &str) -> Result<(), Failure> {
    if what.is_empty() {
        return Err(Failure::bad_argument("/forget takes `last` or a text"));
    }
    let blocks = if what == "last" { talk.last_blocks()? } else { Vec::new() };
    if what == "last" && blocks.is_empty() {
        return Err(Failure::new("turn_unknown", "there is no last turn to forget"));
    }
    let done = talk.with_store(context, |store| {
        let what = if blocks.is_empty() { Forget::Text(what) } else { Forget::Blocks(&blocks) };
        store
            .forget(&what, Strictness::Passage)
            .map_err(|e| Failure::new("forget", format!("not everything could be forgotten: {e}")))
    })?;
    let mut event = serde_json::to_value(done).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut event {
        fields.insert("event".to_owned(), json!("forget"));
    }
    context.out.event(&event)?;
    context.out.line(match done.blocks {
        0 => "Nothing in the memory holds this.".to_owned(),
        n => format!("Forgot {} blocks ({} tokens).", size::count(n), size::count(done.tokens)),
    })?;
    if !done.log_emptied {
        context.out.note("another process reads this memory: traces stay until it ends");
    }
    Ok(())
}

fn pin(context: &Context, talk: &mut Talk, what: &str) -> Result<(), Failure> {
    let ids = match what {
        "last" => talk.last_blocks()?,
        id => vec![BlockId(id.parse().map_err(|_| {
            Failure::bad_argument("/pin takes `last` or the number of a block, as /why shows it")
        })?)],
    };
    if ids.is_empty() {
        return Err(Failure::new("turn_unknown", "there is no last turn to pin"));
    }
    for &id in &ids {
        talk.reader()?.block(id)?;
    }
    let last = talk.last.take();
    let all = talk.with_store(context, |store| {
        store.pin(&ids, true).map_err(|e| Failure::new("store", e))?;
        Ok(store.pins().len())
    });
    talk.last = last;
    let all = all?;
    context.out.event(&json!({
        "event": "pin", "blocks": ids.iter().map(|id| id.0).collect::<Vec<_>>(), "pinned": all,
    }))?;
    let n = size::count(ids.len() as u64);
    context.out.line(format!("Pinned {n} blocks; {} are pinned.", size::count(all as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slash_and_letters_are_a_command() {
        assert_eq!(command("/forget the key"), Some("forget the key"));
        assert_eq!(command("/bye"), Some("bye"));
        for said in ["/etc/passwd is a file", "/", "/ x", "hello", "1/2", "//x"] {
            assert_eq!(command(said), None, "{said}");
        }
    }
}
