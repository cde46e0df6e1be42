//! From the words of a command line to an exit code.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use crate::args::{Cli, Command};
use crate::context::{Context, variable};
use crate::failure::{COULD_NOT_RUN, Failure};
use crate::output::{self, Out};
use crate::stop::Stop;
use crate::{commands, config};

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    output::say_panics_plainly();
    let words: Vec<OsString> = std::env::args_os().collect();
    let json = wants_json(&words);
    output::remember_json(json);
    let ended = std::panic::catch_unwind(|| run(words));
    let failure = match ended {
        Ok(Ok(code)) => return ExitCode::from(code),
        Ok(Err(failure)) => failure,
        // The hook has said what it is.
        Err(_) => return ExitCode::from(COULD_NOT_RUN),
    };
    if !failure.is_broken_pipe() {
        let no_color = variable("NO_COLOR").is_some_and(|v| !v.is_empty());
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        output::print_failure(&failure, json, terminal && !no_color);
    }
    ExitCode::from(failure.code)
}

/// Whether errors are to be JSON, found out before the words are parsed.
fn wants_json(words: &[OsString]) -> bool {
    let words = words.iter().skip(1).take_while(|w| *w != "--");
    let last = words.filter_map(|w| w.to_str()).filter(|w| w.starts_with("--json")).last();
    let yes =
        |v: &str| matches!(v.to_lowercase().as_str(), "1" | "y" | "yes" | "t" | "true" | "on");
    match last {
        Some("--json") => true,
        Some(word) => word.strip_prefix("--json=").is_some_and(yes),
        None => variable("LCEDGE_JSON").is_some_and(|v| v.to_str().is_some_and(yes)),
    }
}

fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let mut command = Cli::command();
    let here = std::env::current_dir().unwrap_or_default();
    let file = config::find(&here, variable);
    if let Some(file) = &file {
        command = config::apply(command, file)?;
    }
    if words.len() < 2 {
        // Nothing was asked for: help, but not as a result.
        let _ = writeln!(std::io::stderr(), "{}", command.render_long_help());
        return Ok(COULD_NOT_RUN);
    }
    let matches = match command.try_get_matches_from_mut(words) {
        Ok(matches) => matches,
        Err(e) => return usage(&e),
    };
    let cli = Cli::from_arg_matches(&matches).map_err(|e| usage_failure(&e))?;
    output::remember_json(cli.common.json);
    let out = Out::new(&cli.common);
    match cli.command {
        Command::Completions { shell } => return commands::help::completions(&out, shell),
        Command::Man { command } => return commands::help::man(&out, &command),
        _ => {}
    }
    let stop = Stop::install()?;
    let context = Context::new(&cli.common, out, stop)?;
    if let Some(file) = &file {
        context.out.detail(format!("settings from {}", file.display()));
    }
    dispatch(context, cli.command)
}

fn dispatch(mut context: Context, command: Command) -> Result<u8, Failure> {
    let context = &mut context;
    match command {
        Command::Stream(args) => commands::stream::run(context, &args),
        Command::Ask(args) => commands::ask::run(context, &args),
        Command::Chat(args) => commands::chat::run(context, &args),
        Command::Memory(command) => commands::memory::run(context, &command),
        Command::Model(command) => commands::model::run(context, &command),
        Command::Plan => commands::plan::run(context),
        Command::Doctor => commands::doctor::run(context),
        Command::Bench(command) => commands::bench::run(context, &command),
        Command::Eval(command) => commands::eval::run(context, &command),
        Command::Completions { .. } | Command::Man { .. } => Ok(0),
    }
}

/// Help and version go to standard output; everything else is a failure.
fn usage(e: &clap::Error) -> Result<u8, Failure> {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            e.print().map_err(|e| Failure::output(&e))?;
            Ok(0)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Nothing was asked for: help on standard error.
            let _ = e.print();
            Ok(COULD_NOT_RUN)
        }
        _ => Err(usage_failure(e)),
    }
}

/// Commands that a later version has.
const LATER: [&str; 3] = ["serve", "mcp", "pull"];

fn usage_failure(e: &clap::Error) -> Failure {
    let context = |kind| match e.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    if let Some(name) = context(ContextKind::InvalidSubcommand)
        && LATER.contains(&name.as_str())
    {
        return Failure::new(
            "not_in_this_version",
            format!("`{name}` is not in this version of lcedge"),
        )
        .hint("`lcedge help` lists the commands that are".to_owned());
    }
    let text = e.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("the command line was not understood");
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let rest: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .collect();
    let message =
        if rest.is_empty() { message.to_owned() } else { format!("{message} {}", rest.join(" ")) };
    Failure::bad_argument(message).hint("`lcedge help COMMAND` shows what it takes".to_owned())
}
