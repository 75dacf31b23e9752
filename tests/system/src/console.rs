//! The `console` blocks of a page: what it tells its reader to type, typed.

use std::path::Path;
use std::process::Command;

/// The commands of every `console` block, in order.
pub fn commands(page: &str) -> Vec<&str> {
    let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).collect()
}

/// A shell that runs commands in a folder, one after the other. The first that fails ends it.
pub fn walk(commands: &[&str], folder: &Path) -> Command {
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(format!("set -ex\n{}\n", commands.join("\n"))).current_dir(folder);
    bash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;

    #[test]
    fn commands_are_what_follows_the_prompt_in_console_blocks_alone() {
        let page =
            "a\n```sh\n$ no\n```\nb\n```console\n$ one\nits answer\n$ two $HOME\n```\n$ no\n```console\n$ three\n```\n";
        assert_eq!(commands(page), ["one", "two $HOME", "three"]);
    }

    #[test]
    fn the_first_command_that_fails_ends_the_walk() {
        let walked = |commands: &[&str]| run(&mut walk(commands, &std::env::temp_dir()), "").unwrap();
        let failed = walked(&["false", "echo further"]);
        assert!(failed.code != 0 && failed.stdout.is_empty());
        assert_eq!(walked(&["name=tea", "echo $name"]).stdout, "tea\n");
    }
}
