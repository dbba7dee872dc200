//! Tables as Docker prints them: Go's tabwriter with three blanks between columns.

use super::text::printable;

/// Columns and rows of text.
#[derive(Clone, Debug, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    minimum: usize,
}

impl Table {
    /// With these column titles; a column is never narrower than `minimum` (Docker: 10,
    /// Compose's own tables: 20).
    pub fn new(header: &[&str], minimum: usize) -> Self {
        Self {
            header: header.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
            minimum,
        }
    }

    /// Adds a row; control characters in it are escaped.
    pub fn row<I, S>(&mut self, cells: I)
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        self.rows.push(
            cells
                .into_iter()
                .map(|cell| printable(cell.as_ref()))
                .collect(),
        );
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The whole table, each line ended.
    pub fn render(&self) -> String {
        let header = (!self.header.is_empty()).then_some(&self.header);
        let lines: Vec<&Vec<String>> = header.into_iter().chain(&self.rows).collect();
        let columns = lines.iter().map(|line| line.len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = lines.iter().filter_map(|line| line.get(column));
                let widest = cells.map(|cell| width(cell)).max().unwrap_or(0);
                (widest + 3).max(self.minimum)
            })
            .collect();
        let mut text = String::new();
        for line in lines {
            for (column, cell) in line.iter().enumerate() {
                text.push_str(cell);
                // The last cell of a line is not padded.
                if column + 1 < line.len() {
                    text.extend(std::iter::repeat_n(' ', widths[column] - width(cell)));
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Characters, as Go's tabwriter counts them.
fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_three() {
        let mut table = Table::new(&["NAME", "STATUS"], 0);
        table.row(["web-1", "running"]);
        table.row(["a", "x"]);
        assert_eq!(
            table.render(),
            "NAME    STATUS\nweb-1   running\na       x\n"
        );
    }

    #[test]
    fn a_container_cannot_move_the_cursor() {
        let mut table = Table::new(&[], 0);
        table.row(["\u{1b}[2Jhello"]);
        assert_eq!(table.render(), "\\x1b[2Jhello\n");
    }
}
