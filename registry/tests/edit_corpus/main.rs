//! The edit against every style of YAML that an operator may write: exact, or refused, never
//! damaged.

#![allow(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that fails says why, and makes the files that people and crashes leave"
)]

mod manners;

use registry::GraphId;
use registry::config::edit::{EditError, add_graph, remove_graph};
use registry::config::{GraphEntry, PolicyFile, parse};

fn id(text: &str) -> GraphId {
    GraphId::parse(text).expect("a valid id")
}

fn entry(uri: &str) -> GraphEntry {
    GraphEntry {
        uri: uri.to_owned(),
        ..GraphEntry::default()
    }
}

/// Every old line is still there, byte for byte and in order; at most `changed` lines differ.
fn kept_lines(old: &str, new: &str) -> usize {
    let mut rest = new.lines();
    old.lines()
        .filter(|line| {
            !rest.clone().any(|other| other == *line) || {
                rest.by_ref().find(|other| other == line);
                false
            }
        })
        .count()
}

/// Adds `new` and checks the whole text.
#[track_caller]
fn becomes(old: &str, expect: &str) {
    let found = add_graph(old, &id("new"), &entry("../data/new"))
        .unwrap_or_else(|error| panic!("{error}\n{old}"));
    assert_eq!(
        found, expect,
        "\n--- found\n{found}\n--- expected\n{expect}"
    );
}

const HEAD: &str = "version: 1\n";

#[test]
fn block_styles_exactly() {
    let cases: [(&str, &str); 24] = [
        // after the last entry
        (
            "graphs:\n  a:\n    uri: d/a\n",
            "graphs:\n  a:\n    uri: d/a\n  new:\n    uri: ../data/new\n",
        ),
        // no final newline stays none
        (
            "graphs:\n  a:\n    uri: d/a",
            "graphs:\n  a:\n    uri: d/a\n  new:\n    uri: ../data/new",
        ),
        // line comment on the last line
        (
            "graphs:\n  a:\n    uri: d/a # fast\n",
            "graphs:\n  a:\n    uri: d/a # fast\n  new:\n    uri: ../data/new\n",
        ),
        // a deeper comment belongs to the last entry
        (
            "graphs:\n  a:\n    uri: d/a\n    # tenant: x\n",
            "graphs:\n  a:\n    uri: d/a\n    # tenant: x\n  new:\n    uri: ../data/new\n",
        ),
        // comments at the file's end stay there
        (
            "graphs:\n  a:\n    uri: d/a\n# the end\n",
            "graphs:\n  a:\n    uri: d/a\n  new:\n    uri: ../data/new\n# the end\n",
        ),
        (
            "graphs:\n  a:\n    uri: d/a\n\n# the end\n",
            "graphs:\n  a:\n    uri: d/a\n  new:\n    uri: ../data/new\n\n# the end\n",
        ),
        // sections after
        (
            "graphs:\n  a:\n    uri: d/a\n\ngroups:\n  g: [x]\n",
            "graphs:\n  a:\n    uri: d/a\n  new:\n    uri: ../data/new\n\ngroups:\n  g: [x]\n",
        ),
        // blank lines between entries are the manner of the file
        (
            "graphs:\n  a:\n    uri: d/a\n\n  b:\n    uri: d/b\n",
            "graphs:\n  a:\n    uri: d/a\n\n  b:\n    uri: d/b\n\n  new:\n    uri: ../data/new\n",
        ),
        (
            "graphs:\n  a:\n    uri: d/a\n\n  # two\n  b:\n    uri: d/b\n",
            "graphs:\n  a:\n    uri: d/a\n\n  # two\n  b:\n    uri: d/b\n\n  new:\n    uri: ../data/new\n",
        ),
        // indentation of four, of one, uneven
        (
            "graphs:\n    a:\n        uri: d/a\n",
            "graphs:\n    a:\n        uri: d/a\n    new:\n        uri: ../data/new\n",
        ),
        (
            "graphs:\n a:\n  uri: d/a\n",
            "graphs:\n a:\n  uri: d/a\n new:\n  uri: ../data/new\n",
        ),
        (
            "graphs:\n   a:\n        uri: d/a\n",
            "graphs:\n   a:\n        uri: d/a\n   new:\n        uri: ../data/new\n",
        ),
        // flow entries in a block
        (
            "graphs:\n  a: {uri: d/a}\n",
            "graphs:\n  a: {uri: d/a}\n  new:\n    uri: ../data/new\n",
        ),
        (
            "graphs:\n  a: {\n    uri: d/a\n  }\n",
            "graphs:\n  a: {\n    uri: d/a\n  }\n  new:\n    uri: ../data/new\n",
        ),
        // missing, empty, null
        ("", "graphs:\n  new:\n    uri: ../data/new\n"),
        ("graphs:\n", "graphs:\n  new:\n    uri: ../data/new\n"),
        (
            "graphs: # none yet\n",
            "graphs: # none yet\n  new:\n    uri: ../data/new\n",
        ),
        (
            "graphs:\n  # put graphs here\ngroups: {}\n",
            "graphs:\n  # put graphs here\n  new:\n    uri: ../data/new\ngroups: {}\n",
        ),
        ("graphs: {}\n", "graphs:\n  new:\n    uri: ../data/new\n"),
        (
            "graphs: {}   # none yet\n",
            "graphs:   # none yet\n  new:\n    uri: ../data/new\n",
        ),
        ("graphs: null\n", "graphs:\n  new:\n    uri: ../data/new\n"),
        (
            "graphs: ~ # none\ngroups: {}\n",
            "graphs: # none\n  new:\n    uri: ../data/new\ngroups: {}\n",
        ),
        // quoted keys
        (
            "\"graphs\":\n  'a':\n    \"uri\": 'd/a'\n",
            "\"graphs\":\n  'a':\n    \"uri\": 'd/a'\n  new:\n    uri: ../data/new\n",
        ),
        // document end
        (
            "graphs:\n  a:\n    uri: d/a\n...\n",
            "graphs:\n  a:\n    uri: d/a\n  new:\n    uri: ../data/new\n...\n",
        ),
    ];
    for (old, expect) in cases {
        becomes(&format!("{HEAD}{old}"), &format!("{HEAD}{expect}"));
        // The same with Windows line endings.
        let windows = |text: &str| format!("{HEAD}{text}").replace('\n', "\r\n");
        becomes(&windows(old), &windows(expect));
    }
}

#[test]
fn flow_styles_exactly() {
    let cases: [(&str, &str); 12] = [
        (
            "graphs: {a: {uri: d/a}}\n",
            "graphs: {a: {uri: d/a}, new: { uri: ../data/new }}\n",
        ),
        (
            "graphs: { a: { uri: d/a } }\n",
            "graphs: { a: { uri: d/a }, new: { uri: ../data/new } }\n",
        ),
        (
            "graphs: { a: { uri: d/a }, } # x\n",
            "graphs: { a: { uri: d/a }, new: { uri: ../data/new }, } # x\n",
        ),
        (
            "graphs: {\"a\": {\"uri\": \"d/a\"}}\n",
            "graphs: {\"a\": {\"uri\": \"d/a\"}, new: { uri: ../data/new }}\n",
        ),
        (
            "graphs: {\n  a: { uri: d/a }, # one\n  b: { uri: d/b } # two\n}\n",
            "graphs: {\n  a: { uri: d/a }, # one\n  b: { uri: d/b }, # two\n  new: { uri: ../data/new }\n}\n",
        ),
        (
            "graphs: {\n  a: { uri: d/a }, # one\n  b: { uri: d/b }, # two\n}\n",
            "graphs: {\n  a: { uri: d/a }, # one\n  b: { uri: d/b }, # two\n  new: { uri: ../data/new },\n}\n",
        ),
        (
            "graphs: {\n  # none, yet\n  }\n",
            "graphs: { new: { uri: ../data/new } \n  # none, yet\n  }\n",
        ),
        (
            "graphs:\n  { a: { uri: d/a } }\n",
            "graphs:\n  { a: { uri: d/a }, new: { uri: ../data/new } }\n",
        ),
        (
            "graphs: &all\n  a:\n    uri: d/a\n",
            "graphs: &all\n  a:\n    uri: d/a\n  new:\n    uri: ../data/new\n",
        ),
        (
            "graphs: !!map\n  a:\n    uri: d/a\n",
            "graphs: !!map\n  a:\n    uri: d/a\n  new:\n    uri: ../data/new\n",
        ),
        (
            "graphs:\n  a: &a\n    uri: d/a\n  b:\n    <<: *a\n    uri: d/b\n",
            "graphs:\n  a: &a\n    uri: d/a\n  b:\n    <<: *a\n    uri: d/b\n  new:\n    uri: ../data/new\n",
        ),
        (
            "graphs:\n  a:\n    uri: |-\n      d/a\n",
            "graphs:\n  a:\n    uri: |-\n      d/a\n  new:\n    uri: ../data/new\n",
        ),
    ];
    for (old, expect) in cases {
        becomes(&format!("{HEAD}{old}"), &format!("{HEAD}{expect}"));
    }
    becomes(
        "{version: 1}",
        "{version: 1, graphs: { new: { uri: ../data/new } }}",
    );
    becomes(
        "{version: 1, graphs: {}}\n",
        "{version: 1, graphs: { new: { uri: ../data/new } }}\n",
    );
    becomes(
        "{\"version\": 1, \"graphs\": {\"a\": {\"uri\": \"d/a\"}}, \"groups\": {}}",
        "{\"version\": 1, \"graphs\": {\"a\": {\"uri\": \"d/a\"}, new: { uri: ../data/new }}, \"groups\": {}}",
    );
    becomes(
        "  version: 1\n  graphs:\n    a: {uri: d/a}\n",
        "  version: 1\n  graphs:\n    a: {uri: d/a}\n    new:\n      uri: ../data/new\n",
    );
    becomes(
        "---\n# top\nversion: 1\n",
        "---\n# top\nversion: 1\ngraphs:\n  new:\n    uri: ../data/new\n",
    );
    becomes(
        "%YAML 1.1\n---\nversion: 1\n...\n",
        "%YAML 1.1\n---\nversion: 1\ngraphs:\n  new:\n    uri: ../data/new\n...\n",
    );
    becomes(
        "\u{feff}version: 1\n",
        "\u{feff}version: 1\ngraphs:\n  new:\n    uri: ../data/new\n",
    );
}

/// Whatever an operator may think of: the edit is right (this test checks it without the edit's
/// own proof) or refused.
#[test]
fn odd_styles_are_edited_or_refused_but_never_damaged() {
    let odd = [
        "version: 1\ngraphs:\n  a:\n    uri: 'd\n\n      a'\n",
        "version: 1\ngraphs:\n  a:\n    uri: \"d\\\n      /a\"\nserver:\n  bind: x:1\n",
        "version: 1\ngraphs:\n  a:\n    uri: >-\n      d/a\n      # not a comment\ngroups: {}\n",
        "version: 1\ngraphs:\n  a:\n    uri: |\n      d/a\n    # a comment\n\n\n",
        "version: 1\nnote: |\n  graphs:\n    a: x\ngraphs:\n  a: {uri: d/a}\n",
        "version: 1\n# graphs:\n#   a: x\ngraphs:\n  a: {uri: d/a}\n# graphs:\n",
        "? version\n: 1\n? graphs\n: a: {uri: d/a}\n",
        "version: 1\ngraphs:\n  ? a\n  : uri: d/a\n",
        "version: 1\nbase: &b {a: {uri: d/a}}\ngraphs: *b\n",
        "version: 1\ngraphs: &g {}\nother: *g\n",
        "version: 1\ngraphs: &g {a: {uri: x}}\nother: *g\n",
        "version: 1\ngraphs: &g\n  a: {uri: x}\nother: *g\n",
        "version: 1\ngraphs: [a]\n",
        "version: 1\ngraphs: text\n",
        "version: 1\ngraphs: !!map {}\n",
        "version: 1\ngraphs: !custom\n  a: {uri: x}\n",
        "version: 1\ngraphs:\t# a tab\n  a:\t{uri: d/a}\t# and more\n",
        "version: 1\ngraphs:\n  a:\n    uri: d/a\n  \n \n\t\n",
        "version: 1\ngraphs:\n  a:\n    uri: d/a\n --- \n",
        "version: 1\n---\nversion: 1\n",
        "version: 1\ngraphs:\n  a: {uri: d/a}\n  a: {uri: d/b}\n",
        "version: 1\ngraphs: {}\ngraphs: {}\n",
        "- version: 1\n",
        "version: 1",
        "version: 1\n\n\n",
        "version: 1\n# last words",
        "version: 1\ngraphs:",
        "version: 1\ngraphs: ",
        "version: 1\ngraphs: {} # x",
        "version: 1\ngraphs: {a: {uri: d/a}} # x",
        "version: 1\ngraphs: {a: {uri: d/a}\n  , b: {uri: d/b}\n  , }\n",
        "version: 1\ngraphs: {a: {uri: 'd,}#a'}}\n",
        "version: 1\ngraphs: {a: {uri: \"d}/a\"} # }\n }\n",
        "version: 1\ngraphs: {a: {uri: d/a} # , comment\n }\n",
        "version: 1\ngraphs: {\n\n  a: {uri: d/a}\n\n}\n\ngroups: {}\n",
        "version: 1\ngraphs: { a: {\n uri: d/a },\n b: { uri: d/b\n }}\n",
        "graphs:\n  a: {uri: d/a}\nversion: 1\n",
        "graphs: {a: {uri: d/a}}\nversion: 1",
        "graphs:\nversion: 1",
        "graphs: {}\nversion: 1",
        "version: 1\r\ngraphs:\r\n  a:\r\n    uri: d/a\r\n",
        "version: 1\r\ngraphs:\n  a:\r\n    uri: d/a\n",
        "version: 1\rgraphs:\r  a:\r    uri: d/a\r",
        "version: 1\n\"graphs\" :\n  a : {uri: d/a}\n",
        "version: 1\ngraphs:   \n\n\n  a:\n\n    uri: d/a\n\n\n\n  b:\n    uri: d/b\n\n",
        "version: 1\ngraphs:\n# at the margin\n  a:\n# again\n    uri: d/a\n# and again\n  b:\n    uri: d/b\n# last\n",
        "version: 1\ngraphs:\n  a:\n    uri: d/ä # ö\n  \"b\": {\"uri\": \"d/\\u00e9\"}\n",
        "version: 1\ngraphs:\n  a: {uri: d/a}\n...\n# after the end\n",
        "# before\n--- # start\nversion: 1\n# end\n...\n",
        "version: 1\ngraphs:\n  a:\n    uri: d/a\n    policy: { file: p }\n    labels:\n      x: y\n      # z: 1\n\n  # more below\n\nauth: {}\n",
        "version: 1\ngraphs:\n  a:\n    uri: d/a\n    labels: { x: y,\n      z: w }\nauth: {}\n",
        "version: 1\ngraphs: {}\n  \n# x\n",
        "version: 1\ngraphs:\n  {}\n",
        "version: 1\ngraphs:\n  {a: {uri: d/a}}\nauth: {}\n",
        "version: 1\ngraphs:\n  null\n",
        "version: 1\ngraphs: Null\n",
        "version: 1\ngraphs: !!null\n",
        "version: 1\ngraphs: ''\n",
        "{version: 1, graphs: null}",
        "{version: 1, graphs: }",
        "{version: 1, graphs}",
        "{version: 1,\n graphs: {\n a: {uri: d/a}\n }\n}",
        "version: 1\n\tgraphs: {}\n",
        "",
        "# only comments\n",
        "\n\n",
        "not yaml: [\n",
    ];
    let mut edited = 0;
    for old in odd {
        let found = add_graph(old, &id("new"), &entry("../data/new"));
        let twice = found
            .as_ref()
            .ok()
            .map(|text| add_graph(text, &id("newer"), &entry("s p")));
        for (result, before) in [
            (Some(&found), Some(old)),
            (twice.as_ref(), found.as_deref().ok()),
        ] {
            let (Some(Ok(new)), Some(before)) = (result, before) else {
                continue;
            };
            edited += 1;
            let count = |text: &str| text.matches('#').count();
            assert_eq!(
                count(before),
                count(new),
                "a comment was lost\n{before}\n---\n{new}"
            );
            let lost = kept_lines(before, new);
            assert!(lost <= 1, "{lost} lines were touched\n{before}\n---\n{new}");
            let document: serde_yaml::Value = serde_yaml::from_str(new).expect("still YAML");
            assert_eq!(
                document["graphs"]["new"]["uri"].as_str(),
                Some("../data/new"),
                "{new}"
            );
        }
        if let (Ok(new), Some(Err(error))) = (&found, &twice) {
            panic!("the second edit was refused: {error}\n{new}");
        }
        if let Ok(new) = &found {
            let back = remove_graph(new, &id("NEW")).expect("removed again");
            let document: Option<serde_yaml::Value> = serde_yaml::from_str(&back).expect("YAML");
            assert!(
                document.is_some_and(|document| document["graphs"]["new"].is_null()),
                "{back}"
            );
        }
        if let Err(error) = &found {
            eprintln!("refused {old:?}: {error}");
        }
    }
    assert!(edited >= 80, "only {edited} edits were made");
}

/// Styles put together from parts: every one sound, every one edited, each old line kept.
#[test]
fn generated_styles_are_all_edited() {
    let heads = [
        "version: 1\n",
        "# top\nversion: 1 # one\n\n",
        "version: 1\nserver:\n   bind: a:1\n",
    ];
    let keys = ["graphs:\n", "graphs: # all\n", "\"graphs\":\n\n"];
    let firsts = ["", "  # first\n"];
    let entries = [
        "  a:\n    uri: d/a\n",
        "  'a': {uri: d/a} # flow\n",
        "  a:\n      # inside\n      uri: \"d/a\"  # x\n\n      tenant: t\n",
        "  # above\n  a:\n    uri: d/a\n    labels: {x: y}\n\n  b: { uri: d/b,\n    tenant: u }\n",
    ];
    let tails = [
        "",
        "\n",
        "  # in the block\n",
        "    # deeper\n",
        "\n# margin\n\ngroups: { g: [p] }\n",
        "auth: {}\n# end",
    ];
    let mut count = 0;
    for head in heads {
        for key in keys {
            for first in firsts {
                for entries in entries {
                    for tail in tails {
                        for ending in ["\n", "\r\n"] {
                            let old =
                                format!("{head}{key}{first}{entries}{tail}").replace('\n', ending);
                            let model = parse(&old).expect("sound").config;
                            let new = add_graph(&old, &id("new"), &entry("../data/new"))
                                .unwrap_or_else(|error| panic!("{error}\n{old}"));
                            assert_eq!(kept_lines(&old, &new), 0, "{old}\n---\n{new}");
                            let added = parse(&new).expect("sound").config;
                            let mut intended = model;
                            intended.graphs.push((id("new"), entry("../data/new")));
                            assert_eq!(added, intended, "{new}");
                            assert_eq!(
                                remove_graph(&new, &id("new")).expect("removed").trim_end(),
                                old.trim_end()
                            );
                            count += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(count, 864);
}

#[test]
fn every_field_and_every_text_reads_back() {
    let texts = [
        "plain",
        "../data/x",
        "./x",
        "/abs/x",
        "with space",
        "a: b",
        "a #b",
        "null",
        "Yes",
        "123",
        "1e5",
        "0x1f",
        "-",
        "-a",
        "~",
        "*a",
        "&a",
        "!a",
        "{a}",
        "[a]",
        "a,b",
        "a'b",
        "a\"b",
        "a\\b",
        "ünïcode",
        "\u{2028}line",
        "\u{85}next",
        "\u{feff}bom",
        "%x",
        "@x",
        "`x",
        "|",
        ">",
        "?",
        "a:",
        ":a",
        "file:///x y",
        "=",
        "2020-01-01",
        ".inf",
        "...",
        "---",
        "a\ttab",
        " lead",
        "trail ",
    ];
    for style in [
        "version: 1\ngraphs:\n  a: {uri: d}\n",
        "version: 1\ngraphs: {a: {uri: d}}\n",
    ] {
        for text in texts {
            let full = GraphEntry {
                uri: text.to_owned(),
                tenant: Some(text.to_owned()),
                labels: [(text.to_owned(), text.to_owned())].into_iter().collect(),
                policy: Some(PolicyFile {
                    file: text.to_owned(),
                }),
                graph_type: Some(registry::config::GraphKind::Open),
            };
            let new = add_graph(style, &id("new"), &full)
                .unwrap_or_else(|error| panic!("{error}: {text:?}"));
            let read = parse(&new).unwrap_or_else(|problems| panic!("{problems:?}\n{new}"));
            assert_eq!(read.config.graphs[1], (id("new"), full), "{new}");
        }
    }
    for word in [
        "123", "null", "TRUE", "no", "1e5", "-", "--", "0x1F", "y", "a",
    ] {
        let new = add_graph("version: 1\n", &id(word), &entry("x")).expect("edited");
        assert_eq!(
            parse(&new).expect("sound").config.graphs[0].0.as_str(),
            word,
            "{new}"
        );
    }
}

#[test]
fn a_taken_or_absent_id_is_said() {
    let text = "version: 1\ngraphs:\n  Alpha: { uri: x }\n";
    assert!(matches!(
        add_graph(text, &id("ALPHA"), &entry("y")),
        Err(EditError::Exists(_))
    ));
    assert!(matches!(
        remove_graph(text, &id("beta")),
        Err(EditError::Absent(_))
    ));
    assert_eq!(
        remove_graph(text, &id("alpha")).expect("removed"),
        "version: 1\ngraphs:\n"
    );
    let flow = "graphs: {a: {uri: x}, b: {uri: y}, c: {uri: z}}\n";
    assert_eq!(
        remove_graph(flow, &id("a")).expect("removed"),
        "graphs: {b: {uri: y}, c: {uri: z}}\n"
    );
    assert_eq!(
        remove_graph(flow, &id("b")).expect("removed"),
        "graphs: {a: {uri: x}, c: {uri: z}}\n"
    );
    assert_eq!(
        remove_graph(flow, &id("c")).expect("removed"),
        "graphs: {a: {uri: x}, b: {uri: y}}\n"
    );
}

/// Ten thousand entries with comments: bytes outside the new one unchanged, in bearable time.
#[test]
fn ten_thousand_entries() {
    let mut text = String::from("version: 1\ngraphs:\n");
    for number in 0..10_000 {
        text.push_str(&format!(
            "  # graph {number}\n  g{number}:\n    uri: ../data/g{number} # disk\n    tenant: t\n"
        ));
    }
    let started = std::time::Instant::now();
    let new = add_graph(&text, &id("new"), &entry("../data/new")).expect("edited");
    eprintln!("one edit among 10,000 entries: {:?}", started.elapsed());
    assert_eq!(new, format!("{text}  new:\n    uri: ../data/new\n"));
}
