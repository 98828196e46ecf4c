//! Which keys may stand where in the config file: the table that unknown keys are found by, and
//! what was probably meant.

/// The keys allowed at one place.
pub(super) enum Shape {
    /// Anything; typed reading judges it.
    Leaf,
    /// These keys and no others.
    Keys(&'static [(&'static str, Shape)]),
    /// Names of the operator's choosing, each with this below.
    Named(&'static Shape),
}

const POLICY: Shape = Shape::Keys(&[("file", Shape::Leaf)]);

const GRAPH: Shape = Shape::Keys(&[
    ("uri", Shape::Leaf),
    ("tenant", Shape::Leaf),
    ("labels", Shape::Leaf),
    ("policy", POLICY),
    ("graph_type", Shape::Leaf),
]);

pub(super) const ROOT: Shape = Shape::Keys(&[
    ("version", Shape::Leaf),
    (
        "server",
        Shape::Keys(&[
            ("bind", Shape::Leaf),
            ("storage", Shape::Leaf),
            ("allow_roots", Shape::Leaf),
            ("policy", POLICY),
            ("deleted_retention", Shape::Leaf),
            ("metrics_open", Shape::Leaf),
            ("require_all_graphs", Shape::Leaf),
            ("history_retention", Shape::Leaf),
            (
                "limits",
                Shape::Keys(&[
                    ("json_body_bytes", Shape::Leaf),
                    ("load_body_bytes", Shape::Leaf),
                    ("query_timeout_ms", Shape::Leaf),
                    ("max_rows", Shape::Leaf),
                    ("query_memory_bytes", Shape::Leaf),
                    ("queries_per_principal", Shape::Leaf),
                    ("queries_per_graph", Shape::Leaf),
                    ("connections", Shape::Leaf),
                ]),
            ),
            (
                "open_graphs",
                Shape::Keys(&[
                    ("memory_bytes", Shape::Leaf),
                    ("count", Shape::Leaf),
                    ("idle", Shape::Leaf),
                ]),
            ),
            (
                "log",
                Shape::Keys(&[("level", Shape::Leaf), ("format", Shape::Leaf)]),
            ),
        ]),
    ),
    (
        "auth",
        Shape::Keys(&[("tokens_file", Shape::Leaf), ("issuers", Shape::Leaf)]),
    ),
    ("groups", Shape::Leaf),
    ("graphs", Shape::Named(&GRAPH)),
]);

/// The likeliest of `known` that `written` was meant to be, if any is near.
pub(super) fn suggestion<'a>(
    written: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .map(|word| {
            (
                strsim::damerau_levenshtein(&written.to_lowercase(), word),
                word,
            )
        })
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min()
        .map(|(_, word)| word)
}
