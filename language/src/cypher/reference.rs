//! What of Cypher there is: the tables that `docs/cypher.md` is written from, besides those of
//! functions, aggregates and procedures. Each line has an example; a test compiles it in an open
//! graph and finds the state that the line claims, and that the document says the same.

/// How far a construct is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It works.
    Yes,
    /// It is refused with the code `unsupported`.
    No,
    /// The grammar does not have it: it is refused as a syntax error.
    NoSyntax,
}

/// A construct, its state, an example, and what else there is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// As it is written.
    pub(super) name: &'static str,
    /// How far it is.
    pub(super) state: State,
    /// A statement that uses it.
    pub(super) example: &'static str,
    /// A remark; may be empty.
    pub(super) note: &'static str,
}

const fn yes(name: &'static str, example: &'static str, note: &'static str) -> Line {
    Line {
        name,
        state: State::Yes,
        example,
        note,
    }
}

const fn no(name: &'static str, example: &'static str, note: &'static str) -> Line {
    Line {
        name,
        state: State::No,
        example,
        note,
    }
}

/// Clauses.
pub(super) const CLAUSES: &[Line] = &[
    yes(
        "MATCH",
        "MATCH (a)-[r:T]->(b) RETURN a",
        "no relationship twice within the clause",
    ),
    yes("OPTIONAL MATCH", "OPTIONAL MATCH (a) RETURN a", ""),
    yes(
        "WHERE",
        "MATCH (a) WHERE a.x > 1 RETURN a",
        "also within node and relationship patterns",
    ),
    yes(
        "WITH",
        "WITH 1 AS x WHERE x > 0 RETURN x",
        "DISTINCT, ORDER BY, SKIP, LIMIT, WHERE",
    ),
    yes(
        "RETURN",
        "RETURN DISTINCT 1 AS x ORDER BY x SKIP 0 LIMIT 1",
        "null is last, and first with DESC",
    ),
    yes("UNWIND", "UNWIND [1, 2] AS x RETURN x", ""),
    yes(
        "UNION, UNION ALL",
        "RETURN 1 AS x UNION RETURN 2 AS x",
        "not both in one statement",
    ),
    yes(
        "CREATE",
        "CREATE (a:A {x: 1})-[:T]->(b)",
        "in a closed graph a node has one declared type",
    ),
    yes(
        "MERGE",
        "MERGE (a:A {x: 1}) ON CREATE SET a.y = 2 ON MATCH SET a.z = 3",
        "in a closed graph nodes are found by their key",
    ),
    yes(
        "SET",
        "MATCH (a) SET a.x = 1, a += {y: 2}, a:B",
        "in a closed graph labels are fixed",
    ),
    yes(
        "REMOVE",
        "MATCH (a) REMOVE a.x, a:B",
        "in a closed graph labels are fixed",
    ),
    yes("DELETE, DETACH DELETE", "MATCH (a) DETACH DELETE a", ""),
    yes(
        "CALL procedure",
        "CALL db.labels() YIELD label RETURN label",
        "see the table of procedures",
    ),
    yes(
        "CALL { ... }, CALL (a) { ... }",
        "MATCH (a) CALL (a) { MATCH (a)-->(b) RETURN count(b) AS c } RETURN a, c",
        "once for each row, which sees what was written for those before it; names come in by the \
         parentheses, or by a WITH at the beginning; OPTIONAL CALL keeps rows that nothing comes out for",
    ),
    Line {
        name: "CALL { ... } IN TRANSACTIONS",
        state: State::No,
        example: "UNWIND [1] AS x CALL (x) { CREATE () } IN TRANSACTIONS",
        note: "a request is one commit",
    },
    yes(
        "FOREACH",
        "MATCH (a) FOREACH (x IN [1, 2] | CREATE (a)-[:T]->(:B {x: x}))",
        "clauses that write, and FOREACH",
    ),
    yes(
        "LET",
        "MATCH (a) LET x = a.x + 1 RETURN x",
        "as WITH *, ... AS x",
    ),
    yes(
        "FILTER",
        "MATCH (a) FILTER a.x > 1 RETURN a",
        "as WITH * WHERE",
    ),
    yes("FINISH", "CREATE (a) FINISH", "no rows"),
    yes("INSERT", "INSERT (a:A {x: 1})", "as CREATE"),
    yes(
        "USING INDEX, USING SCAN, USING JOIN",
        "MATCH (a:A) USING INDEX a:A(x) WHERE a.x = 1 RETURN a",
        "read, and nothing is done with it",
    ),
    no("NEXT", "RETURN 1 AS x NEXT RETURN x", "write WITH"),
    no("SELECT", "SELECT 1 AS x", "write RETURN"),
    no(
        "LOAD CSV",
        "LOAD CSV FROM 'x' AS row RETURN row",
        "loads come in over HTTP",
    ),
    no(
        "USE",
        "USE other MATCH (n) RETURN n",
        "a statement runs in one graph",
    ),
    yes(
        "EXPLAIN, PROFILE",
        "EXPLAIN MATCH (n) RETURN n",
        "of `query`, also of statements that write: nothing is written",
    ),
];

/// Patterns.
pub(super) const PATTERNS: &[Line] = &[
    yes(
        "labels (a:A:B), (a:A|B), (a:!A), (a:%)",
        "MATCH (a:A&!B) RETURN a",
        "",
    ),
    yes("types [:T|U]", "MATCH ()-[r:T|U]->() RETURN r", ""),
    yes(
        "variable length [*1..3]",
        "MATCH (a)-[r*1..3]->(b) RETURN r",
        "",
    ),
    yes("named paths", "MATCH p = (a)-->(b) RETURN p", ""),
    yes(
        "shortestPath, allShortestPaths",
        "MATCH p = shortestPath((a)-[*]-(b)) RETURN p",
        "in MATCH; a lower bound is 0 or 1",
    ),
    no(
        "quantified paths ((a)-->(b))+",
        "MATCH ((a)-->(b))+ RETURN a",
        "write [*1..3]",
    ),
    no(
        "path selectors and modes",
        "MATCH ANY SHORTEST (a)-->(b) RETURN a",
        "",
    ),
];

/// Expressions and operators.
pub(super) const EXPRESSIONS: &[Line] = &[
    yes("= <> < <= > >=, chained", "RETURN 1 < 2 <= 3 AS x", ""),
    yes(
        "AND OR XOR NOT",
        "RETURN true XOR NOT false AS x",
        "three-valued",
    ),
    yes(
        "+ - * / % ^",
        "RETURN 1 + 2 * 3 ^ 2 AS x",
        "integers never wrap: an error instead",
    ),
    yes(
        "STARTS WITH, ENDS WITH, CONTAINS",
        "RETURN 'ab' STARTS WITH 'a' AS x",
        "",
    ),
    yes(
        "=~",
        "RETURN 'ab' =~ 'a.' AS x",
        "the whole text; no look-around",
    ),
    yes("||", "RETURN 'a' || 'b' AS x", "as +"),
    yes("IN", "RETURN 1 IN [1, 2] AS x", ""),
    yes("IS NULL, IS NOT NULL", "RETURN null IS NULL AS x", ""),
    Line {
        name: "IS TYPED",
        state: State::NoSyntax,
        example: "RETURN 1 IS TYPED INTEGER AS x",
        note: "",
    },
    yes("lists, indexes, slices", "RETURN [1, 2, 3][1..] AS x", ""),
    yes("maps", "RETURN {a: 1}.a AS x", ""),
    yes(
        "map projections",
        "MATCH (n) RETURN n {.name, x: 1} AS x",
        "",
    ),
    yes(
        "CASE",
        "RETURN CASE 1 WHEN 1 THEN 'a' ELSE 'b' END AS x",
        "",
    ),
    yes(
        "list comprehensions",
        "RETURN [x IN [1, 2] WHERE x > 1 | x * 2] AS x",
        "",
    ),
    yes(
        "pattern comprehensions",
        "MATCH (a) RETURN [(a)-->(b) | b.x] AS x",
        "",
    ),
    yes(
        "all, any, none, single",
        "RETURN all(x IN [1] WHERE x > 0) AS x",
        "",
    ),
    yes(
        "reduce",
        "RETURN reduce(s = 0, x IN [1, 2] | s + x) AS x",
        "",
    ),
    yes(
        "EXISTS { ... }",
        "MATCH (a) WHERE EXISTS { (a)-->() } RETURN a",
        "",
    ),
    yes(
        "COUNT { ... }",
        "MATCH (a) RETURN COUNT { (a)-->() } AS x",
        "",
    ),
    yes(
        "COLLECT { ... }",
        "MATCH (a) RETURN COLLECT { MATCH (a)-->(b) RETURN b.x } AS x",
        "",
    ),
    yes(
        "patterns as conditions",
        "MATCH (a) WHERE (a)-->() RETURN a",
        "they bind no new names",
    ),
    yes("labels as conditions", "MATCH (a) RETURN a:A AS x", ""),
    yes("parameters", "RETURN $x AS x", ""),
    yes("components of times", "RETURN date().year AS x", ""),
];
