//! `tarn sql`: one query, and its answer.

use std::io::Read;

use clap::Args;
use comfy_table::CellAlignment;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    export::{Export, ExportArgs},
    figures, output,
};
use crate::{
    client::{Client, JSON, ServiceArgs},
    exit::Failure,
    progress,
    stores::table,
};

const PATH: [&str; 2] = ["v1", "sql"];

/// `tarn sql`.
#[derive(Debug, Args)]
pub(crate) struct SqlCommand {
    /// A query that reads, like 'SELECT device, max(value) FROM readings GROUP BY device'; - is the standard input
    #[arg(value_name = "QUERY")]
    query: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    export: ExportArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

/// An answer.
#[derive(Debug, Deserialize)]
struct Answer {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    missing: Vec<Value>,
    took_ms: u64,
    truncated: bool,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

pub(crate) async fn run(command: SqlCommand) -> Result<(), Failure> {
    let client = Client::new(&command.service)?;
    let export = command.export.open()?;
    let question = json!({ "sql": text_of(&command.query)? });
    let bar = progress::counter("rows");
    if let Some(export) = export {
        let rows = save(&client, &question, export).await;
        bar.finish_and_clear();
        return rows;
    }
    let answer = client.post(&PATH, &question, JSON).await?;
    let answer: Value = client.json(answer).await?;
    bar.finish_and_clear();
    if command.json {
        return output::print_json(&answer);
    }
    let answer = serde_json::from_value::<Answer>(answer);
    let answer = answer.map_err(|e| client.strange(e.to_string()))?;
    output::print(&answer.text())?;
    // What does not belong to the table must not be taken for a row.
    eprintln!("{}", answer.note());
    Ok(())
}

/// The query: given, or from standard input.
fn text_of(query: &str) -> Result<String, Failure> {
    if query != "-" {
        return Ok(query.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|e| Failure::usage(format!("the standard input cannot be read: {e}")))?;
    Ok(text)
}

/// Have the answer in a file.
async fn save(client: &Client, question: &Value, mut file: Export) -> Result<(), Failure> {
    let answer = client.post(&PATH, question, file.accept()).await?;
    let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
    let truncated = header("tarn-truncated").is_some_and(|said| said == "true");
    let missing = header("tarn-missing-chunks").and_then(|count| count.parse().ok());
    let body = answer.bytes().await;
    file.add(body.map_err(|e| client.unreachable(&e))?)?;
    file.finish()?;
    for note in notes(truncated, missing.unwrap_or(0)) {
        eprintln!("tarn: {note}");
    }
    Ok(())
}

impl Answer {
    /// The table, without a line where there is no row.
    fn text(&self) -> String {
        let heads: Vec<String> = self
            .columns
            .iter()
            .map(|c| figures::shown(&c.name))
            .collect();
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        let mut table = table(&heads, 0..0);
        for (at, column) in self.columns.iter().enumerate() {
            if let (true, Some(column)) = (is_number(&column.kind), table.column_mut(at)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for row in &self.rows {
            table.add_row(row.iter().map(cell));
        }
        format!("{}\n", table.trim_fmt())
    }

    fn note(&self) -> String {
        let rows = figures::count(self.rows.len() as u64);
        let mut note = format!("{rows} rows in {} ms", self.took_ms);
        for more in notes(self.truncated, self.missing.len()) {
            note += "; ";
            note += &more;
        }
        note
    }
}

/// What the rows do not say themselves.
fn notes(truncated: bool, missing: usize) -> Vec<String> {
    let cut = "the service cut the rest off: ask for less at a time".to_owned();
    let absent = format!("{missing} chunks could not be read: their readings are absent");
    let cut = truncated.then_some(cut);
    cut.into_iter()
        .chain((missing > 0).then_some(absent))
        .collect()
}

/// By its Arrow type.
fn is_number(kind: &str) -> bool {
    ["Int", "UInt", "Float", "Decimal"]
        .iter()
        .any(|numbers| kind.starts_with(numbers))
}

/// A value as it stands in a table: without quotes, and nothing for null.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => figures::shown(text),
        Value::Number(number) => number.to_string(),
        other => figures::shown(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_a_table() {
        let answer = json!({
            "columns": [{"name": "device", "type": "Utf8"}, {"name": "n", "type": "Int64"}, {"name": "value", "type": "Float64"}],
            "rows": [["hall", 10, null], ["a\u{1b}b", 9, 2.5], ["ok", 1, true]],
            "missing": [], "took_ms": 12, "truncated": true,
        });
        let answer: Answer = serde_json::from_value(answer).expect("as the document has it");
        let lines =
            " device   n  value\n hall    10\n a\u{fffd}b      9    2.5\n ok       1   true\n";
        assert_eq!(answer.text(), lines);
        assert_eq!(
            answer.note(),
            "3 rows in 12 ms; the service cut the rest off: ask for less at a time"
        );
        assert_eq!(notes(false, 2).len(), 1);
    }

    #[test]
    fn no_rows_leave_the_heads() {
        let answer = json!({
            "columns": [{"name": "n", "type": "Int64"}], "rows": [], "missing": [], "took_ms": 1, "truncated": false,
        });
        let answer: Answer = serde_json::from_value(answer).expect("as the document has it");
        assert_eq!(answer.text(), " n\n");
    }
}
