//! A comparison for a terminal, and as Markdown.

use std::fmt;

use comfy_table::{Cell, Table, presets};

use super::{Comparison, Row, Section};
use crate::markdown::{cell, table};

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            writeln!(f, "{}\n{}\n", section.title, self.lines(section))?;
        }
        self.cautions.iter().try_for_each(|caution| writeln!(f, "Caution: {caution}"))
    }
}

/// Stands behind the best figure of a row, where there is neither colour nor weight.
const BEST: &str = " *";

impl Comparison<'_> {
    fn lines(&self, section: &Section) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header(std::iter::once(String::new()).chain(self.columns.iter().cloned()));
        for row in &section.rows {
            table.add_row(std::iter::once(row.name.clone()).chain(marked(row)).map(Cell::new));
        }
        table
    }

    /// The comparison as a page of Markdown.
    pub fn to_markdown(&self) -> String {
        let mut page = format!("# Drivers compared: {}\n", cell(&self.columns.join(", ")));
        for Section { title, rows } in &self.sections {
            let head = std::iter::once(String::from(" ")).chain(self.columns.iter().map(|column| cell(column)));
            let rows = rows.iter().map(|row| std::iter::once(row.name.clone()).chain(marked(row)).collect());
            page += &format!("\n## {title}\n\n{}", table(&head.collect::<Vec<_>>(), rows));
        }
        let cautions = self.cautions.iter().map(|caution| format!("\nCaution: {}\n", cell(caution)));
        page + &cautions.collect::<String>() + "\n`*` marks the best figure of a row.\n"
    }
}

fn marked(row: &Row) -> impl Iterator<Item = String> {
    let mark = |column| if row.best == Some(column) { BEST } else { "" };
    row.cells.iter().enumerate().map(move |(column, cell)| format!("{cell}{}", mark(column)))
}
