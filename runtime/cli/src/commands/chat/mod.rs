//! `chat`: a conversation that remembers.

mod commands;
mod input;
mod show;
mod talk;

use std::io::IsTerminal;

use lcedge::conversation;
use lcedge::sample::Sampling;
use lcedge::setup::Ready;

use self::commands::{Next, command};
use self::input::{LINE_BYTES_MAX, Line, Lines};
use self::talk::Talk;
use super::ask::conversation as source_of;
use crate::args::ChatArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::size;

pub(crate) fn run(context: &mut Context, args: &ChatArgs) -> Result<u8, Failure> {
    let source = source_of(&args.session)?;
    let sampling = sampling(args)?;
    if !context.options.memory.recalls() {
        return Err(Failure::bad_argument(
            "chat remembers with a store: --memory full or recall is needed",
        ));
    }
    context.options.store = Some(context.store_dir()?);
    let Ready { session, .. } = context.open()?;
    let mut talk = Talk::new(session, args, source, sampling)?;
    context.stop.looks(true);
    context.stop.talks();
    show::begin(context, &talk)?;
    let talked = until_the_end(context, &mut talk);
    let turns = talk.turns;
    let said = talk.said;
    let closed = talk.close();
    if talked.as_ref().is_err_and(Failure::is_broken_pipe) {
        return Ok(0);
    }
    talked?;
    closed?;
    show::end(context, &args.session, turns, said)?;
    Ok(context.stop.exit_code().unwrap_or(0))
}

fn sampling(args: &ChatArgs) -> Result<Sampling, Failure> {
    let wrong = |what: String| Err(Failure::bad_argument(what));
    if args.max_tokens == 0 {
        return wrong("--max-tokens 0: at least 1 is needed".to_owned());
    }
    if !args.temperature.is_finite() || args.temperature < 0.0 {
        return wrong(format!("--temperature {}: 0 or more is taken", args.temperature));
    }
    if !(0.0..=1.0).contains(&args.top_p) {
        return wrong(format!("--top-p {}: 0 to 1 is taken", args.top_p));
    }
    Ok(Sampling {
        temperature: args.temperature,
        top_p: args.top_p,
        seed: args.seed,
        ..Sampling::default()
    })
}

/// Takes lines until one of them, the end of the input or a signal ends the conversation.
fn until_the_end(context: &mut Context, talk: &mut Talk) -> Result<(), Failure> {
    let lines = Lines::of_stdin()?;
    let typed = std::io::stdin().is_terminal();
    show::prompt(context, typed);
    let mut hinted = false;
    while !context.stop.requested() {
        let text = match lines.next() {
            Line::Nothing => {
                if context.stop.interrupted() && !hinted {
                    hinted = true;
                    context.out.note("\nCtrl-C again, or /bye, ends the conversation");
                    show::prompt(context, typed);
                }
                continue;
            }
            Line::End => break,
            Line::Failed(e) => return Err(Failure::new("input", format!("standard input: {e}"))),
            Line::TooLong => {
                let most = size::text(LINE_BYTES_MAX as u64);
                let failure = Failure::new("line_long", format!("a line of more than {most}"))
                    .hint("`lcedge stream` reads files of any size".to_owned());
                context.out.failure(&failure);
                continue;
            }
            Line::Text(text) => text,
        };
        hinted = false;
        context.stop.calm();
        let text = conversation::one_line(&text);
        if text.is_empty() {
            show::prompt(context, typed);
            continue;
        }
        let next = match command(&text) {
            Some(words) => {
                let done = commands::run(context, talk, words);
                // A Ctrl-C meanwhile was meant for this command.
                context.stop.calm();
                done
            }
            None => talk.turn(context, &text).map(|()| Next::Line),
        };
        match next {
            Ok(Next::Line) => {}
            Ok(Next::End) => break,
            // What was said wrongly does not end the conversation.
            Err(failure) if talk.goes_on() && !failure.is_broken_pipe() => {
                context.stop.calm();
                context.out.failure(&failure);
            }
            Err(failure) => return Err(failure),
        }
        show::prompt(context, typed);
    }
    Ok(())
}
