use super::{EXAMPLE, check};

#[test]
fn accepted() {
    check(
        "accepted",
        &[
            EXAMPLE,
            "node A {}",
            "node A { a: String }",
            "node A { a: String, b: Bool, }",
            "node A {\n  a: String\n\n  b: Bool,\n  c: I32 }",
            "node A { a: String, b: Bool, c: I32, d: I64, e: U32, f: U64, g: F32, h: F64, i: Date, j: DateTime }",
            "node A { a: [String], b: [I64]?, c: [enum(x, y)], d: [DateTime]? }",
            "node A { a: enum(one)\nb1: String }\n",
            "node A { a: enum(phase-1, 2024-01, 3d, x_y, \"with space\",), b: enum(\n  a, // first\n  b\n)? }",
            "// only a comment before\n/* and\n a block */ node A { /* inside */ a: /* within */ String // after\n}",
            "/* a block comment\n may separate */ node A { a: String /* like\n a line */ b: String }",
            "edge E: A -> B\nnode B {}\nedge F: B -> A { w: F64 }\nnode A {}",
            "node node { node: String, edge: String, interface: Bool, implements: I64, enum: enum(enum) }",
            "node A {} node B {} edge E: A -> B edge F: B -> A {} node C {}",
            "\u{feff}node Straße { größe: F64, 名前: String }",
            "node A { id: String @key }\nedge E: A -> A { id: String }",
            "node String { a: String }",
            "node A @description(\"of A\") @color(red) {\n  @instruction(\"of A too\")\n  a: String @description(\"of a\")\n}\nedge E: A -> A @weight(1)",
            "node A { a: String\n    @description(\"goes on\")\n    @index\n  b: String }",
            "node A { a: String, @description(\"after a comma: of A\")\n b: String }",
            "node A { a: String @ui({ color: #fff, rows: [1, 2] }) @empty() @bare @x(\"a\", b = 3, ..) }",
            r#"node A { a: String @description("quote \" backslash \\ tab \t class \d") }"#,
        ],
    );
}

#[test]
fn interfaces() {
    check(
        "interfaces",
        &[
            "node P implements A, B { own: Bool }\ninterface A { a: String @description(\"x\") }\ninterface B { b: I64? @range(0..) }",
            "interface A { a: String @key }\nnode P implements A {}\nnode Q implements A { q: Bool }",
            "interface A { a: String, b: String\n @key(a, b) }\nnode P implements A { @key(a, b) }",
            "interface A @description(\"from A\") { a: String }\nnode P implements A {}\nnode Q implements A @description(\"own\") {}",
            "interface A { a: String }\ninterface B { a: String @index }\nnode P implements A, B {}",
            "interface A { a: I64 @range(0..9) @default(3) }\nnode P implements A { a: I64 @range(0..9) @index @description(\"d\") }",
            "interface A { a: String }\nnode P implements A { a: String @key }",
            "interface A { a: String }\nnode P implements A { @index(a) @key(a) @check(a, \"x+\") }",
            // Mistakes.
            "interface A { a: String }\nnode P implements A { a: String? }",
            "interface A { a: String }\nnode P implements A { a: I64 }",
            "interface A { a: I64 @range(0..9) }\nnode P implements A { a: I64 @range(0..8) }",
            "interface A { a: String }\ninterface B { a: Bool }\nnode P implements A, B {}",
            "interface A { a: String @key }\nnode P implements A { b: String @key }",
            "interface A { a: String @key }\ninterface B { b: String @key }\nnode P implements A, B {}",
            "node P implements Namd {}\ninterface Named { name: String }",
            "node P implements Q {}\nnode Q {}",
            "interface A { a: String }\nnode P implements A, A {}",
            "interface A { a: String }\nnode P implements A { a: String, a: String }",
            "interface A { a: Strin @default(3) }\nnode P implements A {}\nnode Q implements A { a: String }",
            "interface A { a: I64 @default(3) @range(5..) }\nnode P implements A {}",
            "interface A { a: F64 @key }\nnode P implements A {}",
            "interface A { a: String }\nedge E: A -> P\nnode P implements A {}",
            "interface A { a: I64 @default(3) }\nnode P implements A { @range(a, 5..) }",
            "interface A implements B { a: String }",
        ],
    );
}

#[test]
fn edges() {
    check(
        "edges",
        &[
            "node A {}\nedge E: A -> A { since: Date? @index, weight: F64 @default(1)\n @index(src, since) }",
            "node Person {}\nedge E: Persn -> Preson",
            "node Person {}\nedge E: person -> Person",
            "node A {}\nedge E: A -> E",
            "node A {}\nedge E: A -> A { src: String, dst: String }",
            "node A {}\nedge E: A -> A @key(src, dst)",
            "node A {}\nedge E: A -> A { k: String @key }",
            "node A {}\nedge E: A -> A @card(0..1)",
            "node A {}\nedge E: A -> A { since: Date? @unique(src, since) }",
            "node A {}\nedge E: A -> A { @index(source) }",
            "node A { @index(src) }",
            "node A {}\nedge E: A -> A { @range(src, 0..1) }",
        ],
    );
}
