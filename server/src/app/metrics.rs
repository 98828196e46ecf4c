//! What is counted, for a monitoring system.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use policy::{Action, Principal};

use super::{App, Error, blocking};
use crate::logging;
use crate::metrics::{heading, line};

/// `principal` is who asks, when they said so; the config may open this to everybody.
pub(crate) async fn run(
    app: &Arc<App>,
    principal: Option<&Arc<Principal>>,
) -> Result<String, Error> {
    let is_open = app.registry.snapshot().config.server.metrics_open;
    match principal {
        _ if is_open => {}
        Some(principal) => drop(app.permit_server(principal, Action::MetricsRead)?),
        None => return Err(Error::Unauthenticated),
    }
    let drifted = app.has_drifted().await;
    let worker = app.clone();
    blocking(move || Ok(text(&worker, drifted))).await
}

fn text(app: &App, drifted: bool) -> String {
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, lines: &[(&str, f64)]| {
        heading(&mut out, name, "gauge", help);
        for (labels, value) in lines {
            line(&mut out, name, labels, value);
        }
    };
    let snapshot = app.registry.snapshot();
    let tally = app.registry.tally();
    let graphs = [
        ("state=\"registered\"", snapshot.graphs.len() as f64),
        ("state=\"open\"", tally.open as f64),
        ("state=\"quarantined\"", tally.broken as f64),
    ];
    gauge("trellis_graphs", "How many graphs there are.", &graphs);
    gauge(
        "trellis_open_graphs_memory_bytes",
        "Memory that open graphs take together, about.",
        &[("", tally.memory_bytes as f64)],
    );
    gauge(
        "trellis_open_graphs_memory_fixed_bytes",
        "Of that, what cannot leave while they are open; above the limit, columns have a quarter of it.",
        &[("", tally.memory_fixed_bytes as f64)],
    );
    gauge(
        "trellis_open_graphs_memory_limit_bytes",
        "Memory that they may take; above it idle graphs are closed and columns leave.",
        &[("", tally.memory_limit_bytes as f64)],
    );
    let (running, waiting) = app.admission.tally();
    let queries = [
        ("state=\"running\"", running as f64),
        ("state=\"waiting\"", waiting as f64),
    ];
    gauge(
        "trellis_queries",
        "Queries that take their turns.",
        &queries,
    );
    let digest = format!("digest=\"{}\"", snapshot.digest);
    gauge(
        "trellis_config_info",
        "The config file that is served.",
        &[(&digest, 1.0)],
    );
    let drifted = f64::from(u8::from(drifted));
    gauge(
        "trellis_config_drifted",
        "Whether the file is another one.",
        &[("", drifted)],
    );
    if let Some(last) = app.last_reload() {
        let ok = f64::from(u8::from(last.applied));
        gauge(
            "trellis_config_last_reload_success",
            "Whether it was applied.",
            &[("", ok)],
        );
        let at = last.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = "trellis_config_last_reload_timestamp_seconds";
        gauge(name, "When it was.", &[("", at.as_secs_f64().floor())]);
    }
    let name = "trellis_log_lines_dropped_total";
    let help = "Lines of the log that nobody read in time.";
    heading(&mut out, name, "counter", help);
    line(&mut out, name, "", logging::dropped());
    app.metrics.write(&mut out);
    out
}
