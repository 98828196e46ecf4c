//! What is wrong with a config file is said all at once, each with its path and its place.

#![allow(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that fails says why, and makes the files that people and crashes leave"
)]

use registry::config::{GraphKind, LogFormat, parse};
use registry::{Error, Options, Registry};

#[test]
fn every_problem_has_its_path_and_place() {
    let cases: [(&str, &[&str]); 26] = [
        ("", &["the file is empty or no mapping"]),
        ("- a\n", &["the file is empty or no mapping"]),
        ("server: {}\n", &["version: missing"]),
        (
            "version: 2\n",
            &["1:1: version: version 2 is not supported"],
        ),
        (
            "version: '1'\n",
            &["1:1: version: version '1' is not supported"],
        ),
        (
            "version: 1\nsever: {}\n",
            &["2:1: sever: unknown key; did you mean \"server\"?"],
        ),
        (
            "version: 1\nzzz: {}\n",
            &["2:1: zzz: unknown key; known here: version, server, auth, groups, graphs"],
        ),
        (
            "version: 1\nserver:\n  storgae: x\n  Bind: y:1\n",
            &[
                "3:3: server.storgae: unknown key; did you mean \"storage\"?",
                "4:3: server.Bind: unknown key; did you mean \"bind\"?",
            ],
        ),
        (
            "version: 1\ngraphs:\n  a: {url: x}\n",
            &[
                "3:3: graphs.a.uri: missing",
                "3:7: graphs.a.url: unknown key; did you mean \"uri\"?",
            ],
        ),
        (
            "version: 1\ngraphs:\n  a: {uri: x, policy: {fiel: p}}\n",
            &[
                "graphs.a.policy: missing field `file`",
                "graphs.a.policy.fiel: unknown key; did you mean \"file\"?",
            ],
        ),
        (
            "version: 1\ngraphs:\n  a:\n",
            &["3:3: graphs.a.uri: missing; every graph needs a uri"],
        ),
        (
            "version: 1\ngraphs:\n  a: { uri: '' }\n",
            &["3:8: graphs.a.uri: must not be empty"],
        ),
        (
            "version: 1\ngraphs:\n  a: { uri: [x] }\n",
            &["3:8: graphs.a.uri: invalid type: sequence"],
        ),
        (
            "version: 1\ngraphs:\n  a: { uri: x, graph_type: ajar }\n",
            &["3:16: graphs.a.graph_type: unknown variant `ajar`, expected `closed` or `open`"],
        ),
        (
            "version: 1\ngraphs:\n  a_b: { uri: x }\n",
            &["3:3: graphs.a_b: a graph id is made of"],
        ),
        (
            "version: 1\ngraphs:\n  Metrics: { uri: x }\n",
            &["graphs.Metrics: the graph id \"metrics\" is reserved"],
        ),
        (
            "version: 1\ngraphs:\n  12: { uri: x }\n",
            &["3:3: graphs.12: a graph id must be text; write it in quotes: \"12\""],
        ),
        (
            "version: 1\ngraphs:\n  a: { uri: x }\n  A: { uri: y }\n",
            &["4:3: graphs.A: the graph \"a\" has the same id"],
        ),
        (
            "version: 1\ngraphs: [a]\n",
            &["2:1: graphs: expected graph ids"],
        ),
        (
            "version: 1\ngraphs:\n  a: { uri: x }\n  a: { uri: y }\n",
            &["not valid YAML: graphs: duplicate entry with key \"a\""],
        ),
        (
            "version: 1\nserver: {bind: 8080, limits: {max_rows: 0, query_timeout_ms: soon}}\n",
            &[
                "server.bind: invalid type: integer",
                "server.limits.max_rows: ",
                "server.limits.query_timeout_ms: ",
            ],
        ),
        (
            "version: 1\nserver: { bind: localhost }\n",
            &["server.bind: \"localhost\" is no address and port"],
        ),
        (
            "version: 1\nauth: { issuers: [{ url: x }] }\n",
            &["2:9: auth.issuers: JWT issuers are not supported yet"],
        ),
        (
            "version: 1\ngroups: { a: b }\n",
            &["2:11: groups.a: invalid type: string"],
        ),
        ("version: 1\nserver: [\n", &["not valid YAML"]),
        ("version: 1\n---\nversion: 1\n", &["not valid YAML"]),
    ];
    for (text, expect) in cases {
        let problems = parse(text).expect_err(text);
        let mut found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for expect in expect {
            let at = found.iter().position(|problem| problem.contains(expect));
            let Some(at) = at else {
                panic!("{text:?}\nexpected {expect:?}\nfound {found:#?}")
            };
            found.remove(at);
        }
        assert!(
            found.is_empty(),
            "{text:?}: more than was expected: {found:#?}"
        );
    }
}

#[test]
fn sound_files_read() {
    for text in [
        "version: 1",
        "version: 1\ngraphs:\n",
        "version: 1\ngraphs: {}\n",
        "version: 1\nserver:\nauth:\ngroups:\ngraphs: ~\n",
        "\u{feff}version: 1\r\ngraphs: {}\r\n",
        "{\"version\": 1, \"graphs\": {}}",
        "---\nversion: 1\n...\n",
    ] {
        let config = parse(text)
            .unwrap_or_else(|problems| panic!("{text:?}: {problems:?}"))
            .config;
        assert!(config.graphs.is_empty());
        assert_eq!(config.server.bind, "127.0.0.1:8080");
        assert_eq!(config.server.limits.json_body_bytes.get(), 32 << 20);
    }
    let config = parse(
        "version: 1\nserver: { bind: '[::1]:1', log: { format: json }, limits: { max_rows: 7 } }\ngroups: { g: [a, b] }\ngraphs:\n  b: &b { uri: x, tenant: t }\n  a: { <<: *b, uri: y, graph_type: open }\n",
    )
    .expect("sound")
    .config;
    assert_eq!(config.server.log.format, LogFormat::Json);
    assert_eq!(config.server.limits.max_rows.get(), 7);
    assert_eq!(config.groups["g"], ["a", "b"]);
    let ids: Vec<&str> = config
        .graphs
        .iter()
        .map(|(graph_id, _)| graph_id.as_str())
        .collect();
    assert_eq!(ids, ["b", "a"], "in the order of the file");
    assert_eq!(config.graphs[1].1.tenant.as_deref(), Some("t"));
    assert_eq!(config.graphs[1].1.graph_type, Some(GraphKind::Open));
}

#[test]
fn places_of_graphs_are_judged_together() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trellis.yaml");
    std::fs::create_dir(folder.path().join("data")).expect("created");
    std::os::unix::fs::symlink("data", folder.path().join("link")).expect("linked");
    let text = "version: 1\ngraphs:\n  a: { uri: data/a }\n  b: { uri: link/x/../a/ }\n  c: { uri: gs://bucket }\n  d: { uri: . }\n  e: { uri: data/a/e }\n  f: { uri: .trellis/f }\n  g: { uri: data/g }\n";
    std::fs::write(&path, text).expect("written");
    let error = Registry::open(&path, Options::default()).expect_err("unsound");
    let Error::InvalidConfig { problems, .. } = error else {
        panic!("{error}")
    };
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expect = [
        "4:8: graphs.b.uri: the graph \"a\" has the same folder",
        "5:8: graphs.c.uri: the scheme gs:// is not supported yet",
        "6:8: graphs.d.uri: \".\" cannot hold a graph: it is the config file's folder",
        "7:8: graphs.e.uri: lies inside the folder of the graph \"a\"",
        "8:8: graphs.f.uri: \".trellis/f\" cannot hold a graph",
    ];
    assert_eq!(found.len(), expect.len(), "{found:#?}");
    for (found, expect) in found.iter().zip(expect) {
        assert!(found.starts_with(expect), "{found}\n{expect}");
    }
}

/// The example that is shipped is sound, and every key that exists is explained in it.
#[test]
fn the_example_is_sound_and_whole() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/trellis.example.yaml");
    let text = std::fs::read_to_string(path).expect("the example");
    let parsed = parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(parsed.config.server.storage.as_deref(), Some("../data"));
    for key in [
        "version",
        "server",
        "bind",
        "storage",
        "allow_roots",
        "policy",
        "file",
        "limits",
        "json_body_bytes",
        "load_body_bytes",
        "query_timeout_ms",
        "max_rows",
        "query_memory_bytes",
        "log",
        "level",
        "format",
        "auth",
        "tokens_file",
        "issuers",
        "groups",
        "graphs",
        "uri",
        "tenant",
        "labels",
        "graph_type",
    ] {
        assert!(text.contains(&format!("{key}:")), "{key} is not explained");
    }
    let tokens =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tokens.example.yaml");
    let entries = registry::config::tokens::read_as::<policy::TokenEntry>(&tokens).expect("sound");
    assert!(entries.contains_key("alice"));
}

#[test]
fn how_long_history_is_kept_is_a_number_and_a_unit() {
    let read = |text: &str| {
        parse(&format!(
            "version: 1\nserver: {{ history_retention: {text} }}\n"
        ))
    };
    let cases = [
        ("0", 0),
        ("45s", 45),
        ("30m", 1_800),
        ("12h", 43_200),
        ("7d", 604_800),
    ];
    for (text, seconds) in cases {
        let kept = read(text).expect("sound").config.server.history_retention;
        assert_eq!(kept.seconds(), seconds, "{text}");
    }
    let default = parse("version: 1\n").expect("sound").config.server;
    assert_eq!(default.history_retention.seconds(), 604_800);
    for text in [
        "7",
        "-1d",
        "1.5h",
        "week",
        "''",
        "[1d]",
        "99999999999999999999d",
        "7dd",
    ] {
        let problems = read(text).expect_err(text);
        assert!(
            problems[0].to_string().contains("history_retention")
                || problems[0].to_string().contains("span of time"),
            "{problems:?}"
        );
    }
}
