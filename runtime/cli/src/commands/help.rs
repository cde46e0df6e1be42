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

pub(crate) fn man(out: &Out) -> Result<u8, Failure> {
    let mut text = Vec::new();
    let mut command = Cli::command();
    command.build();
    let render =
        |command: clap::Command, text: &mut Vec<u8>| clap_mangen::Man::new(command).render(text);
    render(command.clone(), &mut text).map_err(|e| Failure::output(&e))?;
    out.write(String::from_utf8_lossy(&text).trim_end())?;
    Ok(0)
}
