//! `completions` and `man`: both from the one definition of the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::Out;

pub(crate) fn completions(out: &Out, shell: Shell) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lcedge", &mut text);
    out.write(String::from_utf8_lossy(&text).trim_end())?;
    Ok(0)
}

pub(crate) fn man(out: &Out, words: &[String]) -> Result<u8, Failure> {
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            Failure::bad_argument(format!("there is no command {:?}", words.join(" ")))
                .hint("`lcedge help` lists them".to_owned())
        })?;
    }
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.clone());
    page.render(&mut text).map_err(|e| Failure::output(&e))?;
    out.write(String::from_utf8_lossy(&text).trim_end())?;
    Ok(0)
}
