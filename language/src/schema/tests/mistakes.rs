use super::check;
use crate::diagnostic::Code;
use crate::schema::{MAX_DIAGNOSTICS, MAX_NESTING, MAX_PROPERTIES, MAX_TEXT, MAX_WORD, Schema};

#[test]
fn of_names() {
    check(
        "names",
        &[
            "node A { a: Strin, b: string, c: int, d: Timestamp, e: Boolean, f: Foo, g: I33 }",
            "node A { a: B }\nnode B {}\nedge E: A -> B { x: E }",
            "node A {}\nnode A {}",
            "node A {}\nedge A: A -> A",
            "node Person {}\nnode person {}",
            "interface A {}\nnode A {}",
            "node A { a: String, a: I64 }",
            "node A { _id: String, _x: I64, __: Bool }",
            "node _A {}",
            "node A { a: enum(x, y, x), b: enum() }",
            "node A { a: enum(\"\") }",
            "node A { a: String(10) }",
            "node A { a: [String?] }",
        ],
    );
}

#[test]
fn of_grammar() {
    check(
        "syntax",
        &[
            "",
            "   \n// nothing\n",
            "interface Named { name: String }",
            "nod Person {}",
            "node",
            "node {}",
            "node 1A {}",
            "node A",
            "node A {",
            "node A { a: String",
            "node A { a: String\nnode B { b: Bool }",
            "node A }",
            "node A { a }",
            "node A { a: }",
            "node A { a String }",
            "node A { a: String b: Bool }",
            "node A { a: String ?? }",
            "node A { a: String @ }",
            "node A { a: [String }",
            "node A { a: enum(x y) }",
            "node A { a: enum(x, b: Bool }",
            "node A { a: enum x }",
            "node A { a: String @check(\"x\n  b: Bool }",
            "node A { a: String @check(\"x\" }\nnode B {}",
            "node A { a: I32 @range(0..1]) }",
            "node A { a: String # b\n}",
            "node A { a: String; b: Bool }",
            "node A { a: String } /* never closed",
            "node A implements {}",
            "node A implements B, {}",
            "edge E {}",
            "edge E: A {}",
            "edge E: A - > B",
            "edge E: A -> B C",
            "edge E: A <- B",
            "node A { a: 'x' }",
            "type A { a: String }",
            "node A { a: Strin }\nnode B { b }",
            // Several at once.
            "node A {\n  a String\n  b: Bool\n  c: [I64\n  d: enum(x y,\n          z)\n  e: \n}\nnode {}\nedge E A -> B\nnode C { c: String @ }",
        ],
    );
}

#[test]
fn of_meaning_are_told_together() {
    check(
        "several",
        &[r#"
node Person {
  email: Strin @key
  age: I32 @range(9..1)
  age: I64
  face: Vector(3)
  mail: String @check("(")
}
edge Knows: Persn -> Person { since: Dat? }
node Person {}
"#],
    );
}

#[test]
fn of_size() {
    let only = |text: &str| {
        let diagnostics = Schema::parse(text).unwrap_err();
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        (diagnostics[0].code, diagnostics[0].message.clone())
    };
    let long = format!("node A {{}} // {}", "x".repeat(MAX_TEXT));
    assert_eq!(only(&long).0, Code::TextTooLong);
    let deep = |depth: usize| {
        format!(
            "node A {{ a: {}String{} }}",
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert_eq!(only(&deep(MAX_NESTING)).0, Code::NestingTooDeep);
    assert_eq!(only(&deep(MAX_NESTING - 1)).0, Code::Unsupported);
    assert_eq!(
        only(&format!("node {} {{}}", "A".repeat(MAX_WORD + 1))).0,
        Code::Syntax
    );
    assert!(Schema::parse(&format!("node {} {{}}", "A".repeat(MAX_WORD))).is_ok());

    let wide = |count: usize| {
        let properties: Vec<_> = (0..count).map(|index| format!("p{index}: Bool")).collect();
        format!("node A {{ {} }}", properties.join(", "))
    };
    assert!(Schema::parse(&wide(MAX_PROPERTIES)).is_ok());
    assert_eq!(
        only(&wide(MAX_PROPERTIES + 1)),
        (
            Code::InvalidValue,
            "a type has at most 1000 properties".into()
        )
    );

    let mut multiplied = wide(MAX_PROPERTIES).replacen("node", "interface", 1);
    for index in 0..1_000 {
        multiplied.push_str(&format!("\nnode N{index} implements A {{}}"));
    }
    let diagnostics = Schema::parse(&multiplied).unwrap_err();
    assert!(
        diagnostics[0].message.contains("interfaces add"),
        "{diagnostics:?}"
    );

    let checks: Vec<_> = (0..501)
        .map(|index| format!("p{index}: String @check(\"a\")"))
        .collect();
    assert!(
        only(&format!("node A {{ {} }}", checks.join("\n")))
            .1
            .contains("500 `@check`s")
    );
}

#[test]
fn are_at_most_so_many() {
    for line in ["  a String\n", "  a: Strin\n", "  %\n", "  \"\n"] {
        let text = format!("node A {{\n{}}}", line.repeat(100));
        assert_eq!(
            Schema::parse(&text).unwrap_err().len(),
            MAX_DIAGNOSTICS,
            "{line}"
        );
    }
}

#[test]
fn an_open_graph_may_declare_nothing() {
    let schema = Schema::parse_open("").unwrap();
    assert!(schema.open().is_some());
    assert_eq!((schema.next_type_id, schema.next_property_id), (3, 5));
    assert_eq!(
        Schema::parse_open("node A { k: String @key }").unwrap_err()[0].code,
        Code::Unsupported
    );
    assert_eq!(Schema::parse("").unwrap_err()[0].code, Code::EmptySchema);
    assert_eq!(
        Schema::parse_open("node").unwrap_err()[0].code,
        Code::Syntax
    );
}
