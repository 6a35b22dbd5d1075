//! Medians with their spread.

use std::fmt;

/// The median of some values, and between what they lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Median {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) count: usize,
}

impl Median {
    /// `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => return None,
            odd if odd % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self { median, low: values[0], high: values[values.len() - 1], count: values.len() })
    }
}

/// With three significant digits, or as a whole number from 100 on; with the spread if there is
/// more than one value.
impl fmt::Display for Median {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&digits(self.median))?;
        if self.count > 1 {
            write!(f, " ({}–{})", digits(self.low), digits(self.high))
        } else {
            Ok(())
        }
    }
}

/// A table's cell; a dash for nothing.
pub(crate) fn cell(median: Option<Median>) -> String {
    median.map_or_else(|| "–".to_owned(), |median| median.to_string())
}

fn digits(value: f64) -> String {
    match value.abs() {
        large if large >= 99.95 => thousands(value.round()),
        middle if middle >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let text = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in text.chars().enumerate() {
        if index > 0 && (text.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_stands_in_the_middle_and_shows_its_spread() {
        assert_eq!(cell(Median::of([3.0, 1.0, 2.0])), "2.00 (1.00–3.00)");
        assert_eq!(cell(Median::of([20_000.0, 31_234.0])), "25,617 (20,000–31,234)");
        assert_eq!(cell(Median::of([12.34])), "12.3");
        assert_eq!(cell(Median::of([])), "–");
        assert_eq!(cell(Median::of([f64::NAN])), "–");
    }
}
