//! Rows of a label or a relationship type of an open graph as columns.

use super::*;
use crate::load::Format as Given;

const LINES: &str = r#"
{"type":"Person","id":"p1","data":{"name":"Ann","age":41,"score":1.0,"ok":true,"tags":["x"],"born":{"date":"2000-02-29"},"seen":{"datetime":"2024-02-29T23:59:59.999999Z"}}}
{"type":"Person","id":"p2","data":{"name":"","age":-9223372036854775808,"score":{"float":"NaN"},"tags":[]}}
{"type":"Person","id":"p3","data":{}}
{"labels":["City","Place"],"data":{"id":7,"name":"Ulm"}}
{"type":"City","data":{"id":8}}
{"type":"Mixed","id":"m1","data":{"x":1}}
{"type":"Mixed","id":"m2","data":{"x":1.0}}
{"type":"Odd","id":"o1","data":{"m":{"duration":"P1D"}}}
{"type":"Ends","id":"e1","data":{"from":1,"to":2}}
{"type":"Both","id":"b1","data":{}}
{"edge":"Lives","id":"l1","from":"p1","to":"7","data":{"since":2001}}
{"edge":"Lives","id":"l2","from":"p2","to":"8","data":{}}
{"edge":"Both","id":"l3","from":"p2","to":"8","data":{}}
"#;

/// What of [`LINES`] goes into columns.
const NAMES: [&str; 3] = ["Person", "City", "Lives"];

fn open() -> Place {
    Place::of(Schema::parse_open("").expect("the empty schema"))
}

fn columns(graph: &Graph, name: &str, format: export::Format) -> Result<Vec<u8>, String> {
    let snapshot = graph.snapshot();
    let selection = Selection::new(snapshot.schema(), Some(name.to_owned()), format);
    let selection = selection.map_err(|error| error.to_string())?;
    export::check(&snapshot, &selection).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        ControlFlow::Continue(())
    };
    export::write(&snapshot, &selection, &mut sink).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn give(graph: &Graph, bytes: &[u8], source: &Source) -> Result<Written<Loaded>, Vec<LineError>> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    file.rewind().expect("rewound");
    load_input(graph, Input::File(file), source)
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn columns_of_a_label_are_loaded_as_they_were() {
    let first = open();
    first.load(LINES, Mode::Append).expect("loaded");
    let all = first.export();
    let ours = |line: &&str| NAMES.iter().any(|name| line.contains(&format!("{name:?}")));
    let expected: Vec<&str> = all.lines().filter(ours).collect();
    assert_eq!(expected.len(), 7, "{all}");
    let formats = [
        (export::Format::Parquet, Given::Parquet),
        (export::Format::Arrow, Given::Arrow),
        (export::Format::Ndjson, Given::Ndjson),
    ];
    for (format, given) in formats {
        for mode in [Mode::Append, Mode::Merge] {
            let second = open();
            for name in NAMES {
                let bytes = columns(&first.graph, name, format).expect("columns");
                let source = match given {
                    Given::Ndjson => Source::lines(mode),
                    _ => Source::columns(given, name, mode),
                };
                give(&second.graph, &bytes, &source).expect("loaded");
            }
            let text = second.export();
            assert_eq!(sorted(&text), sorted(&expected.join("\n")), "{format:?}");
            second.graph.fold().expect("folded");
            assert_eq!(second.export(), text);
        }
    }
}

#[test]
fn what_is_no_column_is_refused_and_exported_as_lines() {
    let place = open();
    place.load(LINES, Mode::Append).expect("loaded");
    let refused = |name| columns(&place.graph, name, export::Format::Parquet).expect_err("refused");
    let cases = [
        (
            "Mixed",
            "Mixed.x has values of the types I64 and F64; this is exported as NDJSON",
        ),
        (
            "Odd",
            "Odd.m has values like a duration; this is exported as NDJSON",
        ),
        ("Ends", "Ends.from would stand in the column of an end"),
        ("Both", "\"Both\" is a label and a relationship type"),
        (
            "Persn",
            "there is no type \"Persn\"; did you mean \"Person\"?",
        ),
    ];
    for (name, expected) in cases {
        let error = refused(name);
        assert!(error.starts_with(expected), "{error}");
    }
    let lines = columns(&place.graph, "Mixed", export::Format::Ndjson).expect("lines");
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 2);
}

#[test]
fn text_is_text_unless_something_else_is_declared() {
    let schema = "node Person { name: String, age: I32?, born: Date? }";
    let declared = Place::of(Schema::parse_open(schema).expect("a schema"));
    let csv = |name| Source::columns(Given::Csv, name, Mode::Append);
    let people = "_id,name,age,born\na,Ann,41,2000-02-29\nb,Bob,,\n";
    give(&declared.graph, people.as_bytes(), &csv("Person")).expect("loaded");
    let text = declared.export();
    assert!(
        text.contains(r#""age":41"#) && text.contains(r#""born":{"date":"2000-02-29"}"#),
        "{text}"
    );
    assert!(
        text.contains(r#"{"id":"b","data":{"name":"Bob"},"type":"Person"}"#),
        "{text}"
    );
    let wrong = "_id,name,age\nc,Cid,x\nd,Dora,1\ne,,\n";
    let errors = give(&declared.graph, wrong.as_bytes(), &csv("Person")).expect_err("wrong");
    let lines: Vec<u64> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [1], "{errors:?}");
    let free = open();
    give(&free.graph, people.as_bytes(), &csv("Person")).expect("loaded");
    assert!(free.export().contains(r#""age":"41""#));
    let edges = "from,to,since\na,b,2001\nb,zz,2002\n";
    let errors = give(&free.graph, edges.as_bytes(), &csv("Knows")).expect_err("wrong");
    assert!(errors.len() == 1 && errors[0].line == 2, "{errors:?}");
    let half = "from,since\na,2001\n";
    give(&free.graph, half.as_bytes(), &csv("From")).expect("a property called from");
    for (text, expected) in [
        ("a,a\n1,2\n", "there are two columns `a`"),
        ("from,to\na,\n", "an edge needs `to`"),
    ] {
        let errors = give(&free.graph, text.as_bytes(), &csv("X")).expect_err("wrong");
        assert_eq!(errors[0].message, expected);
    }
}
