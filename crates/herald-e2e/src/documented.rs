//! The table of docs/metrics.md, and what a service exports compared with it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};

use crate::binaries;

/// A service's own way to say its kind.
const SERVICES: [&str; 2] = ["gateway", "notifier"];

/// The table, by name.
#[derive(Debug)]
pub struct Documented(BTreeMap<String, Metric>);

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Metric {
    kind: String,
    of: Vec<&'static str>,
    /// By label; no values where any may come.
    labels: BTreeMap<String, Option<BTreeSet<String>>>,
    meaning: String,
}

impl Documented {
    /// Reads the table.
    ///
    /// # Errors
    ///
    /// When a line of it is not as the others.
    pub fn read() -> anyhow::Result<Self> {
        let path = binaries::root().join("docs/metrics.md");
        let text = std::fs::read_to_string(&path).context("docs/metrics.md")?;
        let lines = text.lines().filter(|line| line.starts_with("| `"));
        let table: BTreeMap<_, _> = lines
            .map(|line| Metric::read(line).with_context(|| line.to_owned()))
            .collect::<anyhow::Result<_>>()?;
        ensure!(!table.is_empty(), "docs/metrics.md has no table");
        Ok(Self(table))
    }

    /// What a service of this kind, `gateway` or `notifier`, exports and the table does not say.
    pub fn undocumented(&self, service: &str, exposition: &str) -> Vec<String> {
        let mut wrong = BTreeSet::new();
        for (name, exported) in exported(exposition) {
            let Some(known) = self.0.get(&name).filter(|metric| metric.of.contains(&service))
            else {
                wrong.insert(format!("{name} is no metric of a {service} in docs/metrics.md"));
                continue;
            };
            if known.kind != exported.kind {
                wrong.insert(format!("{name} is a {}, not a {}", exported.kind, known.kind));
            }
            if !known.meaning.starts_with(&exported.meaning) {
                wrong.insert(format!("{name} means {:?}", exported.meaning));
            }
            if exported.labels.keys().ne(known.labels.keys()) {
                wrong.insert(format!("{name} has the labels {:?}", exported.labels.keys()));
            }
            for (label, values) in &exported.labels {
                let Some(Some(allowed)) = known.labels.get(label) else { continue };
                for value in values.iter().flatten().filter(|value| !allowed.contains(*value)) {
                    wrong.insert(format!("{name}: {label} may be {value:?}"));
                }
            }
        }
        wrong.into_iter().collect()
    }

    /// What the table says that a service of this kind exports, and none of these does.
    pub fn missing(&self, service: &str, expositions: &[String]) -> Vec<String> {
        let all: BTreeSet<_> =
            expositions.iter().flat_map(|text| exported(text).into_keys()).collect();
        let wanted = self.0.iter().filter(|(_, metric)| metric.of.contains(&service));
        wanted.map(|(name, _)| name.clone()).filter(|name| !all.contains(name)).collect()
    }

    /// Whether there is such a metric; of a histogram also its parts.
    pub fn has_series(&self, name: &str) -> bool {
        self.0.iter().any(|(known, metric)| match name.strip_prefix(known.as_str()) {
            Some("") => metric.kind != "histogram",
            Some("_bucket" | "_sum" | "_count") => metric.kind == "histogram",
            _ => false,
        })
    }
}

impl Metric {
    fn read(line: &str) -> anyhow::Result<(String, Self)> {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, of, labels, meaning] = cells[..] else {
            anyhow::bail!("{} cells, not 5", cells.len());
        };
        let of = SERVICES.into_iter().filter(|service| of == "both" || of == *service);
        let of: Vec<_> = of.collect();
        ensure!(!of.is_empty(), "no service");
        let labels = labels.split(';').filter(|label| !label.trim().is_empty()).map(|label| {
            let (name, values) = label.split_once(':').context("a label without values")?;
            let values = values.trim();
            let values: Option<BTreeSet<_>> = (!values.starts_with('*'))
                .then(|| values.split(',').map(|value| value.trim().to_owned()).collect());
            Ok((name.trim().trim_matches('`').to_owned(), values))
        });
        let metric = Self {
            kind: kind.to_owned(),
            of,
            labels: labels.collect::<anyhow::Result<_>>()?,
            meaning: meaning.to_owned(),
        };
        Ok((name.trim_matches('`').to_owned(), metric))
    }
}

/// What an exposition in Prometheus' text format holds. What comes before it does not matter.
fn exported(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let described = |line: &str| {
        Some(line.split_once(' ')).flatten().map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    for line in text.lines() {
        if let Some((name, meaning)) = line.strip_prefix("# HELP ").and_then(described) {
            metrics.entry(name).or_default().meaning = meaning;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(described) {
            metrics.entry(name).or_default().kind = kind;
        } else if let Some((series, _)) = line.rsplit_once(' ') {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| {
                let whole = name.strip_suffix(part)?;
                metrics.get(whole).is_some_and(|metric| metric.kind == "histogram").then_some(whole)
            });
            let name = of_histogram.unwrap_or(name);
            let Some(metric) = metrics.get_mut(name) else { continue };
            // A value here has no comma and no quote.
            for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once('=').unwrap_or((label, ""));
                if label != "le" {
                    let values = metric.labels.entry(label.to_owned()).or_default();
                    values.get_or_insert_default().insert(value.trim_matches('"').to_owned());
                }
            }
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_table_does_not_say_is_found() {
        let metric =
            Metric::read("| `a_total` | counter | gateway | `x`: b, c | Things; b is big |");
        let table = Documented([metric.unwrap()].into());
        let good = "# HELP a_total Things\n# TYPE a_total counter\na_total{x=\"b\"} 1\n";
        assert!(table.undocumented("gateway", good).is_empty());
        assert!(table.missing("gateway", &[good.to_owned()]).is_empty());
        assert_eq!(table.missing("gateway", &[String::new()]), ["a_total"]);
        for wrong in [
            good.replace("a_total", "b_total"),
            good.replace("\"b\"", "\"d\""),
            good.replace("x=", "y="),
            good.replace("Things", "Others"),
            good.replace("counter", "gauge"),
        ] {
            assert_eq!(table.undocumented("gateway", &wrong).len(), 1, "{wrong}");
        }
        assert_eq!(table.undocumented("notifier", good).len(), 1);
        assert!(table.has_series("a_total") && !table.has_series("a_total_sum"));
    }
}
