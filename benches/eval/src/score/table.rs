//! A table in columns, which is also Markdown.

use super::Rate;
use std::fmt;

/// Rows under a head; prints itself with aligned columns between bars.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this head.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row. Missing cells stay empty, cells beyond the head are left out.
    pub fn row(&mut self, cells: &[String]) {
        let columns = self.rows[0].len();
        let cells = cells.iter().cloned().chain(std::iter::repeat(String::new()));
        self.rows.push(cells.take(columns).collect());
    }

    /// Adds `name`, the share in percent, its 95% interval and its counts.
    pub fn rate_row(&mut self, name: &str, rate: Rate) {
        let share = rate.value().map_or("-".to_owned(), |share| format!("{:.1}%", share * 100.0));
        let interval = rate.interval().map_or("-".to_owned(), |(low, high)| {
            format!("{:.1}-{:.1}%", low * 100.0, high * 100.0)
        });
        self.row(&[name.to_owned(), share, interval, format!("{}/{}", rate.hits, rate.n)]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..head).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:<width$} ")?;
            }
            f.write_str("|\n")?;
            if number == 0 {
                for width in &widths {
                    write!(f, "|{}", "-".repeat(width + 2))?;
                }
                f.write_str("|\n")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["name", "n"]);
        table.row(&["a long name".to_owned(), "7".to_owned(), "left out".to_owned()]);
        table.row(&["b".to_owned()]);
        let text = "| name        | n   |\n\
                    |-------------|-----|\n\
                    | a long name | 7   |\n\
                    | b           |     |\n";
        assert_eq!(table.to_string(), text);
    }

    #[test]
    fn a_rate_has_its_interval_and_counts() {
        let mut table = Table::new(&["figure", "rate", "95% interval", "count"]);
        table.rate_row("cited", Rate { hits: 54, n: 60 });
        assert!(table.to_string().contains("| cited  | 90.0% | 79.9-95.3%   | 54/60 |"), "{table}");
    }
}
