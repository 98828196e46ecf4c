//! Results for people: tables on standard output, what they cost on standard error.

use std::io::{self, Write};

use api_types::{Column, Row};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::value;

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// The server's whole answer, as one JSON value.
    Json,
    /// One JSON object a row, and nothing else.
    Ndjson,
}

/// Writes text, and a newline, to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")
        .and_then(|()| output.flush())
        .map_err(Failure::output)
}

/// Writes a value as indented JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| Failure::output(io::Error::other(source)))?;
    print(&text)
}

/// Writes values as NDJSON.
pub(crate) fn print_ndjson(values: &[impl Serialize]) -> Result<(), Failure> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    let mut write_all = || -> io::Result<()> {
        for value in values {
            serde_json::to_writer(&mut output, value)?;
            output.write_all(b"\n")?;
        }
        output.flush()
    };
    write_all().map_err(Failure::output)
}

/// Writes the rows of a result as a table, numbers to the right.
pub(crate) fn print_rows(columns: &[Column], rows: &[Row]) -> Result<(), Failure> {
    print(&of_rows(columns, rows).trim_fmt())
}

/// Writes lines of text as a table.
pub(crate) fn print_lines<const N: usize>(
    header: [&str; N],
    lines: impl IntoIterator<Item = [String; N]>,
) -> Result<(), Failure> {
    let mut table = empty(header.iter().map(|name| (*name).to_owned()).collect());
    for line in lines {
        table.add_row(
            line.iter()
                .map(|text| value::printable(text))
                .collect::<Vec<_>>(),
        );
    }
    print(&table.trim_fmt())
}

fn empty(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

fn of_rows(columns: &[Column], rows: &[Row]) -> Table {
    let mut table = empty(
        columns
            .iter()
            .map(|column| value::printable(&column.name))
            .collect(),
    );
    for row in rows {
        table.add_row(
            columns
                .iter()
                .map(|column| row.get(&column.name).map_or_else(String::new, value::cell))
                .collect::<Vec<_>>(),
        );
    }
    for (position, column) in columns.iter().enumerate() {
        let numeric = |row: &Row| row.get(&column.name).is_some_and(Value::is_number);
        if rows.iter().any(numeric)
            && let Some(printed) = table.column_mut(position)
        {
            printed.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// `1 row`, `2 rows`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// `:Person` after what there are of them; nothing for the tables of an open graph, which nobody named.
pub(crate) fn of_type(name: &str) -> String {
    if name.starts_with('_') {
        return String::new();
    }
    format!(" :{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_follow_the_order_of_the_columns_and_numbers_stand_right() {
        let column = |name: &str| Column {
            name: name.to_owned(),
            value_type: "any".to_owned(),
        };
        let row = |value: Value| value.as_object().cloned().expect("an object");
        let rows = [
            row(json!({"n": 7, "name": "syn"})),
            row(json!({"n": 123, "name": null})),
        ];
        let mut table = of_rows(&[column("name"), column("n")], &rows);
        table.force_no_tty();
        let expected = "\
┌──────┬─────┐
│ name ┆   n │
╞══════╪═════╡
│ syn  ┆   7 │
│ null ┆ 123 │
└──────┴─────┘";
        assert_eq!(table.trim_fmt(), expected);
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(
            (counted(1, "row"), counted(0, "row")),
            ("1 row".to_owned(), "0 rows".to_owned())
        );
    }
}
