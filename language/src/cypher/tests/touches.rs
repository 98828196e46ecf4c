//! What policy is told: never less than what is read and written.

#[test]
fn hidden_values_count_whole() {
    check!("MATCH (p:Person) WITH {x: p} AS m RETURN m.x.name", @r#"
    match (#0:Person)
    project #1 = {x: #0}
    project #2 = #1?.x.name
    columns #2 m.x.name Any
    Person read(name email age born seen height tags active stage)
    "#);
    check!("MATCH (p:Person)-->(o:Org) RETURN [p, 1][0].name AS x", @r#"
    match (#0:Person)-[#2:WorksAt]->(#1:Org)
    project #3 = [#0, 1][0].name
    columns #3 x Any
    Person read(name email age born seen height tags active stage)
    Org read()
    WorksAt read()
    "#);
    check!("MATCH (p:Person)-->(o:Org) WITH coalesce(p.name, o) AS x RETURN 1 AS one", @r#"
    match (#0:Person)-[#2:WorksAt]->(#1:Org)
    project #3 = coalesce(#0.name, #1)
    project #4 = 1
    columns #4 one Integer
    Person read(name)
    Org read(name slug founded size)
    WorksAt read()
    "#);
    check!("MATCH (p:Person)-->(o:Org) WITH coalesce(p, o) AS x RETURN x.name", @r#"
    match (#0:Person)-[#2:WorksAt]->(#1:Org)
    project #3 = coalesce(#0, #1)
    project #4 = #3.name
    columns #4 x.name String
    Person read(name)
    Org read(name)
    WorksAt read()
    "#);
    check!("MATCH (p:Person)-->(o:Org) WITH CASE WHEN p.active THEN p ELSE 'x' END AS x RETURN 1 AS one", @r#"
    match (#0:Person)-[#2:WorksAt]->(#1:Org)
    project #3 = CASE WHEN #0.active THEN #0 ELSE 'x' END
    project #4 = 1
    columns #4 one Integer
    Person read(name email age born seen height tags active stage)
    Org read()
    WorksAt read()
    "#);
    check!("MATCH (p:Person)-->(o:Org) WITH collect(p) AS ps, collect(o) AS os UNWIND ps + os AS x RETURN x.founded", @r#"
    match (#0:Person)-[#2:WorksAt]->(#1:Org)
    group [] [#3 = collect(#0), #4 = collect(#1)]
    project #5 = #3, #6 = #4
    unwind (#5 + #6) as #7
    project #8 = #7.founded
    columns #8 x.founded Integer
    Person read()
    Org read(founded)
    WorksAt read()
    "#);
    check!("MATCH (p:Person)-[k:Knows]->() RETURN [k] AS ks", @r#"
    match (#0:Person)-[#2:Knows]->(#1:Person)
    project #3 = [#2]
    columns #3 ks [Knows]
    Person read()
    Knows read(since weight)
    "#);
    check!("MATCH (n:Note)-[a]->() RETURN endNode(a).age", @r#"
    match (#0:Note)-[#2:About]->(#1:Person)
    project #3 = endNode(#2).age
    columns #3 endNode(a).age Integer
    Person read(age)
    Note read()
    About read()
    "#);
    check!("MATCH (n:Person) RETURN count(n), n = n AS same", @r#"
    match (#0:Person)
    group [#2 = (#0 = #0)] [#1 = count(#0)]
    project #3 = #1, #4 = #2
    columns #3 count(n) Integer, #4 same Boolean
    Person read()
    "#);
    check!("MATCH (n:Person) WITH n ORDER BY n.age RETURN 1 AS one", @r#"
    match (#0:Person)
    project #1 = #0 order #1.age
    project #2 = 1
    columns #2 one Integer
    Person read(age)
    "#);
    check!("MATCH (n:Person) WHERE keys(n) = ['a'] RETURN 1 AS one", @r#"
    match (#0:Person) where (keys(#0) = ['a'])
    project #1 = 1
    columns #1 one Integer
    Person read(name email age born seen height tags active stage)
    "#);
    check!("MATCH (n:Person) RETURN n[$x] AS x", @r#"
    match (#0:Person)
    project #1 = #0[$x]
    columns #1 x Any
    parameters $x String
    Person read(name email age born seen height tags active stage)
    "#);
    check!("MATCH (n:Person)-->(o:Org) SET o = n", @r#"
    match (#0:Person)-[#2:WorksAt]->(#1:Org)
    set #1 = #0
    Person read(name email age born seen height tags active stage)
    Org read() write(name slug founded size)
    WorksAt read()
    "#);
    check!("MATCH (:Note)-[*2]->(:Person) RETURN 1 AS one", @r#"
    match (#0:Note)-[#2:Knows|About*2..2]->(#1:Person)
    project #3 = 1
    columns #3 one Integer
    Person read()
    Note read()
    Knows read()
    About read()
    "#);
    check!("MATCH (o:Org)-[*]-(q) WITH [o, 1] AS xs UNWIND xs AS x SET x.size = 1", @r#"
    match (#0:Org)-[#2:**1..]-(#1:*)
    project #3 = [#0, 1]
    unwind #3 as #4
    set #4.size = 1
    Person read()
    Org read(name slug founded size) write(size)
    Place read()
    Note read()
    Knows read()
    WorksAt read()
    LocatedIn read()
    About read()
    "#);
}
