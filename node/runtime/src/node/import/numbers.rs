//! Columns of tables that hold numbers. Every cell of a table is a text unless its column is named here.

use cosmicsync_data::json;
use cosmicsync_protocol::crdt::Value;
use std::collections::BTreeSet;

/// Number of rows that are looked at for columns of numbers.
const ROWS_LOOKED_AT: u64 = 200;
/// Largest number of columns in a hint.
const COLUMNS_SHOWN: usize = 8;

/// Returns the number that a cell holds; `None` if it holds another text.
fn number(cell: &str) -> Option<Value> {
    let value = json::parse(cell.trim().as_bytes()).ok()?;
    matches!(value, Value::Int(_) | Value::Float(_)).then_some(value)
}

/// Converts the named columns of a row to numbers; an empty cell becomes null.
///
/// # Errors
/// Returns the column and the text of a cell that holds no number.
pub(super) fn convert(mut row: Value, columns: &[String]) -> Result<Value, (String, String)> {
    let Value::Map(cells) = &mut row else { return Ok(row) };
    for column in columns {
        let Some(Value::Text(cell)) = cells.get(column) else { continue };
        let value = if cell.trim().is_empty() { Some(Value::Null) } else { number(cell) };
        let Some(value) = value else { return Err((column.clone(), cell.clone())) };
        cells.insert(column.clone(), value);
    }
    Ok(row)
}

/// Finds columns of texts that hold nothing but numbers.
#[derive(Debug, Default)]
pub(super) struct Hint {
    rows: u64,
    /// Columns with a number in some row.
    numbers: BTreeSet<String>,
    /// Columns with another text in some row.
    texts: BTreeSet<String>,
}

impl Hint {
    /// Looks at a row of a table.
    pub(super) fn see(&mut self, row: &Value) {
        self.rows += 1;
        let (Value::Map(cells), true) = (row, self.rows <= ROWS_LOOKED_AT) else { return };
        for (column, cell) in cells {
            let Value::Text(cell) = cell else { continue };
            if self.texts.contains(column) || cell.is_empty() {
                continue;
            }
            if number(cell).is_some() {
                self.numbers.insert(column.clone());
            } else {
                self.texts.insert(column.clone());
            }
        }
    }

    /// Returns the columns that hold nothing but numbers, without the column of the keys.
    pub(super) fn columns(&self, id_column: Option<&str>) -> Vec<String> {
        let found = self.numbers.difference(&self.texts).filter(|column| Some(column.as_str()) != id_column);
        found.take(COLUMNS_SHOWN).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, &str)]) -> Value {
        cells.iter().map(|(column, cell)| (*column, Value::from(*cell))).collect()
    }

    #[test]
    fn a_named_column_becomes_numbers() {
        let columns = ["n".to_owned(), "absent".to_owned()];
        for (cell, shown) in [("7", "7"), (" 1.50 ", "1.5"), ("-2e3", "-2000.0"), ("", "null"), ("  ", "null")] {
            let converted = convert(row(&[("n", cell), ("t", "7")]), &columns).expect("a number");
            assert_eq!(json::to_string(&converted), format!(r#"{{"n":{shown},"t":"7"}}"#), "{cell:?}");
        }
        for wrong in ["00501", "1,5", "+1", "true", "NaN", "\"1\"", "[1]", "99999999999999999999"] {
            let refused = convert(row(&[("n", wrong)]), &columns).expect_err(wrong);
            assert_eq!(refused, ("n".to_owned(), wrong.to_owned()));
        }
    }

    #[test]
    fn a_hint_names_columns_of_numbers_alone() {
        let mut hint = Hint::default();
        hint.see(&row(&[("id", "1"), ("pop", "10"), ("zip", "10001"), ("name", "a"), ("empty", "")]));
        hint.see(&row(&[("id", "2"), ("pop", ""), ("zip", "00501"), ("name", "2"), ("empty", "")]));
        assert_eq!(hint.columns(Some("id")), ["pop"]);
        assert_eq!(hint.columns(None), ["id", "pop"]);
    }
}
