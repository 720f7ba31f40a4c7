//! One table on a terminal: numbers to the right, text folded, and what does not fit side by side put below.
//!
//! Owns widths and folding. Refuses to know what the cells mean.

use super::Paint;
use crate::bench::report::Table;

/// Between two columns.
const GAP: usize = 2;

#[derive(Debug)]
struct Column<'a> {
    title: &'a str,
    cells: Vec<&'a str>,
    is_numeric: bool,
    width: usize,
}

impl Column<'_> {
    /// Without breaking a word, or a number from its unit.
    fn least(&self) -> usize {
        let words = self.title.split_whitespace().map(length);
        let cells = self.cells.iter().flat_map(|cell| {
            let whole = self.is_numeric.then(|| length(cell));
            whole.into_iter().chain(cell.split_whitespace().filter(|_| !self.is_numeric).map(length))
        });
        words.chain(cells).max().unwrap_or(0)
    }

    /// As wide as the widest cell; a title is folded sooner than it widens a column.
    fn natural(&self) -> usize {
        self.cells.iter().map(|cell| length(cell)).max().unwrap_or(0).max(self.least())
    }
}

/// The table in lines of at most this width, unless a single column is wider.
pub(super) fn lines(table: &Table, width: usize, paint: Paint) -> Vec<String> {
    let mut columns: Vec<Column<'_>> = table
        .columns
        .iter()
        .enumerate()
        .map(|(number, title)| Column {
            title,
            cells: table.rows.iter().map(|row| row.cells.get(number).map_or("", String::as_str)).collect(),
            is_numeric: table.is_numeric(number),
            width: 0,
        })
        .collect();
    for column in &mut columns {
        column.width = column.natural();
    }
    squeeze(&mut columns, width);
    let noise: Vec<Option<&str>> = table.rows.iter().map(|row| row.noise.as_deref()).collect();
    let mut lines = Vec::new();
    let blocks = blocks(&columns, width);
    for (number, block) in blocks.iter().enumerate() {
        if number > 0 {
            lines.push(String::new());
        }
        let block: Vec<&Column<'_>> = block.iter().map(|column| &columns[*column]).collect();
        let titles: Vec<&str> = block.iter().map(|column| column.title).collect();
        lines.extend(fold(&block, &titles, true).iter().map(|line| paint.dim(line)));
        let across = block.iter().map(|column| column.width + GAP).sum::<usize>().saturating_sub(GAP);
        lines.push(paint.dim(&"-".repeat(across)));
        let are_tall = block.iter().any(|column| column.cells.iter().any(|cell| length(cell) > column.width));
        for (row, noise) in noise.iter().enumerate() {
            let cells: Vec<&str> = block.iter().map(|column| column.cells[row]).collect();
            if are_tall && row > 0 && block.iter().all(|column| !column.is_numeric) {
                lines.push(String::new());
            }
            lines.extend(fold(&block, &cells, false));
            if let Some(noise) = noise.filter(|_| number + 1 == blocks.len()) {
                lines.push(paint.yellow(&format!("  ! noisy: {noise}")));
            }
        }
    }
    lines
}

/// Takes width from the widest text until all fit, or no word is left whole.
fn squeeze(columns: &mut [Column<'_>], width: usize) {
    loop {
        let across: usize = columns.iter().map(|column| column.width + GAP).sum();
        if across <= width + GAP {
            return;
        }
        let widest = columns
            .iter_mut()
            .filter(|column| column.width > column.least())
            .max_by_key(|column| column.width);
        let Some(widest) = widest else { return };
        widest.width -= 1;
    }
}

/// Which columns stand side by side: the leading texts, which say what a row is, are repeated in each block.
fn blocks(columns: &[Column<'_>], width: usize) -> Vec<Vec<usize>> {
    let keys = columns.iter().take_while(|column| !column.is_numeric).count();
    let keys = if keys == columns.len() { 0 } else { keys };
    let lead: usize = columns[..keys].iter().map(|column| column.width + GAP).sum();
    let mut blocks: Vec<Vec<usize>> = Vec::new();
    let mut used = usize::MAX;
    for (number, column) in columns.iter().enumerate().skip(keys) {
        if used.saturating_add(column.width) > width {
            blocks.push((0..keys).collect());
            used = lead;
        }
        used += column.width + GAP;
        if let Some(block) = blocks.last_mut() {
            block.push(number);
        }
    }
    blocks
}

/// One row, as many lines high as its highest cell; titles stand at the bottom.
fn fold(columns: &[&Column<'_>], cells: &[&str], at_bottom: bool) -> Vec<String> {
    let folded: Vec<Vec<String>> =
        columns.iter().zip(cells).map(|(column, cell)| wrap(cell, column.width)).collect();
    let height = folded.iter().map(Vec::len).max().unwrap_or(0);
    let line = |number: usize| {
        let mut line = String::new();
        for (column, cell) in columns.iter().zip(&folded) {
            let above = if at_bottom { height - cell.len() } else { 0 };
            let part =
                number.checked_sub(above).and_then(|number| cell.get(number)).map_or("", String::as_str);
            let room = " ".repeat(column.width.saturating_sub(length(part)));
            if column.is_numeric {
                line.push_str(&room);
                line.push_str(part);
            } else {
                line.push_str(part);
                line.push_str(&room);
            }
            line.push_str(&" ".repeat(GAP));
        }
        line.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// Folded between words; a word that is longer stays whole.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if length(line) + 1 + length(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn length(text: &str) -> usize {
    text.chars().count()
}
