//! Where an option's value is looked for.

use std::io::Read as _;

use super::{
    fault::Fault,
    names,
    reader::Reader,
    source::{Given, Origin},
};

/// Enough for any key or certificate; more is a mistake in the path.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A value as found, before parsing.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) origin: Origin,
}

impl Reader {
    /// Finds the value of an option: flag, else variable, else file, else preset.
    pub(super) fn find(
        &mut self,
        variable: &'static str,
        bare: Option<&'static str>,
        is_value: impl Fn(&str) -> bool,
        file: bool,
    ) -> Option<Found> {
        let direct = self.given(variable, bare, is_value);
        let path = file.then(|| self.given(&format!("{variable}_FILE"), None, |_| true)).flatten();
        match (direct, path) {
            (Some(_), Some(_)) => {
                let message = format!("give it directly or as {variable}_FILE, not both");
                self.note(Fault::new(vec![variable.to_owned()], message));
                None
            }
            (Some(found), None) => Some(found),
            (None, Some(path)) => match read_file(&path.text) {
                Ok(text) => Some(Found { text, origin: Origin::File(path.text) }),
                Err(message) => {
                    let subjects = vec![format!("{variable}_FILE"), variable.to_owned()];
                    self.note(Fault::new(subjects, message));
                    None
                }
            },
            (None, None) => self
                .source
                .preset_of(variable)
                .map(|text| Found { text: text.to_owned(), origin: Origin::Preset }),
        }
    }

    fn given(
        &mut self,
        variable: &str,
        bare: Option<&'static str>,
        is_value: impl Fn(&str) -> bool,
    ) -> Option<Found> {
        if let Some(flag) = names::flag_of(variable) {
            let mut occurrences = self.source.flag(&flag, is_value);
            if occurrences.len() > 1 {
                let subjects = vec![flag, variable.to_owned()];
                self.note(Fault::new(subjects, "is given more than once"));
                return None;
            }
            match (occurrences.pop(), bare) {
                (Some(Given::Value(text)), _) if !text.is_empty() => {
                    return Some(Found { text, origin: Origin::Flag });
                }
                (Some(Given::Bare), Some(meaning)) => {
                    return Some(Found { text: meaning.to_owned(), origin: Origin::Flag });
                }
                (Some(_), _) => {
                    let subjects = vec![flag, variable.to_owned()];
                    self.note(Fault::new(subjects, "needs a value"));
                    return None;
                }
                (None, _) => {}
            }
        }
        let text = self.source.variable(variable)?.to_owned();
        Some(Found { text, origin: Origin::Environment })
    }
}

/// Reads a secret's file. Editors end files with a line break that is not part of the secret.
fn read_file(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(format!("cannot read {path}: {error}")),
        Ok(size) if size as u64 > MAX_FILE_BYTES => Err(format!("{path} is larger than 1 MiB")),
        Ok(_) => match text.trim_end_matches(['\r', '\n']) {
            "" => Err(format!("{path} is empty")),
            value => Ok(value.to_owned()),
        },
    }
}
