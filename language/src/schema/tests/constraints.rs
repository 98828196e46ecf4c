use super::check;

#[test]
fn keys() {
    check(
        "keys",
        &[
            "node A { a: String @key }",
            "node A { a: String, b: I64\n  @key(b, a)\n}",
            "node A @key(a) { a: enum(x, y) }",
            "node A { a: Date @key, b: Bool @key(a) }",
            // Mistakes.
            "node A { a: String @key, b: String @key }",
            "node A { a: String @key\n b: String\n @key(a, b) }",
            "node Person { email: String\n @key(emial) }",
            "node A { a: String, @key(a, a) }",
            "node A { a: String? @key }",
            "node A { a: [String] @key }",
            "node A { a: F64, b: F32\n @key(a, b) }",
            "node A { a: String @key @default(\"x\") }",
            "node A { a: String, @key }",
            "node A { a: String, @key() }",
            "node A { a: String, @key(\"a\") }",
            "node A { a: String, @key(0..1) }",
            "node A { a: Strin @key }",
            "node A { a: String @kye }",
            "node A { a: String @Key }",
        ],
    );
}

#[test]
fn ranges_and_checks() {
    check(
        "ranges_and_checks",
        &[
            "node A { a: I32 @range(0..120), b: F64? @range(-1.5..1e3), c: U64 @range(1..), d: I64 @range(..-1) }",
            "node A { a: Date @range(\"2000-01-01\"..\"2030-12-31\"), b: DateTime @range(\"2000-01-01T00:00:00Z\"..) }",
            "node A { a: [I32] @range(0..9), b: [String] @check(\"[a-z]+\") }",
            "node A { a: I32, b: String\n @range(a, 1..2)\n @check(b, \"x\\d+\") }",
            "node A { a: F32 @range(0 .. 0.1) }",
            "node A { a: I32 @range(1..1) }",
            // Mistakes.
            "node A { a: I32 @range(5..1) }",
            "node A { a: I32 @range(..) }",
            "node A { a: I32 @range(5) }",
            "node A { a: I32 @range }",
            "node A { a: I32 @range(0..1.5) }",
            "node A { a: I32 @range(0..3000000000), b: U32 @range(-1..5) }",
            "node A { a: I32 @range(\"a\"..\"b\") }",
            "node A { a: String @range(0..1), b: Bool @range(0..1), c: enum(x) @range(0..1) }",
            "node A { a: Date @range(2000..2001) }",
            "node A { a: Date @range(\"2000-13-01\"..) }",
            "node A { a: F64 @range(nan..inf) }",
            "node A { a: I32 @range(0..1) @range(0..2) }",
            "node A { a: I32 @range(0..1), @range(a, 0..2) }",
            "node A { a: I32, @range(b, 0..2) }",
            "node A { a: I32, @range(0..2) }",
            "node A { a: String @check(\"[a-\") }",
            "node A { a: String @check(\"a)|(b\") }",
            "node A { a: String @check(\"(?<year>\\d{4}\") }",
            "node A { a: String @check(\"\\w{900}\") }",
            "node A { a: I32 @check(\"x\") }",
            "node A { a: String @check(x) }",
            "node A { a: String @check(\"x\") @check(\"y\") }",
        ],
    );
}

#[test]
fn defaults() {
    check(
        "defaults",
        &[
            "node A { a: String @default(\"x\"), b: Bool @default(true), c: I64 @default(-3), d: F64 @default(2) }",
            "node A { a: F32 @default(0.1), b: U64 @default(9223372036854775807) }",
            "node A { a: Date @default(\"2024-02-29\"), b: DateTime? @default(\"2024-02-29T12:00:00+01:00\") }",
            "node A { a: enum(phase-1, done) @default(phase-1), b: enum(phase-1, done) @default(\"done\") }",
            "node A { a: [String] @default([]), b: [I32]? @default([1, -2,]), c: [enum(x)] @default([x]) }",
            "node A { a: I32, @default(a, 3) }",
            // Mistakes.
            "node A { a: I32 @default(\"3\") }",
            "node A { a: I32 @default(3000000000) }",
            "node A { a: U32 @default(-1) }",
            "node A { a: I64 @default(1.5) }",
            "node A { a: String @default(x) }",
            "node A { a: Bool @default(yes) }",
            "node A { a: F64 @default(inf) }",
            "node A { a: enum(open, closed) @default(opne) }",
            "node A { a: Date @default(\"yesterday\") }",
            "node A { a: DateTime @default(now()) }",
            "node A { a: String? @default(null) }",
            "node A { a: [I32] @default(1) }",
            "node A { a: [I32] @default([1, x]) }",
            "node A { a: I32 @default }",
            "node A { a: I32 @default(1) @range(5..9) }",
            "node A { a: String @default(\"x\") @check(\"y\") }",
            "node A { a: I32 @default(1) @default(2) }",
        ],
    );
}

#[test]
fn not_supported_yet() {
    check(
        "not_supported_yet",
        &[
            "node A { face: Vector(128)? @embed(\"bio\", model=\"m\"), bio: String }",
            "node A { file: Blob }",
            "node A { a: String @unique }",
            "node A { a: String, b: String\n  @unique(a, b)\n}",
            "node A { a: String @secret }",
            "node A @rename_from(\"B\") { a: String @rename_from(\"b\") }",
            "node A { a: [[String]] }",
            "node A { a: [Vector(3)] }",
        ],
    );
}

#[test]
fn other_annotations() {
    check(
        "other_annotations",
        &[
            "node A { a: String @description(\"x\") @description(\"y\") }",
            "node A @color(red) { @color(blue) }",
            "node A { a: String @description }",
            "node A { a: String @description(x) }",
            "node A { a: String @description(\"x\", \"y\") }",
            "node A @card(0..1) { a: String @card(0..1) }",
            "node A { a: String @indx @chekc(\"x\") @rnage(0..1) }",
            "node A { @index }",
            "node A { a: String, @index(a, b) }",
        ],
    );
}
