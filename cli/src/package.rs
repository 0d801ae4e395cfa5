//! What packages of Tarn bring along: completions for shells, and man pages.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::exit::Failure;

/// `tarn completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsCommand {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// `tarn man`.
#[derive(Debug, Args)]
pub(crate) struct ManCommand {
    /// Where the pages are put; made if absent
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Print a shell's completions of a command line.
pub(crate) fn completions(
    wanted: &CompletionsCommand,
    mut program: Command,
) -> Result<(), Failure> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut program, name, &mut script);
    crate::ask::output::write(&script)
}

/// Write a page of the program and of each of its commands.
pub(crate) fn man(wanted: &ManCommand, program: Command) -> Result<(), Failure> {
    let dir = &wanted.dir;
    let failed = |e: std::io::Error| Failure::usage(format!("{}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(program, dir).map_err(failed)
}
