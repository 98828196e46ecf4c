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
    let back = add_graph(&gone, &a, &old)?;
    assert_eq!(
        read(&back).last().map(|(_, entry)| entry),
        Some(&old),
        "{back}"
    );
    Ok(())
}
