//! Where in a request something is wrong.

use std::fmt;

use crate::error::Error;

/// Total size of the violations that one answer lists. Over gRPC they travel in a trailer, and
/// some clients refuse more than 8 KiB of those.
const LISTED_BYTES: usize = 4 << 10;

/// How fields are called: as in the proto, or as in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// `user_id`
    Proto,
    /// `userId`
    Json,
}

impl Names {
    fn write(self, field: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, field) {
            (Self::Proto, field) => f.write_str(field),
            // JSON has one field for both ways to give a payload.
            (Self::Json, "payload" | "json") => f.write_str("data"),
            (Self::Json, field) => {
                let mut words = field.split('_');
                f.write_str(words.next().unwrap_or_default())?;
                for word in words {
                    let (first, rest) = word.split_at(word.len().min(1));
                    write!(f, "{}{rest}", first.to_ascii_uppercase())?;
                }
                Ok(())
            }
        }
    }
}

/// The path of a field, such as `items[3].notice.user_id`. Made while walking down a request and
/// rendered only when something is wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    names: Names,
    step: Option<(&'a Path<'a>, Step)>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Field(&'static str),
    Item(usize),
}

impl Path<'_> {
    /// The request itself.
    pub(crate) fn root(names: Names) -> Self {
        Self { names, step: None }
    }

    /// The field `name` (as in the proto) of what this path leads to.
    pub(crate) fn field<'b>(&'b self, name: &'static str) -> Path<'b> {
        Path { names: self.names, step: Some((self, Step::Field(name))) }
    }

    /// An item of the list that this path leads to.
    pub(crate) fn item(&self, index: usize) -> Path<'_> {
        Path { names: self.names, step: Some((self, Step::Item(index))) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((parent, step)) = self.step else { return Ok(()) };
        parent.fmt(f)?;
        match step {
            Step::Item(index) => write!(f, "[{index}]"),
            Step::Field(name) => {
                if parent.step.is_some() {
                    f.write_str(".")?;
                }
                self.names.write(name, f)
            }
        }
    }
}

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The field's path; empty for the request as a whole.
    pub(crate) field: String,
    /// What is wrong with it, and the limit.
    pub(crate) description: String,
}

/// Everything wrong with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Violations {
    listed: Vec<Violation>,
    bytes: usize,
    more: usize,
}

impl Violations {
    /// Notes one.
    pub(crate) fn add(&mut self, field: impl fmt::Display, description: impl fmt::Display) {
        if self.bytes >= LISTED_BYTES {
            self.more += 1;
            return;
        }
        let violation =
            Violation { field: field.to_string(), description: description.to_string() };
        self.bytes += violation.field.len() + violation.description.len();
        self.listed.push(violation);
    }

    /// Notes what is wrong with `result`, if anything; else gives its value.
    pub(crate) fn check<T, E: fmt::Display>(
        &mut self,
        field: impl fmt::Display,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(field, error)).ok()
    }

    /// Those that are listed in an answer.
    pub(crate) fn listed(&self) -> &[Violation] {
        &self.listed
    }

    /// The error, if anything was noted.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.listed.is_empty() { Ok(()) } else { Err(Error::Invalid(self)) }
    }
}

/// The first one in words, and how many there are besides.
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Violation { field, description }) = self.listed.first() else { return Ok(()) };
        if !field.is_empty() {
            write!(f, "{field}: ")?;
        }
        f.write_str(description)?;
        match (self.listed.len() - 1, self.more) {
            (0, 0) => Ok(()),
            (others, 0) => write!(f, " (and {others} more, see the details)"),
            (others, more) => {
                write!(f, " (and {} more, {others} of them in the details)", others + more)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(names: Names) -> [String; 4] {
        let root = Path::root(names);
        let (items, user_ids) = (root.field("items"), root.field("user_ids"));
        let item = items.item(3);
        let notice = item.field("notice");
        [
            notice.field("user_id").to_string(),
            notice.field("payload").to_string(),
            user_ids.item(0).to_string(),
            root.to_string(),
        ]
    }

    #[test]
    fn paths_are_written_as_the_caller_knows_the_fields() {
        let proto = ["items[3].notice.user_id", "items[3].notice.payload", "user_ids[0]", ""];
        assert_eq!(rendered(Names::Proto), proto);
        let json = ["items[3].notice.userId", "items[3].notice.data", "userIds[0]", ""];
        assert_eq!(rendered(Names::Json), json);
    }

    #[test]
    fn the_message_names_the_first_and_counts_the_others() {
        let mut violations = Violations::default();
        assert!(violations.clone().finish().is_ok());
        violations.add("a", "is bad");
        assert_eq!(violations.to_string(), "a: is bad");
        violations.add("b", "is bad too");
        assert_eq!(violations.to_string(), "a: is bad (and 1 more, see the details)");
        assert_eq!(violations.listed().len(), 2);
    }

    #[test]
    fn the_list_is_bounded_in_bytes_but_counts_all() {
        let mut violations = Violations::default();
        for index in 0..1_000 {
            violations.add(format_args!("user_ids[{index}]"), "must not be empty");
        }
        let bytes: usize =
            violations.listed().iter().map(|v| v.field.len() + v.description.len()).sum();
        assert!(bytes < LISTED_BYTES + 50, "{bytes}");
        assert!(violations.to_string().contains("and 999 more"), "{violations}");
    }
}
