//! `MATCH`: what patterns become, and what is said about those that cannot match.

#[test]
fn labels_are_sets_of_types() {
    check!("MATCH (p:Person) RETURN p.email", @r#"
    match (#0:Person)
    project #1 = #0.email
    columns #1 p.email String
    Person read(email)
    "#);
    check!("MATCH (n) RETURN n.name", @r#"
    match (#0:*)
    project #1 = #0.name
    columns #1 n.name String
    Person read(name)
    Org read(name)
    Place read()
    Note read()
    "#);
    check!("MATCH (n:Named) RETURN n.name", @r#"
    match (#0:Person|Org)
    project #1 = #0.name
    columns #1 n.name String
    Person read(name)
    Org read(name)
    "#);
    check!("MATCH (n:Person|Org) RETURN n.slug, n.email", @r#"
    match (#0:Person|Org)
    project #1 = #0.slug, #2 = #0.email
    columns #1 n.slug String, #2 n.email String
    Person read(email)
    Org read(slug)
    "#);
    check!("MATCH (n:Person&Named) RETURN n.email", @r#"
    match (#0:Person)
    project #1 = #0.email
    columns #1 n.email String
    Person read(email)
    "#);
    check!("MATCH (n:Person:Named) WHERE n:Org OR n:Place RETURN labels(n)", @r#"
    match (#0:Person) where (#0:Org OR #0:Place)
    project #1 = labels(#0)
    columns #1 labels(n) [String]
    Person read()
    "#);
    check!("MATCH (n:Person&Org) RETURN n", @r#"
    match (#0:nothing)
    project #1 = #0
    columns #1 n nothing
    "#);
    check!("MATCH (n:!Person&!Note) RETURN n.city", @r#"
    match (#0:Org|Place)
    project #1 = #0.city
    columns #1 n.city String
    Org read()
    Place read(city)
    "#);
    check!("MATCH (n:Unused) RETURN 1 AS one", @r#"
    match (#0:nothing)
    project #1 = 1
    columns #1 one Integer
    "#);
}

#[test]
fn properties_narrow_types() {
    check!("MATCH (n {slug: 'x'}) RETURN n", @r#"
    match (#0:Org {slug = 'x'})
    project #1 = #0
    columns #1 n Org
    Org read(name slug founded size)
    "#);
    check!("MATCH (n:Person|Note {email: $e}) RETURN n.age", @r#"
    match (#0:Person {email = $e})
    project #1 = #0.age
    columns #1 n.age Integer
    parameters $e String
    Person read(email age)
    "#);
    check!("MATCH (n {name: 'x'})-[r {since: $d}]-(m) RETURN type(r)", @r#"
    match (#0:Person|Org {name = 'x'})-[#2:Knows|WorksAt {since = $d}]-(#1:Person|Org)
    project #3 = type(#2)
    columns #3 type(r) String
    parameters $d Date
    Person read(name)
    Org read(name)
    Knows read(since)
    WorksAt read(since)
    "#);
    check!("MATCH (a:Person)-[:Knows]->(b {name: a.name, age: 3}) RETURN b.email", @r#"
    match (#0:Person)-[#2:Knows]->(#1:Person {age = 3}) where (#1.name = #0.name)
    project #3 = #1.email
    columns #3 b.email String
    Person read(name email age)
    Knows read()
    "#);
    check!("MATCH (a:Person WHERE a.age > 3)-[k:Knows WHERE k.weight > 1]->(b) RETURN b.email", @r#"
    match (#0:Person)-[#2:Knows]->(#1:Person) where ((#0.age > 3) AND (#2.weight > 1))
    project #3 = #1.email
    columns #3 b.email String
    Person read(email age)
    Knows read(weight)
    "#);
}

#[test]
fn edges_and_nodes_narrow_each_other() {
    check!("MATCH (a)-[r]->(b:Place) RETURN type(r), a.name", @r#"
    match (#0:Org)-[#2:LocatedIn]->(#1:Place)
    project #3 = type(#2), #4 = #0.name
    columns #3 type(r) String, #4 a.name String
    Org read(name)
    Place read()
    LocatedIn read()
    "#);
    check!("MATCH (a:Person)-[:WorksAt]->()-[:LocatedIn]->(p) RETURN p.city", @r#"
    match (#0:Person)-[#3:WorksAt]->(#1:Org)-[#4:LocatedIn]->(#2:Place)
    project #5 = #2.city
    columns #5 p.city String
    Person read()
    Org read()
    Place read(city)
    WorksAt read()
    LocatedIn read()
    "#);
    check!("MATCH (a)-->(b)-->(c)-->(d)-->(e) RETURN count(*)", @r#"
    match (#0:Person|Note)-[#5:Knows|About]->(#1:Person)-[#6:Knows]->(#2:Person)-[#7:Knows|WorksAt]->(#3:Person|Org)-[#8:Knows|WorksAt|LocatedIn]->(#4:Person|Org|Place)
    group [] [#9 = count(*)]
    project #10 = #9
    columns #10 count(*) Integer
    Person read()
    Org read()
    Place read()
    Note read()
    Knows read()
    WorksAt read()
    LocatedIn read()
    About read()
    "#);
    check!("MATCH (a)<-[:WorksAt]-(b)-[:Knows]-(c) RETURN a.slug, c.email", @r#"
    match (#0:Org)<-[#3:WorksAt]-(#1:Person)-[#4:Knows]-(#2:Person)
    project #5 = #0.slug, #6 = #2.email
    columns #5 a.slug String, #6 c.email String
    Person read(email)
    Org read(slug)
    Knows read()
    WorksAt read()
    "#);
    check!("MATCH (a:Person)--(b:Org) RETURN b.slug", @r#"
    match (#0:Person)-[#2:WorksAt]-(#1:Org)
    project #3 = #1.slug
    columns #3 b.slug String
    Person read()
    Org read(slug)
    WorksAt read()
    "#);
    check!("MATCH (a)-[:Knows|WorksAt]->(b {slug: 'x'}) RETURN a.email", @r#"
    match (#0:Person)-[#2:WorksAt]->(#1:Org {slug = 'x'})
    project #3 = #0.email
    columns #3 a.email String
    Person read(email)
    Org read(slug)
    WorksAt read()
    "#);
    check!("MATCH (a)-[:About]->(b), (b)-->(c:Org) RETURN a.text, c.slug", @r#"
    match (#0:Note)-[#2:About]->(#1:Person), (#1!:Person)-[#4:WorksAt]->(#3:Org)
    project #5 = #0.text, #6 = #3.slug
    columns #5 a.text String, #6 c.slug String
    Person read()
    Org read(slug)
    Note read(text)
    WorksAt read()
    About read()
    "#);
    check!("MATCH (a:Place)-->(b)-->(c) RETURN 1 AS one", @"1:16: wrong_direction: no such relationship goes from Place to anything (did you mean `<--`?)");
    check!("MATCH (a)-->(a) RETURN a.email", @r#"
    match (#0:Person)-[#1:Knows]->(#0!:Person)
    project #2 = #0.email
    columns #2 a.email String
    Person read(email)
    Knows read()
    "#);
    check!("MATCH (a)<-->(b:Note) RETURN a.email", @r#"
    match (#0:Person)-[#2:About]-(#1:Note)
    project #3 = #0.email
    columns #3 a.email String
    Person read(email)
    Note read()
    About read()
    "#);
}

#[test]
fn lengths_and_paths() {
    check!("MATCH (a:Person)-[:Knows*2..3]->(b) RETURN DISTINCT b.email", @r#"
    match (#0:Person)-[#2:Knows*2..3]->(#1:Person)
    project distinct #3 = #1.email
    columns #3 b.email String
    Person read(email)
    Knows read()
    "#);
    check!("MATCH (a:Note)-[rs*]->(b) RETURN size(rs), b.name", @r#"
    match (#0:Note)-[#2:**1..]->(#1:Person|Org|Place)
    project #3 = size(#2), #4 = #1.name
    columns #3 size(rs) Integer, #4 b.name String
    Person read(name)
    Org read(name)
    Place read()
    Note read()
    Knows read()
    WorksAt read()
    LocatedIn read()
    About read()
    "#);
    check!("MATCH (a:Note)-[*..2]->(b) RETURN b.name", @r#"
    match (#0:Note)-[#2:Knows|WorksAt|About*1..2]->(#1:Person|Org)
    project #3 = #1.name
    columns #3 b.name String
    Person read(name)
    Org read(name)
    Note read()
    Knows read()
    WorksAt read()
    About read()
    "#);
    check!("MATCH (a:Person)-[:WorksAt*0..1]->(b) RETURN b.name", @r#"
    match (#0:Person)-[#2:WorksAt*0..1]->(#1:Person|Org)
    project #3 = #1.name
    columns #3 b.name String
    Person read(name)
    Org read(name)
    WorksAt read()
    "#);
    check!("MATCH (a:Person)-[:Knows*3 {weight: $w}]-(b) RETURN a.email", @r#"
    match (#0:Person)-[#2:Knows*3..3 {weight = $w}]-(#1:Person)
    project #3 = #0.email
    columns #3 a.email String
    parameters $w Number
    Person read(email)
    Knows read(weight)
    "#);
    check!("MATCH p = (a:Note)-[*1..]->(o:Org) RETURN p", @r#"
    match #3 = (#0:Note)-[#2:Knows|WorksAt|About*1..]->(#1:Org)
    project #4 = #3
    columns #4 p Path
    Person read(name email age born seen height tags active stage)
    Org read(name slug founded size)
    Note read(text)
    Knows read(since weight)
    WorksAt read(role since)
    About read()
    "#);
    check!("MATCH p = (a:Note)-[:About]->(b) RETURN nodes(p)[0].text, relationships(p), length(p)", @r#"
    match #3 = (#0:Note)-[#2:About]->(#1:Person)
    project #4 = nodes(#3)[0].text, #5 = relationships(#3), #6 = length(#3)
    columns #4 nodes(p)[0].text String, #5 relationships(p) [About], #6 length(p) Integer
    Person read()
    Note read(text)
    About read()
    "#);
    check!("MATCH p = shortestPath((a:Person {email: 'x'})-[:Knows*]-(b:Person {email: $b})) RETURN length(p)", @r#"
    match #3 = shortest (#0:Person {email = 'x'})-[#2:Knows*1..]-(#1:Person {email = $b})
    project #4 = length(#3)
    columns #4 length(p) Integer
    parameters $b String
    Person read(email)
    Knows read()
    "#);
    check!("MATCH allShortestPaths((a:Person)-[:Knows*..5]->(b:Person)) RETURN a.email, b.email", @r#"
    match all shortest (#0:Person)-[#2:Knows*1..5]->(#1:Person)
    project #3 = #0.email, #4 = #1.email
    columns #3 a.email String, #4 b.email String
    Person read(email)
    Knows read()
    "#);
    check!("MATCH p = shortestPath((a:Person)-[:Knows]->(b:Person)) RETURN length(p)", @r#"
    match #3 = shortest (#0:Person)-[#2:Knows*1..1]->(#1:Person)
    project #4 = length(#3)
    columns #4 length(p) Integer
    Person read()
    Knows read()
    "#);
}

#[test]
fn what_is_bound_before() {
    check!("MATCH (p:Person) OPTIONAL MATCH (p)-[w:WorksAt]->(o) WHERE o.size > 3 RETURN p.name, w.role, o", @r#"
    match (#0:Person)
    optional match (#0!:Person)-[#2:WorksAt]->(#1:Org) where (#1.size > 3)
    project #3 = #0.name, #4 = #2.role, #5 = #1
    columns #3 p.name String, #4 w.role String, #5 o Org
    Person read(name)
    Org read(name slug founded size)
    WorksAt read(role)
    "#);
    check!("MATCH (a)-[r:Knows]->() WITH a, r MATCH (x)-[r]->(y) RETURN y.email", @r#"
    match (#0:Person)-[#2:Knows]->(#1:Person)
    project #3 = #0, #4 = #2
    match (#5:Person)-[#4!:Knows]->(#6:Person)
    project #7 = #6.email
    columns #7 y.email String
    Person read(email)
    Knows read()
    "#);
    check!("MATCH (n) OPTIONAL MATCH (n)-[:WorksAt]->(o) RETURN n.name, o.slug", @r#"
    match (#0:*)
    optional match (#0!:Person)-[#2:WorksAt]->(#1:Org)
    project #3 = #0.name, #4 = #1.slug
    columns #3 n.name String, #4 o.slug String
    Person read(name)
    Org read(name slug)
    Place read()
    Note read()
    WorksAt read()
    "#);
    check!("MATCH (n) MATCH (n)-[:WorksAt]->(o) RETURN n.email", @r#"
    match (#0:*)
    match (#0!:Person)-[#2:WorksAt]->(#1:Org)
    project #3 = #0.email
    columns #3 n.email String
    Person read(email)
    Org read()
    Place read()
    Note read()
    WorksAt read()
    "#);
    check!("OPTIONAL MATCH (n:Person) MATCH (n)-->(m:Org) RETURN m.slug", @r#"
    optional match (#0:Person)
    match (#0!:Person)-[#2:WorksAt]->(#1:Org)
    project #3 = #1.slug
    columns #3 m.slug String
    Person read()
    Org read(slug)
    WorksAt read()
    "#);
    check!("MATCH (p:Person) UNWIND [p, 1] AS x MATCH (x)-[:Knows]->(y) RETURN y.email", @r#"
    match (#0:Person)
    unwind [#0, 1] as #1
    match (#1!:Person)-[#3:Knows]->(#2:Person)
    project #4 = #2.email
    columns #4 y.email String
    Person read(name email age born seen height tags active stage)
    Knows read()
    "#);
}

#[test]
fn unknown_names() {
    check!("MATCH (p:Persn) RETURN p", @"1:10: unknown_type: there is no node type `Persn` (did you mean `Person`?)");
    check!("MATCH (p:person) RETURN p", @"1:10: unknown_type: there is no node type `person` (did you mean `Person`?)");
    check!("MATCH (p:Zebra) RETURN p", @"1:10: unknown_type: there is no node type `Zebra`");
    check!("MATCH (a)-[:Knowz]->(b) RETURN a", @"1:13: unknown_type: there is no edge type `Knowz` (did you mean `Knows`?)");
    check!("MATCH (a:Knows) RETURN a", @"1:10: unknown_type: `Knows` is an edge type: write -[:Knows]->");
    check!("MATCH (a)-[:Person]->(b) RETURN a", @"1:13: unknown_type: `Person` is a node type: write (:Person)");
    check!("MATCH (p:Person) RETURN p.nmae", @"1:27: unknown_property: Person has no property `nmae` (did you mean `name`?)");
    check!("MATCH (p:Person)\nWHERE p.agee > 3\nRETURN p", @"2:9: unknown_property: Person has no property `agee` (did you mean `age`?)");
    check!("MATCH (n) RETURN n.zip", @"1:20: unknown_property: no type has a property `zip`");
    check!("MATCH (n:!Person) RETURN n.email", @"1:28: unknown_property: none of the possible types has a property `email`: Org, Place or Note");
    check!("MATCH (p:Person {mail: 'x'}) RETURN p", @"1:18: unknown_property: Person has no property `mail` (did you mean `email`?)");
    check!("MATCH (a)-[k:Knows {sinse: $d}]->(b) RETURN a", @"1:21: unknown_property: Knows has no property `sinse` (did you mean `since`?)");
    check!("MATCH (p:Person) WHERE p:Parson RETURN p", @"1:26: unknown_type: there is no node type `Parson` (did you mean `Person`?)");
    check!("MATCH (p:Person) RETURN q", @"1:25: unknown_variable: there is no variable `q` here");
    check!("MATCH (person:Person) RETURN persn.name, person.nam", @r#"
    1:30: unknown_variable: there is no variable `persn` here (did you mean `person`?)
    1:49: unknown_property: Person has no property `nam` (did you mean `name`?)
    "#);
}

#[test]
fn directions_that_the_schema_does_not_have() {
    check!("MATCH (o:Org)-[:WorksAt]->(p:Person) RETURN p", @"1:14: wrong_direction: `WorksAt` goes from Person to Org, not from Org to Person (did you mean `<-[:WorksAt]-`?)");
    check!("MATCH (p:Person)<-[w:WorksAt]-(o) RETURN p", @"1:17: wrong_direction: `WorksAt` goes from Person to Org, not from anything to Person (did you mean `-[w:WorksAt]->`?)");
    check!("MATCH (p:Person)-[:LocatedIn]->(x) RETURN x", @"1:17: wrong_direction: `LocatedIn` goes from Org to Place, not from Person to anything");
    check!("MATCH (p:Place)-->(x) RETURN x", @"1:16: wrong_direction: no such relationship goes from Place to anything (did you mean `<--`?)");
    check!("MATCH (p:Person)-[:WorksAt|LocatedIn]-(x:Person) RETURN x", @"1:17: wrong_direction: no such relationship joins Person and Person");
    check!("MATCH (a:Note)-[:Knows*]->(b) RETURN b", @"1:15: wrong_direction: `Knows` goes from Person to Person, not from Note to anything");
    check!("MATCH (a:Place)-[*]->(b:Note) RETURN b", @"1:16: wrong_direction: no such relationship goes from Place to Note (did you mean `<-[*]-`?)");
    check!("MATCH (a:Person)-[:WorksAt]->(b)-[:Knows]->(c) RETURN c", @"1:33: wrong_direction: `Knows` goes from Person to Person, not from Org to anything");
    check!("MATCH (c)<-[:WorksAt]-(:Person) MATCH (c)-[:Knows]->(b) RETURN b", @"1:42: wrong_direction: `Knows` goes from Person to Person, not from Org to anything");
}

#[test]
fn patterns_that_are_refused() {
    check!("MATCH (a:Person)-[r:Knows]->(b)-[r]->(c) RETURN r", @"1:34: duplicate_name: `r` is bound already and cannot stand for a relationship here");
    check!("MATCH (a)-[a:Knows]->(b) RETURN a", @"1:12: duplicate_name: `a` is bound already and cannot stand for a relationship here");
    check!("MATCH p = (a)-[p:Knows]->(b) RETURN p", @"1:7: duplicate_name: `p` is bound already and cannot stand for something new here");
    check!("MATCH (a:Person) MATCH a = (b)-->(c) RETURN a", @"1:24: duplicate_name: `a` is bound already and cannot stand for something new here");
    check!("WITH 1 AS a MATCH (a) RETURN a", @"1:20: type_mismatch: `a` is an integer, not a node");
    check!("MATCH (a:Person)-[r:Knows*1..2 {since: a.born}]->(b) RETURN b.email", @"1:40: unsupported: a variable of the same MATCH in the properties of a variable-length relationship is not supported yet");
    check!("MATCH (a:Person)-[:Knows*1..2]->(b)-[:Knows]->{1,2}(c) RETURN c", @"1:47: unsupported: a quantified path (write [*1..3]) is not supported yet");
    check!("MATCH ((a)-->(b))+ RETURN a", @"1:18: unsupported: a quantified path (write [*1..3]) is not supported yet");
    check!("MATCH ANY SHORTEST (a)-->(b) RETURN a", @"1:7: unsupported: a path selector is not supported yet");
    check!("MATCH TRAIL (a)-->(b) RETURN a", @"1:7: unsupported: a path mode is not supported yet");
    check!("MATCH (a $props) RETURN a", @"1:7: invalid_value: the properties of a pattern to find are written out: a parameter cannot stand for all of them");
    check!("MATCH (a {age: 'old'}) RETURN a", @"1:11: type_mismatch: an integer and a string cannot be compared with =");
    check!("MATCH (a:Person {born: '2000-01-01'}) RETURN a", @"1:18: type_mismatch: a date and a string cannot be compared with = (did you mean `date('2000-01-01')`?)");
    check!("MATCH (a)-[*99999999999]->(b) RETURN a", @"1:12: invalid_value: a length is an integer up to 4294967295, not 99999999999");
    check!("MATCH (n) WHERE (n)-->() RETURN n", @r#"
    match (#0:*) where exists { match (#0!:Person|Org|Note)-[#2:*]->(#1:Person|Org|Place) }
    project #3 = #0
    columns #3 n *
    Person read(name email age born seen height tags active stage)
    Org read(name slug founded size)
    Place read(country city area)
    Note read(text)
    Knows read()
    WorksAt read()
    LocatedIn read()
    About read()
    "#);
    check!("MATCH (a)-[rs:Knows*]->(b) MATCH (c)-[rs*]->(d) RETURN c", @r#"
    match (#0:Person)-[#2:Knows*1..]->(#1:Person)
    match (#3:Person)-[#2!:Knows*1..]->(#4:Person)
    project #5 = #3
    columns #5 c Person
    Person read(name email age born seen height tags active stage)
    Knows read()
    "#);
    check!("MATCH shortestPath((a)-[:Knows*2..]->(b)) RETURN a", @"1:23: unsupported: a lower bound above 1 in shortestPath is not supported yet");
    check!("MATCH shortestPath((a)-[k:Knows]->(b)) RETURN a", @"1:23: unsupported: a named single relationship in shortestPath (write [r*1..1]) is not supported yet");
}
