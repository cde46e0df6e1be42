//! `lcedge.toml`: defaults from a file.
//!
//! Its keys are the long names of the flags that also have an environment variable; those of one
//! command stand in a table of its name. They become the defaults of the command line's definition,
//! so that flags and environment go before them by themselves.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, Command};
use toml::{Table, Value};

use crate::failure::Failure;

/// The file's name.
pub(crate) const FILE: &str = "lcedge.toml";

/// The first of the files that exists: in `here`, then in the per-user configuration folder.
pub(crate) fn find(here: &Path, variable: fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let user = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let user = user.map(|dir| dir.join("lcedge").join(FILE));
    [Some(here.join(FILE)), user].into_iter().flatten().find(|path| path.is_file())
}

/// The definition with the defaults of the file.
///
/// # Errors
/// [`Failure`] with file and key when it cannot be read, holds an unknown key or a wrong value.
pub(crate) fn apply(command: Command, file: &Path) -> Result<Command, Failure> {
    let failed = |message: String| {
        Failure::new("config", format!("{}: {message}", file.display()))
            .hint(format!("correct {}, or remove it", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|e| failed(e.to_string()))?;
    let table: Table =
        toml::from_str(&text).map_err(|e| failed(e.to_string().trim().to_owned()))?;
    let mut settings = Vec::new();
    for (key, value) in &table {
        match value {
            Value::Table(inner) => {
                let Some(sub) = command.find_subcommand(key) else {
                    return Err(failed(format!("there is no command {key:?}")));
                };
                for (name, value) in inner {
                    settings.push(Setting::read(sub, Some(key), name, value).map_err(&failed)?);
                }
            }
            _ => settings.push(Setting::read(&command, None, key, value).map_err(&failed)?),
        }
    }
    for setting in &settings {
        setting.check(&command).map_err(&failed)?;
    }
    Ok(settings.into_iter().fold(command, |command, setting| setting.set(command)))
}

struct Setting {
    command: Option<String>,
    /// The key as the file has it, for messages.
    key: String,
    id: String,
    flag: String,
    value: String,
}

impl Setting {
    fn read(
        command: &Command,
        sub: Option<&str>,
        name: &str,
        value: &Value,
    ) -> Result<Self, String> {
        let key = sub.map_or_else(|| name.to_owned(), |sub| format!("{sub}.{name}"));
        let flag = name.replace('_', "-");
        let settable = |arg: &&Arg| arg.get_env().is_some() && arg.get_long().is_some();
        let all = || command.get_arguments().filter(settable);
        let Some(arg) = all().find(|arg| arg.get_long() == Some(&flag)) else {
            let known: Vec<&str> = all().filter_map(Arg::get_long).collect();
            return Err(format!("unknown key {key:?}; known: {}", known.join(", ")));
        };
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Integer(n) => n.to_string(),
            Value::Float(x) => x.to_string(),
            // A switch that is written as `on` and `off`.
            Value::Boolean(b) if flag == "surprise" => if *b { "on" } else { "off" }.to_owned(),
            Value::Boolean(b) => b.to_string(),
            Value::Array(_) | Value::Datetime(_) | Value::Table(_) => {
                return Err(format!("{key}: a text, number, true or false is expected"));
            }
        };
        let (command, id) = (sub.map(str::to_owned), arg.get_id().to_string());
        Ok(Self { command, key, id, flag, value })
    }

    /// Whether the flag takes the value: asked of its own parser.
    fn check(&self, command: &Command) -> Result<(), String> {
        let given = format!("--{}={}", self.flag, self.value);
        let words = [Some("lcedge".to_owned()), self.command.clone(), Some(given)];
        let tried = command.clone().try_get_matches_from(words.into_iter().flatten());
        match tried {
            Err(e) if matches!(e.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) => {
                let text = e.to_string();
                let line = text.lines().next().unwrap_or_default();
                let why = line.strip_prefix("error: ").unwrap_or(line);
                Err(format!("{}: {why}", self.key))
            }
            _ => Ok(()),
        }
    }

    fn set(self, command: Command) -> Command {
        let (id, value) = (self.id, self.value);
        let default = move |arg: Arg| arg.default_value(value);
        match self.command {
            None => command.mut_arg(id, default),
            Some(name) => command.mut_subcommand(name, |sub| sub.mut_arg(id, default)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command as Asked};
    use clap::{CommandFactory, FromArgMatches};

    fn parse(file: &str, words: &[&str]) -> Result<Cli, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, file).unwrap();
        let command = apply(Cli::command(), &path).map_err(|f| f.message)?;
        let words = ["lcedge"].iter().chain(words);
        let matches = command.try_get_matches_from(words).map_err(|e| e.to_string())?;
        Cli::from_arg_matches(&matches).map_err(|e| e.to_string())
    }

    #[test]
    fn a_file_sets_defaults_and_flags_go_before_it() {
        let file = "window = 512\nram = \"1.5G\"\noffline = true\nsurprise = false\n\
                    [stream]\ntop = 9\nmax_tokens = 12\n";
        let cli = parse(file, &["stream", "--input", "x"]).unwrap();
        assert_eq!((cli.common.window, cli.common.ram), (Some(512), Some(3 << 29)));
        assert!(cli.common.offline);
        let Asked::Stream(args) = cli.command else { panic!("another command") };
        assert_eq!((args.top, args.answer.max_tokens), (9, 12));
        let words = ["stream", "--input", "x", "--top=2", "--offline=false", "--window", "640"];
        let cli = parse(file, &words).unwrap();
        assert_eq!((cli.common.window, cli.common.offline), (Some(640), false));
        let Asked::Stream(args) = cli.command else { panic!("another command") };
        assert_eq!(args.top, 2);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_with_file_and_key() {
        for (file, say) in [
            ("windwo = 512", "unknown key \"windwo\""),
            ("[stream]\nmodel = \"x\"", "unknown key \"stream.model\""),
            ("[strem]\ntop = 1", "no command \"strem\""),
            ("window = \"wide\"", "window: invalid value 'wide'"),
            ("ram = \"4 apples\"", "is no unit of size"),
            ("[stream]\ntop = [1]", "stream.top: a text, number"),
            ("window = ", "lcedge.toml: "),
            ("input = \"x\"", "unknown key \"input\""),
        ] {
            let wrong = parse(file, &["plan"]).unwrap_err();
            assert!(wrong.contains(say) && wrong.contains(FILE), "{file}: {wrong}");
        }
    }
}
