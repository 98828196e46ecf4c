//! `GET /metrics`.

use std::fs;

use crate::harness::{Harness, PEOPLE, Setup, Who};

#[test]
fn what_is_there_is_counted_and_nobody_is_named() {
    let server = Harness::start();
    server.create_graph("people", PEOPLE);
    server.create_graph("closed", PEOPLE);
    server.rows("people", "RETURN 1 AS one");
    server.get(Who::Reader, "/nothing/like/this");
    server
        .get(Who::Reader, "/metrics")
        .assert_problem(403, "forbidden");
    let answer = server.get(Who::ServerAdmin, "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer
            .header("content-type")
            .is_some_and(|given| given.starts_with("text/plain; version=0.0.4"))
    );
    for expected in [
        "trellis_graphs{state=\"registered\"} 2\n",
        "trellis_graphs{state=\"open\"} 1\n",
        "trellis_graphs{state=\"quarantined\"} 0\n",
        "trellis_config_drifted 0\n",
        "trellis_http_request_duration_seconds_count{route=\"/graphs/{graph_id}/query\",method=\"POST\",status=\"200\"} 1\n",
        "route=\"unmatched\",method=\"GET\",status=\"404\"",
    ] {
        assert!(answer.text.contains(expected), "{expected}{}", answer.text);
    }
    let value = |name: &str| {
        let line = answer.text.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        number.unwrap_or_else(|| panic!("{name}: {}", answer.text))
    };
    let taken = value("trellis_open_graphs_memory_bytes ");
    assert!(taken > 0.0 && taken < value("trellis_open_graphs_memory_limit_bytes "));
    for name in ["people", "nothing", "acme", "server-admin"] {
        assert!(!answer.text.contains(name), "{name} is a label");
    }
    fs::write(server.config_path(), server.config() + "# a note\n").expect("a file");
    let body = serde_json::json!({});
    assert!(
        server
            .get(Who::ServerAdmin, "/metrics")
            .text
            .contains("trellis_config_drifted 1\n")
    );
    assert_eq!(
        server
            .post(Who::ServerAdmin, "/admin/config/reload", &body)
            .status,
        200
    );
    let text = server.get(Who::ServerAdmin, "/metrics").text;
    assert!(
        text.contains("trellis_config_last_reload_success 1\n"),
        "{text}"
    );
    assert!(
        text.contains("trellis_config_last_reload_timestamp_seconds "),
        "{text}"
    );
}

#[test]
fn it_is_open_where_the_operator_says_so() {
    let setup = Setup::default();
    let config = setup
        .config
        .replace("  storage:", "  metrics_open: true\n  storage:");
    let server = Setup { config, ..setup }.start();
    assert_eq!(server.get(Who::Nobody, "/metrics").status, 200);
    server
        .get(Who::Stranger, "/metrics")
        .assert_problem(401, "unauthenticated");
    let closed = Harness::start();
    closed
        .get(Who::Nobody, "/metrics")
        .assert_problem(401, "unauthenticated");
}
