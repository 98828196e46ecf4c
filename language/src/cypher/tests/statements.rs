//! Statements as a whole: the order of clauses, what is not supported, syntax.

#[test]
fn order_of_clauses() {
    check!("MATCH (p:Person)", @"1:1: misplaced_clause: a statement cannot end with MATCH: add RETURN, or a clause that writes");
    check!("MATCH (p:Person) WITH p", @"1:18: misplaced_clause: a statement cannot end with WITH: add RETURN, or a clause that writes");
    check!("UNWIND [1] AS x", @"1:1: misplaced_clause: a statement cannot end with UNWIND: add RETURN, or a clause that writes");
    check!("MATCH (p:Person) CREATE (n:Note) MATCH (q) RETURN q", @"1:34: misplaced_clause: MATCH after CREATE needs a WITH between them");
    check!("CREATE (n:Note) UNWIND [1] AS x RETURN x", @"1:17: misplaced_clause: UNWIND after CREATE needs a WITH between them");
    check!("MATCH (n:Note) DELETE n WITH 1 AS x MATCH (m:Note) RETURN m.text", @r#"
    match (#0:Note)
    delete #0
    project #1 = 1
    match (#2:Note)
    project #3 = #2.text
    columns #3 m.text String
    Note read(text) write()
    "#);
    check!("RETURN 1 MATCH (n)", @"1:10: misplaced_clause: nothing may follow RETURN: MATCH must stand before it");
    check!("RETURN 1 RETURN 2", @"1:10: misplaced_clause: a statement has one RETURN, at its end");
}

#[test]
fn unions_and_procedures() {
    check!("RETURN 1 AS x UNION RETURN 'a' AS x", @r#"
    project #0 = 1
    union
    project #1 = 'a'
    columns #0 x Any
    "#);
    check!("RETURN 1 AS x UNION ALL RETURN 2 AS x UNION RETURN 3 AS x", @"1:39: misplaced_clause: UNION and UNION ALL cannot be mixed in one statement");
    check!("CALL db.lables()", @"1:6: unknown_procedure: there is no procedure db.lables (did you mean `db.labels`?)");
    check!("CALL db.labels() YIELD lable RETURN lable", @"1:24: unknown_variable: db.labels gives no `lable` (did you mean `label`?)");
}

#[test]
fn not_supported_yet() {
    check!("MATCH (p) RETURN p UNION MATCH (q) RETURN q", @"1:20: union_columns: the parts of a UNION have the same columns: here they are p and q");
    check!("EXPLAIN MATCH (n) RETURN n", @"1:1: unsupported: EXPLAIN may stand once, before a statement that is sent as a query");
    check!("  profile MATCH (n) RETURN n", @"1:3: unsupported: PROFILE may stand once, before a statement that is sent as a query");
    check!("CALL db.labels()", @r#"
    call db.labels() yield #0 = 0
    columns #0 label String
    "#);
    check!("CALL db.labels() YIELD label RETURN label", @r#"
    call db.labels() yield #0 = 0
    project #1 = #0
    columns #1 label String
    "#);
    check!("MATCH (n) RETURN n.name AS x NEXT RETURN x", @"1:30: unsupported: NEXT is not supported yet");
    check!("LOAD CSV FROM 'x' AS row RETURN row", @"1:1: unsupported: LOAD is not supported yet");
    check!("USE other MATCH (n) RETURN n", @"1:1: unsupported: USE is not supported yet");
}

#[test]
fn what_is_wanted_stands_before_the_statement() {
    use crate::cypher::{Mode, mode};
    let of = |text| {
        let (mode, statement) = mode(text);
        (mode, statement.into_owned())
    };
    let cases = [
        ("EXPLAIN RETURN 1", Mode::Explain, "        RETURN 1"),
        (
            "/* é */ // x\n Profile\nRETURN 1",
            Mode::Profile,
            "/* é */ // x\n        \nRETURN 1",
        ),
        (
            "explain EXPLAIN RETURN 1",
            Mode::Explain,
            "        EXPLAIN RETURN 1",
        ),
        ("EXPLAINRETURN 1", Mode::Run, "EXPLAINRETURN 1"),
        ("`EXPLAIN` RETURN 1", Mode::Run, "`EXPLAIN` RETURN 1"),
        ("RETURN 'EXPLAIN'", Mode::Run, "RETURN 'EXPLAIN'"),
        ("EXPLAIN", Mode::Explain, "       "),
        ("", Mode::Run, ""),
        ("/* EXPLAIN", Mode::Run, "/* EXPLAIN"),
    ];
    for (text, mode, statement) in cases {
        assert_eq!(of(text), (mode, statement.to_owned()), "{text}");
    }
}

#[test]
fn syntax() {
    check!("", @"1:1: syntax: the statement is empty");
    check!("// nothing", @"1:1: syntax: the statement is empty");
    check!("MTCH (n) RETURN n", @"1:1: syntax: `MTCH` cannot stand here (did you mean `MATCH`?)");
    check!("MATCH (n RETURN n", @r#"
    1:7: syntax: unclosed delimiter `(`
    1:10: syntax: `RETURN` cannot stand here
    "#);
    check!("MATCH (n) RETURN", @"1:17: syntax: unexpected end of input");
    check!("MATCH (n) RETRUN n", @"1:11: syntax: `RETRUN` cannot stand here (did you mean `RETURN`?)");
    check!("RETURN 'abc", @"1:8: syntax: unterminated string literal");
    check!("RETURN 1; RETURN 2", @"1:9: syntax: `;` cannot stand here");
    check!("MATCH (n)\nWHERE n.name ==\n  'x'\nRETURN n", @"2:15: syntax: `=` cannot stand here");
    check!("MATCH (ñ:Person) RETURN ñ.nämé", @"1:27: unknown_property: Person has no property `nämé`");
}
