//! Values that must never be printed.

use std::fmt;

/// What is printed in place of a secret.
pub const MASK: &str = "****";

/// A credential. `Debug` and `Display` print [`MASK`]; it is not serialisable, and there is no
/// conversion to a string other than [`Secret::expose`], so that each use can be found by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a credential.
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The credential itself, for handing to the library that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Masks the user-info and the parameters of a URL (`redis://user:password@host?password=…`), which
/// no option may show.
///
/// From the first `://` to the last `@`, since a password that somebody forgot to encode may
/// hold any of `/`, `,` and `@`; hiding too much is the harmless direction.
pub(super) fn mask_credentials(text: &str) -> String {
    let Some(start) = text.find("://").map(|at| at + 3) else {
        return text.to_owned();
    };
    let (scheme, rest) = text.split_at(start);
    let (user_info, rest) = rest.rfind('@').map_or(("", rest), |at| (MASK, &rest[at..]));
    match rest.split_once('?') {
        Some((rest, _)) => format!("{scheme}{user_info}{rest}?{MASK}"),
        None => format!("{scheme}{user_info}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_masked_whatever_the_formatter() {
        let secret = Secret::new("hunter2");
        for printed in [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{secret:#?}"),
            format!("{secret:>20}"),
            format!("{:?}", Some(&secret)),
        ] {
            assert!(!printed.contains("hunter2") && printed.contains(MASK), "{printed}");
        }
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn credentials_in_a_url_are_masked_even_when_not_encoded() {
        let masked = |text| mask_credentials(text);
        assert_eq!(masked("redis://h:6379/0"), "redis://h:6379/0");
        assert_eq!(masked("redis://:pw@h:6379/0"), "redis://****@h:6379/0");
        assert_eq!(masked("rediss://u:p/w@d@h/0"), "rediss://****@h/0");
        assert_eq!(masked("http://a:b@h,http://c:d@i"), "http://****@i");
        assert_eq!(masked("redis-sentinel://h/m?sentinel-password=p"), "redis-sentinel://h/m?****");
        assert_eq!(masked("redis-sentinel://a:b@h/m?c=d@e"), "redis-sentinel://****@e");
        assert_eq!(masked("someone@example"), "someone@example");
    }
}
