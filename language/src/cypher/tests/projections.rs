//! `WITH`, `RETURN` and `UNWIND`: items, grouping, order.

#[test]
fn items_order_and_paging() {
    check!("MATCH (p:Person) RETURN p.name AS name, p ORDER BY name DESC, p.age SKIP 1 LIMIT $n", @r#"
    match (#0:Person)
    project #1 = #0.name, #2 = #0 order #1 desc, #2.age skip 1 limit $n
    columns #1 name String, #2 p Person
    parameters $n Integer
    Person read(name email age born seen height tags active stage)
    "#);
    check!("MATCH (p:Person) RETURN DISTINCT p.name ORDER BY p.name", @r#"
    match (#0:Person)
    project distinct #1 = #0.name order #1
    columns #1 p.name String
    Person read(name)
    "#);
    check!("MATCH (p:Person) WITH p.name AS n ORDER BY p.age WHERE p.active RETURN n", @r#"
    match (#0:Person)
    project #1 = #0.name order #0.age where #0.active
    project #2 = #1
    columns #2 n String
    Person read(name age active)
    "#);
    check!("MATCH (p:Person)-->(o:Org) WITH * WHERE o.size > 1 RETURN *", @r#"
    match (#0:Person)-[#2:WorksAt]->(#1:Org)
    project #3 = #1, #4 = #0 where (#3.size > 1)
    project #5 = #3, #6 = #4
    columns #5 o Org, #6 p Person
    Person read(name email age born seen height tags active stage)
    Org read(name slug founded size)
    WorksAt read()
    "#);
    check!("MATCH (p:Person) RETURN  p.age  +  1 ,p.name", @r#"
    match (#0:Person)
    project #1 = (#0.age + 1), #2 = #0.name
    columns #1 p.age  +  1 Integer, #2 p.name String
    Person read(name age)
    "#);
    check!("WITH 1 AS x, 'a' AS y WITH x AS y, y AS x RETURN x, y", @r#"
    project #0 = 1, #1 = 'a'
    project #2 = #0, #3 = #1
    project #4 = #3, #5 = #2
    columns #4 x String, #5 y Integer
    "#);
    check!("MATCH (p:Person) WITH p AS q RETURN q.name", @r#"
    match (#0:Person)
    project #1 = #0
    project #2 = #1.name
    columns #2 q.name String
    Person read(name)
    "#);
    check!("UNWIND $rows AS row WITH row WHERE row.x IS NOT NULL RETURN row.x AS x", @r#"
    unwind $rows as #0
    project #1 = #0 where #1?.x IS NOT NULL
    project #2 = #1?.x
    columns #2 x Any
    parameters $rows [Any]
    "#);
    check!("UNWIND [1, 2.5] AS x UNWIND [[1], []] AS y RETURN x, y, y[0]", @r#"
    unwind [1, 2.5] as #0
    unwind [[1], []] as #1
    project #2 = #0, #3 = #1, #4 = #1[0]
    columns #2 x Number, #3 y [Any], #4 y[0] Any
    "#);
    check!("UNWIND null AS x RETURN x", @r#"
    unwind null as #0
    project #1 = #0
    columns #1 x Null
    "#);
}

#[test]
fn grouping() {
    check!("MATCH (p:Person) RETURN count(*)", @r#"
    match (#0:Person)
    group [] [#1 = count(*)]
    project #2 = #1
    columns #2 count(*) Integer
    Person read()
    "#);
    check!("MATCH (p:Person) RETURN p.stage, count(*) AS c, sum(p.age) + 1, avg(p.height) ORDER BY count(*) DESC, p.stage", @r#"
    match (#0:Person)
    group [#4 = #0.stage] [#1 = count(*), #2 = sum(#0.age), #3 = avg(#0.height)]
    project #5 = #4, #6 = #1, #7 = (#2 + 1), #8 = #3 order #1 desc, #5
    columns #5 p.stage String, #6 c Integer, #7 sum(p.age) + 1 Integer, #8 avg(p.height) Float
    Person read(age height stage)
    "#);
    check!("MATCH (p:Person) RETURN p.age, p.age + count(*)", @r#"
    match (#0:Person)
    group [#2 = #0.age] [#1 = count(*)]
    project #3 = #2, #4 = (#2 + #1)
    columns #3 p.age Integer, #4 p.age + count(*) Integer
    Person read(age)
    "#);
    check!("MATCH (p:Person) WITH p, count(*) AS c WHERE c > 1 RETURN p.name, c", @r#"
    match (#0:Person)
    group [#2 = #0] [#1 = count(*)]
    project #3 = #2, #4 = #1 where (#4 > 1)
    project #5 = #3.name, #6 = #4
    columns #5 p.name String, #6 c Integer
    Person read(name)
    "#);
    check!("MATCH (p:Person) RETURN p, p.age + max(p.height) ORDER BY p.name", @r#"
    match (#0:Person)
    group [#2 = #0] [#1 = max(#0.height)]
    project #3 = #2, #4 = (#2.age + #1) order #3.name
    columns #3 p Person, #4 p.age + max(p.height) Float
    Person read(name email age born seen height tags active stage)
    "#);
    check!("MATCH (p:Person) RETURN collect(p.name)[0..2], collect(DISTINCT p)[0].name, count(DISTINCT p.age)", @r#"
    match (#0:Person)
    group [] [#1 = collect(#0.name), #2 = collect(distinct #0), #3 = count(distinct #0.age)]
    project #4 = #1[0..2], #5 = #2[0].name, #6 = #3
    columns #4 collect(p.name)[0..2] [String], #5 collect(DISTINCT p)[0].name String, #6 count(DISTINCT p.age) Integer
    Person read(name age)
    "#);
    check!("MATCH (p:Person) RETURN {n: p.name, c: count(*)} AS m", @"1:29: misplaced_aggregate: `p.name` is neither aggregated nor grouped by: make it an item of its own, in a WITH before if need be");
    check!("MATCH (p:Person) RETURN min(p.born) AS first, max(p.seen) AS last, sum($x)", @r#"
    match (#0:Person)
    group [] [#1 = min(#0.born), #2 = max(#0.seen), #3 = sum($x)]
    project #4 = #1, #5 = #2, #6 = #3
    columns #4 first Date, #5 last DateTime, #6 sum($x) Number
    parameters $x Number
    Person read(born seen)
    "#);
    check!("MATCH (p:Person) RETURN count(p) + count(p) AS twice", @r#"
    match (#0:Person)
    group [] [#1 = count(#0)]
    project #2 = (#1 + #1)
    columns #2 twice Integer
    Person read()
    "#);
    check!("MATCH (p:Person) WITH p.name AS n, collect(p) AS ps UNWIND ps AS q RETURN n, q.age", @r#"
    match (#0:Person)
    group [#2 = #0.name] [#1 = collect(#0)]
    project #3 = #2, #4 = #1
    unwind #4 as #5
    project #6 = #3, #7 = #5.age
    columns #6 n String, #7 q.age Integer
    Person read(name age)
    "#);
    check!("MATCH (p:Person) RETURN $x + count(*) + 1 AS c ORDER BY c", @r#"
    match (#0:Person)
    group [] [#1 = count(*)]
    project #2 = (($x + #1) + 1) order #2
    columns #2 c Any
    parameters $x Any
    Person read()
    "#);
}

#[test]
fn projections_that_are_refused() {
    check!("MATCH (p:Person) RETURN p.age + count(*)", @"1:25: misplaced_aggregate: `p.age` is neither aggregated nor grouped by: make it an item of its own, in a WITH before if need be");
    check!("MATCH (a:Person)-->(b:Person) RETURN a.age + b.age, a.age + b.age + count(*)", @r#"
    1:53: misplaced_aggregate: `a.age` is neither aggregated nor grouped by: make it an item of its own, in a WITH before if need be
    1:61: misplaced_aggregate: `b.age` is neither aggregated nor grouped by: make it an item of its own, in a WITH before if need be
    "#);
    check!("MATCH (p:Person) WHERE count(*) > 1 RETURN p", @"1:24: misplaced_aggregate: count() may not stand here: aggregates stand in WITH and RETURN, outside of each other");
    check!("MATCH (p:Person) RETURN count(count(*))", @"1:31: misplaced_aggregate: count() may not stand here: aggregates stand in WITH and RETURN, outside of each other");
    check!("MATCH (p:Person) RETURN p.name ORDER BY count(*)", @"1:41: misplaced_aggregate: count() may not stand here: aggregates stand in WITH and RETURN, outside of each other");
    check!("MATCH (p:Person) RETURN p.stage, count(*) ORDER BY max(p.age)", @"1:52: misplaced_aggregate: an aggregate in ORDER BY must also be projected");
    check!("MATCH (p:Person) RETURN count(*) AS c ORDER BY p.age", @"1:48: unknown_variable: `p` is gone here: after DISTINCT or an aggregate ORDER BY sees only what is projected");
    check!("MATCH (p:Person) WITH DISTINCT p.name AS n ORDER BY p.age RETURN n", @"1:53: unknown_variable: `p` is gone here: after DISTINCT or an aggregate ORDER BY sees only what is projected");
    check!("MATCH (p:Person) WITH p.name AS n RETURN p.age", @"1:42: unknown_variable: there is no variable `p` here");
    check!("MATCH (n:Person) RETURN n.name, n.name", @"1:33: duplicate_name: two columns are called `n.name`: rename one with AS");
    check!("MATCH (n:Person) WITH n.name RETURN 1", @"1:23: syntax: `n.name` needs a name in WITH: write `n.name AS name`");
    check!("MATCH (n:Person) WITH n.name, count(*) AS c ORDER BY n.age + count(*) RETURN 1", @r#"
    1:23: syntax: `n.name` needs a name in WITH: write `n.name AS name`
    1:54: misplaced_aggregate: `n.age` is neither aggregated nor grouped by: make it an item of its own, in a WITH before if need be
    "#);
    check!("RETURN *", @"1:8: unknown_variable: there is no variable that `*` could stand for");
    check!("MATCH (n:Person) RETURN sum(n.name), avg(n.active)", @r#"
    1:29: type_mismatch: the argument of sum() must be a number, not a string
    1:42: type_mismatch: the argument of avg() must be a number, not a boolean
    "#);
    check!("MATCH (n:Person) RETURN count(DISTINCT *), sum(*)", @"1:41: syntax: `)` cannot stand here");
    check!("MATCH (n:Person) RETURN count()", @"1:25: wrong_arity: count() takes 1 argument, not 0");
    check!("MATCH (n:Person) RETURN n SKIP -1", @"1:32: invalid_value: SKIP takes 0 or more, not -1");
    check!("MATCH (n:Person) RETURN n LIMIT 1.5", @"1:33: type_mismatch: the number after LIMIT must be an integer, not a float");
    check!("MATCH (n:Person) RETURN n LIMIT n.age", @"1:33: invalid_value: LIMIT takes a constant or a parameter: there are no variables here");
    check!("MATCH (n:Person) RETURN n LIMIT null", @"1:33: invalid_value: LIMIT takes an integer, not null");
    check!("MATCH (n) UNWIND [1] AS n RETURN n", @"1:25: duplicate_name: `n` is bound already: UNWIND needs a new name");
}
