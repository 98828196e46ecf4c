//! Changing, removing and adding an entry in every manner that an operator may write one in.

use registry::config::edit::{EditError, add_graph, remove_graph, update_graph};
use registry::config::{GraphEntry, PolicyFile, parse};

use crate::{id, kept_lines};

/// One entry in many manners, with what may stand around it: 540 files. Changing, removing and adding
/// is exact or refused; every line that is not about the entry stays as it was.
#[test]
fn five_hundred_manners_are_edited_exactly_or_refused() {
    let heads = [
        "version: 1\n",
        "# top\nversion: 1   # tabs\there\n\n",
        "\u{feff}version: 1\n",
        "---\nversion: 1\n",
        "\"version\": 1\nserver: &s { storage: d }\n",
    ];
    let entries = [
        "  a:\n    uri: d/a\n    tenant: acme\n    labels: { k: v, l: w }\n",
        "  a:\n    uri: d/a   # fast\n    tenant: acme # whose\n    # free\n    labels:\n      k: v # one\n      l: w\n",
        "  a: { uri: d/a, tenant: acme, labels: { k: v, l: w } }\n",
        "  a: {uri: d/a,\n      tenant: acme,  # whose\n      labels: {k: v, l: w}}\n",
        "  \"a\":\n      'uri': \"d/a\"\n      \"tenant\": 'acme'\n      labels: {\"k\": 'v', l: w}\n",
        "  a:\n    tenant: acme\n    labels: { k: v, l: w, }\n    uri: d/a\n",
        "  a:\n    uri: >-\n      d/a\n    tenant: |-\n      acme\n    labels: { k: v, l: w }\n",
        "  a: &a\n    uri: d/a\n    tenant: acme\n    labels: { k: v, l: w }\n",
        "  a:\n    labels:\n        k:  v\n        l:  w\n    tenant:   acme\n    uri:      d/a\n",
    ];
    let tails = [
        "",
        "  z: { uri: d/z } # last\n",
        "\n  # about z\n  z:\n    uri: d/z\n\n# the end\n",
        "groups: {}\n",
        "\ngroups:\n  g: [x]\n",
        "...\n",
    ];
    let (mut exact, mut refused) = (0, 0);
    for head in heads {
        for entry in entries {
            for tail in tails {
                for crlf in [false, true] {
                    let text = format!("{head}graphs:\n{entry}{tail}");
                    let text = if crlf {
                        text.replace('\n', "\r\n")
                    } else {
                        text
                    };
                    match one_manner(&text) {
                        Ok(()) => exact += 1,
                        Err(EditError::Unsupported { .. } | EditError::NoMapping) => refused += 1,
                        Err(error) => panic!("{error}\n{text}"),
                    }
                }
            }
        }
    }
    assert_eq!(exact + refused, 540);
    assert!(exact >= 480, "only {exact} of them were edited");
}

/// How long the entry `a` is: from its key to the next line at its margin or above.
fn entry_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_key = |line: &&str| line.trim_start().trim_start_matches('"').starts_with("a");
    let start = lines
        .iter()
        .position(|line| line.starts_with("  ") && !line.starts_with("   ") && is_key(line))
        .expect("the entry");
    let inside = |line: &&&str| line.starts_with("   ") || line.trim().is_empty();
    let rest = lines[start + 1..].iter().take_while(inside);
    lines[start].len() + rest.map(|line| line.len()).sum::<usize>()
}

fn one_manner(text: &str) -> Result<(), EditError> {
    let read = |text: &str| {
        let parsed = parse(text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        parsed.config.graphs
    };
    let a = id("a");
    let before = read(text);
    let (_, old) = before.first().expect("the graph a").clone();
    let update = GraphEntry {
        tenant: Some("rival".into()),
        labels: [("k", "other"), ("new", "x: y")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        policy: Some(PolicyFile {
            file: "p.cedar".into(),
        }),
        ..old.clone()
    };
    let new = update_graph(text, &a, &update)?;
    assert_eq!(read(&new)[0].1, update, "{new}");
    assert_eq!(read(&new)[1..], before[1..], "{new}");
    assert!(kept_lines(text, &new) <= 5, "{text}\n---\n{new}");
    for comment in text.lines().filter_map(|line| line.split_once(" # ")) {
        assert!(new.contains(comment.1.trim_end()), "{comment:?}\n{new}");
    }
    let bare = GraphEntry {
        uri: old.uri.clone(),
        ..GraphEntry::default()
    };
    let new = update_graph(text, &a, &bare)?;
    assert_eq!(read(&new)[0].1, bare, "{new}");
    let gone = remove_graph(text, &a)?;
    assert_eq!(read(&gone), before[1..], "{gone}");
    // Only the entry's own lines go, in one piece, with the blank line that set it off.
    let same = text
        .bytes()
        .zip(gone.bytes())
        .take_while(|(old, new)| old == new);
    let (from, removed) = (same.count(), text.len() - gone.len());
    assert!(
        text[from + removed..].ends_with(&gone[from..]),
        "{text}\n---\n{gone}"
    );
    let entry = entry_lines(text);
    assert!(
        removed <= entry + 2,
        "{removed} and not {entry}: {text}\n---\n{gone}"
    );
    let back = add_graph(&gone, &a, &old)?;
    assert_eq!(
        read(&back).last().map(|(_, entry)| entry),
        Some(&old),
        "{back}"
    );
    Ok(())
}

/// Among ten thousand entries with comments, a change or a removal at the beginning, in the middle and at
/// the end leaves every byte outside the entry as it is.
#[test]
fn ten_thousand_entries_keep_every_other_byte() {
    let entry = |number: usize| {
        format!(
            "  # graph {number}\n  g{number}:\n    uri: ../data/g{number} # disk\n    tenant: t   # whose\n"
        )
    };
    let all: Vec<String> = (0..10_000).map(entry).collect();
    let text = format!(
        "version: 1\ngraphs:\n{}\ngroups: {{}} # nobody\n",
        all.concat()
    );
    for number in [0, 5_000, 9_999] {
        let graph = id(&format!("g{number}"));
        let old = &all[number];
        let update = GraphEntry {
            uri: format!("../data/g{number}"),
            tenant: Some("rival".into()),
            labels: [("env".to_owned(), "prod".to_owned())].into(),
            ..GraphEntry::default()
        };
        let begun = std::time::Instant::now();
        let new = update_graph(&text, &graph, &update).expect("changed");
        let changed = begun.elapsed();
        let expect = old.replace(
            "tenant: t   # whose\n",
            "tenant: rival   # whose\n    labels: { env: prod }\n",
        );
        assert!(
            new == text.replace(old.as_str(), &expect),
            "g{number} was not changed exactly"
        );
        let begun = std::time::Instant::now();
        let gone = remove_graph(&text, &graph).expect("removed");
        eprintln!(
            "g{number}: changed in {changed:?}, removed in {:?}",
            begun.elapsed()
        );
        let comment = format!("  # graph {number}\n");
        assert!(
            gone == text.replace(old.as_str(), &comment),
            "g{number} was not removed exactly"
        );
    }
}
