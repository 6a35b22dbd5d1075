//! How options are called, and what a misspelt one was probably meant to be.

/// The flag of a variable, dashes included; `None` for variables that are not ours
/// (`OTEL_…`), which have no flag.
pub(super) fn flag_of(variable: &str) -> Option<String> {
    let stem = variable.strip_prefix("HERALD_")?;
    Some(format!("--{}", stem.to_ascii_lowercase().replace('_', "-")))
}

/// The candidate that `name` is a likely misspelling of.
pub(super) fn closest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A third of the name may be wrong, three letters at most: beyond that a guess confuses.
    let stem = name.trim_start_matches("HERALD_").trim_start_matches("--");
    let allowed = (stem.len() / 3).min(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether Kubernetes rather than a person made this variable: for a Service called
/// `herald-gateway` every pod gets `HERALD_GATEWAY_SERVICE_HOST`, `HERALD_GATEWAY_PORT`, ….
pub(super) fn is_service_link(variable: &str) -> bool {
    let numbered_port = || {
        let (_, tail) = variable.rsplit_once("_PORT_")?;
        let mut parts = tail.split('_');
        let number = parts.next()?.parse::<u16>().is_ok();
        let protocol = matches!(parts.next()?, "TCP" | "UDP" | "SCTP");
        let rest = matches!(parts.next(), None | Some("ADDR" | "PORT" | "PROTO"));
        Some(number && protocol && rest && parts.next().is_none())
    };
    variable.ends_with("_SERVICE_HOST")
        || variable.ends_with("_SERVICE_PORT")
        || variable.contains("_SERVICE_PORT_")
        || variable.ends_with("_PORT")
        || numbered_port().unwrap_or(false)
}

/// Levenshtein distance in bytes; names are ASCII and short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_the_variable_without_prefix_in_kebab_case() {
        assert_eq!(flag_of("HERALD_GATEWAY_LISTEN").unwrap(), "--gateway-listen");
        assert_eq!(flag_of("HERALD_JWKS").unwrap(), "--jwks");
        assert_eq!(flag_of("OTEL_SERVICE_NAME"), None);
    }

    #[test]
    fn a_misspelling_finds_its_option_and_a_stranger_finds_none() {
        let known = ["HERALD_GATEWAY_LISTEN", "HERALD_LEASE"];
        assert_eq!(closest("HERALD_GATEWAY_LISTNE", known), Some("HERALD_GATEWAY_LISTEN"));
        assert_eq!(closest("HERALD_NOTIFIER_GRPC_LISTEN", known), None);
        assert_eq!(closest("HERALD_SPACE", known), None, "the prefix is no likeness");
    }

    #[test]
    fn kubernetes_service_links_are_recognised() {
        for name in [
            "HERALD_GATEWAY_SERVICE_HOST",
            "HERALD_GATEWAY_SERVICE_PORT",
            "HERALD_GATEWAY_SERVICE_PORT_HTTP",
            "HERALD_GATEWAY_PORT",
            "HERALD_GATEWAY_PORT_8013_TCP",
            "HERALD_GATEWAY_PORT_8013_TCP_ADDR",
        ] {
            assert!(is_service_link(name), "{name}");
        }
        for name in ["HERALD_GATEWAY_LISTEN", "HERALD_PORT_NAME", "HERALD_X_PORT_80_TCP_OTHER"] {
            assert!(!is_service_link(name), "{name}");
        }
    }
}
