//! One row of an answer, by column name: the order and number of columns differ between versions.

/// Names and values as text; NULL is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    cells: Vec<(String, Option<String>)>,
}

impl Row {
    /// The value of the first column of these names, whatever their case; `None` for NULL and for a column that is not
    /// there.
    pub fn get(&self, names: &[&str]) -> Option<&str> {
        let cell = names.iter().find_map(|name| self.cell(name))?;
        cell.as_deref()
    }

    /// Whether there is such a column, NULL or not.
    pub fn has(&self, name: &str) -> bool {
        self.cell(name).is_some()
    }

    /// The value as a number.
    pub fn number(&self, names: &[&str]) -> Option<u64> {
        self.get(names)?.trim().parse().ok()
    }

    /// ON, 1, YES and TRUE.
    pub fn flag(&self, names: &[&str]) -> Option<bool> {
        let value = self.get(names)?;
        Some(["1", "ON", "YES", "TRUE"].iter().any(|yes| value.eq_ignore_ascii_case(yes)))
    }

    /// The value in this place, counted from 0.
    pub fn at(&self, index: usize) -> Option<&str> {
        self.cells.get(index)?.1.as_deref()
    }

    /// Names and values, in the answer's order.
    pub fn cells(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.cells.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    fn cell(&self, name: &str) -> Option<&Option<String>> {
        self.cells.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl FromIterator<(String, Option<String>)> for Row {
    fn from_iter<T: IntoIterator<Item = (String, Option<String>)>>(cells: T) -> Self {
        Self { cells: cells.into_iter().collect() }
    }
}

/// `name`, `value` rows (`SHOW VARIABLES`, `SHOW STATUS`) as one row.
pub fn transpose(rows: &[Row]) -> Row {
    let pair = |row: &Row| Some((row.at(0)?.to_owned(), row.at(1).map(str::to_owned)));
    rows.iter().filter_map(pair).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A recorded answer in the form of `\G`: `Name: value` a line, `NULL` for NULL.
    pub(crate) fn recorded(text: &str) -> Row {
        let cell = |line: &str| {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            Some((name.trim().to_owned(), (value != "NULL").then(|| value.to_owned())))
        };
        text.lines().filter_map(cell).collect()
    }

    #[test]
    fn columns_are_found_by_any_of_their_names() {
        let row = recorded("Slave_IO_Running: Yes\nSeconds_Behind_Master: NULL\nServer_id: 2\nread_only: ON");
        assert_eq!(row.get(&["Replica_IO_Running", "slave_io_running"]), Some("Yes"));
        assert_eq!(row.get(&["Seconds_Behind_Master"]), None);
        assert!(row.has("Seconds_Behind_Master") && !row.has("Seconds_Behind_Source"));
        assert_eq!((row.number(&["server_id"]), row.flag(&["read_only"])), (Some(2), Some(true)));
    }

    #[test]
    fn variables_become_one_row() {
        let rows = [("a", "1"), ("b", "OFF")].map(|(name, value)| {
            [("Variable_name", name), ("Value", value)]
                .map(|(k, v)| (k.to_owned(), Some(v.to_owned())))
                .into_iter()
                .collect()
        });
        let row = transpose(&rows);
        assert_eq!((row.number(&["A"]), row.flag(&["b"])), (Some(1), Some(false)));
    }
}
