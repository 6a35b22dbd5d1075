//! The text of `--help`.

use std::fmt;

use super::reader::{Declared, Fallback, Reader};

/// Renders the declarations of a reader.
pub(crate) struct HelpText<'a> {
    pub(crate) name: &'a str,
    pub(crate) about: &'a str,
    pub(crate) reader: &'a Reader,
}

impl fmt::Display for HelpText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, about, reader } = self;
        writeln!(f, "{about}\n\nUsage: {name} [OPTIONS]")?;
        if reader.admin().is_some() {
            writeln!(f, "       {name} healthcheck [--live] [--deadline DURATION] [OPTIONS]")?;
        }
        writeln!(
            f,
            "\nEach option is a flag or an environment variable; the flag wins, an empty variable \
             counts as unset."
        )?;
        let declared = reader.declared();
        let mut groups: Vec<&str> = Vec::new();
        for option in declared {
            if !groups.contains(&option.group) {
                groups.push(option.group);
            }
        }
        for group in groups {
            writeln!(f, "\n{group}:")?;
            for option in declared.iter().filter(|option| option.group == group) {
                write_option(f, option)?;
            }
        }
        f.write_str(
            "\nProcess:\n\
             \x20 -h, --help            Print this\n\
             \x20 -V, --version         Print the version\n\
             \x20     --check-config    Check the configuration, list every fault (exit 64), print what is in force\n",
        )?;
        if reader.admin().is_some() {
            f.write_str(
                "\nhealthcheck asks the admin port of a running process whether it is ready (with\n\
                 --live: alive), prints what it says and exits 0 or 1; --deadline is 3s by default.\n",
            )?;
        }
        Ok(())
    }
}

fn write_option(f: &mut fmt::Formatter<'_>, option: &Declared) -> fmt::Result {
    let Declared { variable, placeholder, help, .. } = option;
    match &option.flag {
        Some(flag) => writeln!(f, "      {flag} <{placeholder}>")?,
        None => writeln!(f, "      {variable}=<{placeholder}>")?,
    }
    writeln!(f, "          {help}")?;
    let mut notes = Vec::new();
    if option.flag.is_some() {
        notes.push((*variable).to_owned());
    }
    if option.file {
        notes.push(format!("or a file: {variable}_FILE"));
    }
    let unit = option.unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    match &option.fallback {
        Fallback::Default(text) if text.is_empty() => notes.push("default: none".into()),
        Fallback::Default(text) => notes.push(format!("default: {text}{unit}")),
        Fallback::Required => notes.push("required".into()),
        Fallback::Unset("") => notes.push("optional".into()),
        Fallback::Unset(meaning) => notes.push(format!("default: {meaning}")),
    }
    writeln!(f, "          [{}]", notes.join("; "))
}
