//! `vrrp completions` and `vrrp man`: what others make of the command line's definitions.
//!
//! Owns the order of the manual's sections. Refuses to say anything that `--help` does not.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::cli::Cli;

/// Where a page that is printed belongs among the manuals: commands of the system's administrator.
const SECTION: &str = "8";

pub(crate) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    generate(shell, &mut Cli::command(), "vrrp", &mut text);
    print(&text)
}

pub(crate) fn page() -> ExitCode {
    match render() {
        Ok(text) => print(&text),
        Err(error) => {
            eprintln!("the manual cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One page: the command, then each of its own as a section.
fn render() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let command = Cli::command();
    let whole = Man::new(command.clone()).section(SECTION);
    whole.render_title(&mut text)?;
    whole.render_name_section(&mut text)?;
    whole.render_synopsis_section(&mut text)?;
    whole.render_description_section(&mut text)?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        section(&mut text, "vrrp", inner)?;
    }
    Ok(text)
}

fn section(text: &mut Vec<u8>, outer: &str, command: &Command) -> io::Result<()> {
    let name = format!("{outer} {}", command.get_name());
    let inners: Vec<&Command> =
        command.get_subcommands().filter(|inner| inner.get_name() != "help").collect();
    if !inners.is_empty() {
        return inners.into_iter().try_for_each(|inner| section(text, &name, inner));
    }
    writeln!(text, ".SH \"{}\"", name.to_uppercase())?;
    let man = Man::new(command.clone().bin_name(name).disable_help_flag(true).disable_version_flag(true));
    let mut parts = Vec::new();
    man.render_synopsis_section(&mut parts)?;
    man.render_description_section(&mut parts)?;
    man.render_options_section(&mut parts)?;
    // Sections of its own become parts of this one. What stands before each, a page has once.
    for line in String::from_utf8_lossy(&parts).lines() {
        match line.strip_prefix(".SH ") {
            Some("SYNOPSIS" | "DESCRIPTION") => writeln!(text, ".PP")?,
            Some(title) => writeln!(text, ".SS {title}")?,
            None if line.starts_with(".ie") || line.starts_with(".el") => {}
            None => writeln!(text, "{line}")?,
        }
    }
    if let Some(example) = command.get_after_help() {
        writeln!(text, ".PP\n.nf")?;
        for line in example.to_string().lines() {
            writeln!(text, "{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
        }
        writeln!(text, ".fi")?;
    }
    Ok(())
}

fn print(text: &[u8]) -> ExitCode {
    match io::stdout().write_all(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<'c>(command: &'c Command, found: &mut Vec<&'c Command>) {
        found.push(command);
        command.get_subcommands().for_each(|inner| all(inner, found));
    }

    #[test]
    fn the_definitions_hold() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_command_has_an_example() {
        let command = Cli::command();
        let mut found = Vec::new();
        all(&command, &mut found);
        for inner in found.into_iter().filter(|inner| !inner.is_hide_set()) {
            let help = inner.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example: "), "{} has none: {help}", inner.get_name());
        }
    }

    #[test]
    fn the_manual_has_each_command_and_its_exit_codes() {
        let text = String::from_utf8(render().unwrap()).unwrap();
        for inner in Cli::command().get_subcommands().filter(|inner| !inner.is_hide_set()) {
            assert!(text.contains(&format!(".SH \"VRRP {}", inner.get_name().to_uppercase())), "{text}");
        }
        assert!(text.starts_with(".ie") || text.contains(".TH vrrp 8"), "{text}");
        assert!(text.contains("Exit code 0: shown"), "{text}");
        assert!(!text.contains("GUARD"), "the guard is nobody's command");
    }

    #[test]
    fn completions_come_for_each_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            generate(shell, &mut Cli::command(), "vrrp", &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("drain") && text.contains("pcap"), "{shell}");
        }
    }
}
