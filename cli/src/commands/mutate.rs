//! `trellis mutate`.

use api_types::{ChangeStats, MutateRequest, MutateResponse};
use clap::Args;

use crate::client::Client;
use crate::failure::Failure;
use crate::input::Statement;
use crate::table::{self, Format};

/// Arguments of `trellis mutate`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The graph; `.` for that of a server with one alone
    graph: String,
    #[command(flatten)]
    statement: Statement,
    /// What the commit says of itself
    #[arg(long)]
    message: Option<String>,
    /// Write only if this commit is still the newest
    #[arg(long, value_name = "COMMIT")]
    if_commit: Option<String>,
    /// Under this key the request is carried out once, however often it is sent
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: Arguments, client: &Client) -> Result<(), Failure> {
    let query = arguments.statement.text()?;
    let request = MutateRequest {
        query: Some(query.clone()),
        params: arguments.statement.parameters(),
        message: arguments.message,
        if_commit: arguments.if_commit,
        ..MutateRequest::default()
    };
    let result: MutateResponse = client
        .post_once(
            &["graphs", &arguments.graph, "mutate"],
            arguments.idempotency_key.as_deref(),
            &request,
        )
        .map_err(|failure| failure.about(&query))?;
    match arguments.format {
        Format::Json => table::print_json(&result),
        Format::Ndjson => table::print_ndjson(&result.rows),
        Format::Table => {
            if !result.columns.is_empty() {
                table::print_rows(&result.columns, &result.rows)?;
            }
            let commit = &result.commit;
            table::print(&format!(
                "{} (commit {} on {})",
                changes(&result.stats),
                commit.id,
                commit.branch
            ))
        }
    }
}

fn changes(stats: &ChangeStats) -> String {
    let counts = [
        (stats.nodes_created, "node", "created"),
        (stats.nodes_deleted, "node", "deleted"),
        (stats.edges_created, "relationship", "created"),
        (stats.edges_deleted, "relationship", "deleted"),
    ];
    let mut said: Vec<_> = counts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, noun, verb)| format!("{} {verb}", table::counted(count, noun)))
        .collect();
    match stats.properties_set {
        0 => {}
        1 => said.push("1 property set".to_owned()),
        more => said.push(format!("{more} properties set")),
    }
    if said.is_empty() {
        "nothing changed".to_owned()
    } else {
        said.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let stats = ChangeStats {
            nodes_created: 1,
            properties_set: 2,
            ..ChangeStats::default()
        };
        assert_eq!(changes(&stats), "1 node created, 2 properties set");
        assert_eq!(changes(&ChangeStats::default()), "nothing changed");
    }
}
