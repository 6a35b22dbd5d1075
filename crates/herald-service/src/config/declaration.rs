//! One option: what it is called, what it accepts, what holds when it is not given.

use std::{fmt::Debug, ops::RangeInclusive};

use super::{
    fault::Fault,
    lookup::Found,
    reader::{Declared, Fallback, Reader},
    secret::{MASK, mask_credentials},
    source::Origin,
};

type Parse<T> = Box<dyn Fn(&str) -> Result<T, String>>;
type Check<T> = Box<dyn Fn(&T) -> Result<(), String>>;

/// An option being declared; made by [`Reader::option`], [`Reader::parsed`] and
/// [`Reader::secret`], and read by one of [`default`](Self::default),
/// [`required`](Self::required), [`optional`](Self::optional).
#[must_use = "an option is read by `default`, `required` or `optional`"]
pub struct Declaration<'r, T> {
    reader: &'r mut Reader,
    variable: &'static str,
    help: &'static str,
    parse: Parse<T>,
    checks: Vec<Check<T>>,
    placeholder: &'static str,
    expected: &'static str,
    example: &'static str,
    unit: Option<&'static str>,
    unset: &'static str,
    bare: Option<&'static str>,
    hidden: bool,
    file: bool,
}

impl<'r, T: 'static> Declaration<'r, T> {
    pub(super) fn new(
        reader: &'r mut Reader,
        variable: &'static str,
        help: &'static str,
        parse: impl Fn(&str) -> Result<T, String> + 'static,
    ) -> Self {
        Self {
            reader,
            variable,
            help,
            parse: Box::new(parse),
            checks: Vec::new(),
            placeholder: "VALUE",
            expected: "",
            example: "",
            unit: None,
            unset: "",
            bare: None,
            hidden: false,
            file: false,
        }
    }

    /// The placeholder in `--help` (`URL`), what a fault says is expected (`a Redis URL`), and an
    /// example, which has to be valid.
    pub fn describe(
        mut self,
        placeholder: &'static str,
        expected: &'static str,
        example: &'static str,
    ) -> Self {
        self.placeholder = placeholder;
        self.expected = expected;
        self.example = example;
        self
    }

    /// A better example than the type's own; it has to be valid.
    pub fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    /// What a number counts: `sessions`, `notices`.
    pub fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// What leaving an [`optional`](Self::optional) option out means, for `--help`.
    pub fn unset_means(mut self, meaning: &'static str) -> Self {
        self.unset = meaning;
        self
    }

    /// Also readable from a file named by `…_FILE`: for what may hold a credential, such as a URL.
    pub fn or_file(mut self) -> Self {
        self.file = true;
        self
    }

    /// Never shown: not in faults, not in `--check-config` (the error of a
    /// [`parsed`](Reader::parsed) option must not repeat the value). Credentials in URLs are
    /// masked in any case.
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Accepts only what `check` accepts; the error says what is wrong.
    pub fn ensure(mut self, check: impl Fn(&T) -> Result<(), String> + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Accepts only values in `range`.
    pub fn within(self, range: RangeInclusive<T>) -> Self
    where
        T: PartialOrd + Debug,
    {
        self.ensure(move |value| {
            if range.contains(value) {
                Ok(())
            } else {
                Err(format!("is not within {:?} to {:?}", range.start(), range.end()))
            }
        })
    }

    pub(super) fn bare(mut self, meaning: Option<&'static str>) -> Self {
        self.bare = meaning;
        self
    }

    /// Reads the option; `default` holds when it is not given, and has to be valid.
    ///
    /// # Panics
    /// When `default` (or a preset of the program) is not valid, which any test that reads the
    /// options shows.
    pub fn default(mut self, default: &str) -> T {
        let given = self.read_given();
        let fallback = match (self.parse)(default) {
            Ok(value) => value,
            Err(wrong) => panic!("the default of {} is valid: {default:?} {wrong}", self.variable),
        };
        let shown = default.to_owned();
        self.conclude(given, Fallback::Default(shown)).unwrap_or(fallback)
    }

    /// Reads the option; not giving it is a fault.
    ///
    /// # Panics
    /// When the example is not valid, which any test that reads the options shows.
    pub fn required(mut self) -> T {
        let given = self.read_given();
        let stand_in = match (self.parse)(self.example) {
            Ok(value) => value,
            Err(wrong) => {
                panic!("the example of {} is valid: {:?} {wrong}", self.variable, self.example)
            }
        };
        let file = format!("{}_FILE", self.variable);
        let at_fault = self.reader.at_fault(self.variable) || self.reader.at_fault(&file);
        if given.is_none() && !at_fault {
            let message = format!("is required; {}", self.expectation());
            self.reader.note(Fault::new(vec![self.variable.to_owned()], message));
        }
        self.conclude(given, Fallback::Required).unwrap_or(stand_in)
    }

    /// Reads the option; `None` when it is not given.
    pub fn optional(mut self) -> Option<T> {
        let given = self.read_given();
        let fallback = Fallback::Unset(self.unset);
        self.conclude(given, fallback)
    }

    /// The value as found and parsed; anything wrong with it is noted.
    fn read_given(&mut self) -> Option<(Found, T)> {
        // A switch takes the next word only when it can be its value: `--flag word` may be two
        // things, and `--flag=value` says it clearly.
        let parse = &self.parse;
        let is_value = |text: &str| self.bare.is_none() || parse(text).is_ok();
        let found = self.reader.find(self.variable, self.bare, is_value, self.file)?;
        let checked = (self.parse)(&found.text).and_then(|value| {
            self.checks.iter().try_for_each(|check| check(&value))?;
            Ok(value)
        });
        match checked {
            Ok(value) => Some((found, value)),
            Err(wrong) => {
                let message = if self.hidden {
                    format!("the value ({}) {wrong}; {}", found.origin, self.expectation())
                } else {
                    let shown = mask_credentials(&found.text);
                    // The parser of another crate may well repeat what it was given.
                    let wrong = mask_credentials(&wrong);
                    format!("{shown:?} ({}): {wrong}; {}", found.origin, self.expectation())
                };
                self.reader.note(Fault::new(vec![self.variable.to_owned()], message));
                None
            }
        }
    }

    fn expectation(&self) -> String {
        let Self { expected, example, .. } = self;
        match (self.hidden, expected.is_empty()) {
            (true, _) => format!("expected {expected}"),
            (false, true) => format!("for example {example}"),
            (false, false) => format!("expected {expected}, for example {example}"),
        }
    }

    fn conclude(self, given: Option<(Found, T)>, fallback: Fallback) -> Option<T> {
        // What this program presets is its default.
        let preset = self.reader.preset_of(self.variable);
        let fallback = preset.map_or(fallback, Fallback::Default);
        let (shown, origin, value) = match given {
            Some((found, value)) => (Some(found.text), found.origin, Some(value)),
            None => match &fallback {
                Fallback::Default(text) => (Some(text.clone()), Origin::Default, None),
                Fallback::Required | Fallback::Unset(_) => (None, Origin::Unset, None),
            },
        };
        let shown =
            shown.map(|text| if self.hidden { MASK.to_owned() } else { mask_credentials(&text) });
        let mut declared =
            Declared::new(self.variable, self.help, fallback).in_force(shown, origin);
        declared.placeholder = self.placeholder;
        declared.unit = self.unit;
        declared.file = self.file;
        self.reader.declare(declared);
        value
    }
}
