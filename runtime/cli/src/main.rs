//! The `lcedge` command.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod config;
mod context;
mod failure;
#[cfg(test)]
mod fuzzing;
mod output;
mod process;
mod run;
mod size;
mod stop;

fn main() -> std::process::ExitCode {
    run::main()
}
