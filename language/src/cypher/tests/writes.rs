//! `CREATE`, `MERGE`, `SET`, `REMOVE` and `DELETE`.

#[test]
fn creating() {
    check!("CREATE (p:Person {email: 'a', name: 'b'})-[k:Knows {since: date('2020-01-01')}]->(q:Person {email: 'c', name: 'x'}) RETURN p, k.since", @r#"
    create (#0:Person {email: 'a', name: 'b'}), (#1:Person {email: 'c', name: 'x'}), (#0)-[#2:Knows {since: date('2020-01-01')}]->(#1)
    project #3 = #0, #4 = #2.since
    columns #3 p Person, #4 k.since Date
    Person read(name email age born seen height tags active stage) write(name email active)
    Knows read(since) write(since)
    "#);
    check!("CREATE (:Person:Named $m)", @r#"
    create (#0:Person $m)
    parameters $m Map
    Person write(name email age born seen height tags active stage)
    "#);
    check!("CREATE (n:Note)", @r#"
    create (#0:Note)
    Note write()
    "#);
    check!("CREATE (a:Note), (b:Note {text: $t}), (b)-[:About]->(:Person {email: 'x', name: 'y'})", @r#"
    create (#0:Note), (#1:Note {text: $t}), (#2:Person {email: 'x', name: 'y'}), (#1)-[#3:About]->(#2)
    parameters $t String
    Person write(name email active)
    Note write(text)
    About write()
    "#);
    check!("MATCH (p:Person), (o:Org) CREATE (o)<-[w:WorksAt {role: p.name}]-(p)", @r#"
    match (#0:Person), (#1:Org)
    create (#0)-[#2:WorksAt {role: #0.name}]->(#1)
    Person read(name)
    Org read()
    WorksAt write(role)
    "#);
    check!("CREATE p = (:Note)-[:About]->(:Person {email: 'x', name: 'y'}) RETURN p", @r#"
    create (#0:Note), (#1:Person {email: 'x', name: 'y'}), (#0)-[#2:About]->(#1), #3 = path(#0 #2 #1)
    project #4 = #3
    columns #4 p Path
    Person read(name email age born seen height tags active stage) write(name email active)
    Note read(text) write()
    About read() write()
    "#);
    check!("UNWIND $rows AS row CREATE (p:Person {email: row.email}) SET p.name = row.name", @r#"
    unwind $rows as #0
    create (#1:Person {email: #0?.email})
    set #1.name = #0?.name
    parameters $rows [Any]
    Person write(name email active)
    "#);
    check!("MATCH (p:Person) WITH p AS q CREATE (n:Note {text: q.name})-[:About]->(q) RETURN n.text", @r#"
    match (#0:Person)
    project #1 = #0
    create (#2:Note {text: #1.name}), (#2)-[#3:About]->(#1)
    project #4 = #2.text
    columns #4 n.text String
    Person read(name)
    Note read(text) write(text)
    About write()
    "#);
}

#[test]
fn merging() {
    check!("MERGE (p:Person {email: 'x'}) ON CREATE SET p.name = 'n' ON MATCH SET p.age = p.age + 1 RETURN p.age", @r#"
    merge (#0:Person {email: 'x'}) on create set #0.name = 'n' on match set #0.age = (#0.age + 1)
    project #1 = #0.age
    columns #1 p.age Integer
    Person read(email age) write(name email age active)
    "#);
    check!("MERGE (p:Place {country: 'de', city: $c, area: 3})", @r#"
    merge (#0:Place {country: 'de', city: $c, area: 3})
    parameters $c String
    Place read(country city area) write(country city area)
    "#);
    check!("MATCH (a:Person), (b:Person) MERGE (a)-[k:Knows {since: $d}]->(b) ON CREATE SET k.weight = 1", @r#"
    match (#0:Person), (#1:Person)
    merge (#0)-[#2:Knows {since: $d}]->(#1) on create set #2.weight = 1
    parameters $d Date
    Person read()
    Knows read(since) write(since weight)
    "#);
    check!("MERGE (a:Person {email: 'x'})-[k:Knows]->(b:Person {email: 'y'})", @r#"
    merge (#0:Person {email: 'x'})
    merge (#1:Person {email: 'y'})
    merge (#0)-[#2:Knows]->(#1)
    Person read(email) write(email active)
    Knows read() write()
    "#);
    check!("MATCH (o:Org) MERGE (o)<-[:WorksAt]-(p:Person {email: 'x'})", @r#"
    match (#0:Org)
    merge (#1:Person {email: 'x'})
    merge (#1)-[#2:WorksAt]->(#0)
    Person read(email) write(email active)
    Org read()
    WorksAt read() write()
    "#);
}

#[test]
fn setting() {
    check!("MATCH (p:Person) SET p.age = 3, p.name = toUpper(p.name), p.born = null", @r#"
    match (#0:Person)
    set #0.age = 3, #0.name = toUpper(#0.name), #0.born = null
    Person read(name) write(name age born)
    "#);
    check!("MATCH (p:Person) SET p += {age: 1, tags: ['a']}", @r#"
    match (#0:Person)
    set #0.age = 1, #0.tags = ['a']
    Person read() write(age tags)
    "#);
    check!("MATCH (p:Person) SET p += {name: p.name + 'x', age: 1}", @r#"
    match (#0:Person)
    set #0 += {name: (#0.name + 'x'), age: 1}
    Person read(name) write(name age)
    "#);
    check!("MATCH (p:Person) SET p = {name: 'x', active: true}", @r#"
    match (#0:Person)
    set #0.name = 'x', #0.active = true, #0.age = null, #0.born = null, #0.height = null, #0.seen = null, #0.stage = null, #0.tags = null
    Person read() write(name age born seen height tags active stage)
    "#);
    check!("MATCH (p:Person)-[k:Knows]->(q) SET k = {weight: 1}, p += $map", @r#"
    match (#0:Person)-[#2:Knows]->(#1:Person)
    set #2.weight = 1, #2.since = null, #0 += $map
    parameters $map Map
    Person read() write(name email age born seen height tags active stage)
    Knows read() write(since weight)
    "#);
    check!("MATCH (p:Person)-->(q:Person) SET p += q", @r#"
    match (#0:Person)-[#2:Knows]->(#1:Person)
    set #0 += #1
    Person read(name email age born seen height tags active stage) write(name email age born seen height tags active stage)
    Knows read()
    "#);
    check!("MATCH (n) SET n.name = 'x'", @r#"
    match (#0:*)
    set #0.name = 'x'
    Person read() write(name)
    Org read() write(name)
    Place read()
    Note read()
    "#);
    check!("MATCH (p:Person) REMOVE p.age, p.tags", @r#"
    match (#0:Person)
    set #0.age = null, #0.tags = null
    Person read() write(age tags)
    "#);
    check!("MATCH (p:Person) SET (p).age = 1 * 3", @r#"
    match (#0:Person)
    set #0.age = (1 * 3)
    Person read() write(age)
    "#);
}

#[test]
fn deleting() {
    check!("MATCH (p:Person) DETACH DELETE p", @r#"
    match (#0:Person)
    detach delete #0
    Person read() write()
    Knows write()
    WorksAt write()
    About write()
    "#);
    check!("MATCH (n) DELETE n", @r#"
    match (#0:*)
    delete #0
    Person read() write()
    Org read() write()
    Place read() write()
    Note read() write()
    "#);
    check!("MATCH (:Person)-[k:Knows]->() DELETE k", @r#"
    match (#0:Person)-[#2:Knows]->(#1:Person)
    delete #2
    Person read()
    Knows read() write()
    "#);
    check!("MATCH p = (:Note)-[:About]->(x) DELETE p", @r#"
    match #3 = (#0:Note)-[#2:About]->(#1:Person)
    delete #3
    Person read() write()
    Note read() write()
    About read() write()
    "#);
    check!("MATCH (p:Person)-->(o:Org) WITH [p, o, 1] AS xs UNWIND xs AS x DETACH DELETE x", @r#"
    match (#0:Person)-[#2:WorksAt]->(#1:Org)
    project #3 = [#0, #1, 1]
    unwind #3 as #4
    detach delete #4
    Person read(name email age born seen height tags active stage) write()
    Org read(name slug founded size) write()
    Knows write()
    WorksAt read() write()
    LocatedIn write()
    About write()
    "#);
    check!("MATCH (n:Note) DELETE n RETURN count(*) AS gone", @r#"
    match (#0:Note)
    delete #0
    group [] [#1 = count(*)]
    project #2 = #1
    columns #2 gone Integer
    Note read() write()
    "#);
}

#[test]
fn creations_that_are_refused() {
    check!("CREATE (p)", @"1:8: invalid_value: a new node needs its type: write (:Type)");
    check!("CREATE (p:Person {name: 'b'})", @"1:8: missing_property: a new Person needs its key `email`");
    check!("CREATE (p:Person {email: null, name: 'x'})", @"1:26: missing_property: `Person.email` must have a value: it cannot be null");
    check!("CREATE (p:Person {email: 'b'})", @"1:8: missing_property: a new Person needs `name`, which must have a value");
    check!("CREATE (p:Person {email: 'b', nam: 'x'})", @"1:31: unknown_property: Person has no property `nam` (did you mean `name`?)");
    check!("CREATE (p:Person {email: 3, name: 'x'})", @"1:26: type_mismatch: `Person.email` takes a string, not an integer");
    check!("CREATE (p:Person {email: 'b', name: 'x', age: 3000000000})", @"1:47: invalid_value: `Person.age`: I32 holds -2147483648 to 2147483647, got 3000000000");
    check!("CREATE (p:Person {email: 'b', name: 'x', stage: 'runing'})", @r#"1:49: invalid_value: `Person.stage`: expected one of new, running, done, got string "runing" (did you mean `running`?)"#);
    check!("CREATE (p:Person {email: 'b', name: 'x', born: '2000-01-01'})", @"1:48: type_mismatch: `Person.born` takes a date, not a string (did you mean `date('2000-01-01')`?)");
    check!("CREATE (p:Person {email: 'b', name: 'x', tags: ['a', null]})", @"1:48: invalid_value: `Person.tags`: element 1 of the list is null");
    check!("CREATE (p:Person|Org {email: 'b'})", @"1:11: invalid_value: a new node has exactly one type, not a choice");
    check!("CREATE (p:Person:Org {email: 'b'})", @"1:11: invalid_value: a new node has exactly one type");
    check!("CREATE (p:Named {name: 'b'})", @"1:11: invalid_value: `Named` is an interface: a new node is Person or Org");
    check!("CREATE (p:Persn {email: 'b'})", @"1:11: unknown_type: there is no node type `Persn` (did you mean `Person`?)");
    check!("MATCH (p:Person) CREATE (p)", @"1:26: duplicate_name: `p` is bound already: it cannot be made anew");
    check!("MATCH (p:Person) CREATE (p:Person)-[:Knows]->(p)", @"1:26: duplicate_name: `p` is bound already: it cannot be made anew");
    check!("MATCH (p:Person) CREATE (p)-[:Knows]-(p)", @"1:28: invalid_value: a new relationship needs a direction: write -[:Type]->");
    check!("MATCH (p:Person) CREATE (p)-->(p)", @"1:28: invalid_value: a new relationship needs its type: write -[:Type]->");
    check!("MATCH (p:Person) CREATE (p)-[:Knows|WorksAt]->(p)", @"1:31: invalid_value: a new relationship has exactly one type");
    check!("MATCH (p:Person) CREATE (p)-[:Knows*2]->(p)", @"1:36: invalid_value: a new relationship has no length");
    check!("MATCH (p:Person), (o:Org) CREATE (o)-[:WorksAt]->(p)", @"1:37: wrong_direction: `WorksAt` goes from Person to Org, not from Org to Person");
    check!("MATCH (p:Person) CREATE (n:Note {text: 'x'})-[:About]->(m:Note {text: n.text})", @"1:71: unsupported: a variable of the same CREATE in its properties is not supported yet");
    check!("WITH 1 AS a CREATE (a)-[:Knows]->(a)", @"1:21: type_mismatch: `a` is an integer, not a node");
    check!("CREATE shortestPath((a)-[*]->(b))", @"1:8: syntax: shortestPath cannot be created");
}

#[test]
fn what_has_no_key_is_merged_as_a_whole() {
    check!("MERGE (p:Note {text: 'x'})", @r#"
    merge match (#0:Note {text = 'x'}) else create (#0:Note {text: 'x'})
    Note read(text) write(text)
    "#);
    check!("MERGE (p:Person {name: 'x'}) ON CREATE SET p.age = 1", @r#"
    merge match (#0:Person {name = 'x'}) else create (#0:Person {name: 'x'}) on create set #0.age = 1
    Person read(name) write(name age active)
    "#);
    check!("MATCH (a:Person), (b:Person) MERGE (a)-[k:Knows]-(b)", @r#"
    match (#0:Person), (#1:Person)
    merge match (#0!:Person)-[#2:Knows]-(#1!:Person) else create (#0)-[#2:Knows]->(#1)
    Person read()
    Knows read() write()
    "#);
    check!("MERGE (n:Note {text: 'x'})-[:About]->(:Person {email: 'y'})", @r#"
    merge (#0:Person {email: 'y'})
    merge match (#1:Note {text = 'x'})-[#2:About]->(#0!:Person) else create (#1:Note {text: 'x'}), (#1)-[#2:About]->(#0)
    Person read(email) write(email active)
    Note read(text) write(text)
    About read() write()
    "#);
    check!("MERGE q = (:Person {email: 'x'})-[:Knows]->(:Person {email: 'y'})", @r#"
    merge (#0:Person {email: 'x'})
    merge (#1:Person {email: 'y'})
    merge (#0)-[#2:Knows]->(#1)
    create #3 = path(#0 #2 #1)
    Person read(email) write(email active)
    Knows read() write()
    "#);
}

#[test]
fn merges_that_are_refused() {
    check!("MERGE (p:Person $m)", @"1:7: invalid_value: the properties of a pattern to find are written out: a parameter cannot stand for all of them");
    check!("MERGE (p {email: 'x'})", @"1:7: invalid_value: a new node needs its type: write (:Type)");
    check!("MERGE (p:Person {email: null})", @"1:25: missing_property: `Person.email` must have a value: it cannot be null");
    check!("MATCH (a:Person) MERGE (a)-[:Knows]->(b)", @"1:38: invalid_value: a new node needs its type: write (:Type)");
    check!("MATCH (a:Person) MERGE (a)-[:Knows*2]-(:Person)", @"1:35: invalid_value: a new relationship has no length");
    check!("MATCH (a:Person), (o:Org) MERGE (o)-[:WorksAt]->(a)-[:Knows]-(a)", @"1:36: wrong_direction: `WorksAt` goes from Person to Org, not from Org to Person (did you mean `<-[:WorksAt]-`?)");
    check!("MERGE (p:Person $m)-[:Knows]-(p)", @"1:7: invalid_value: the properties of a pattern to find are written out: a parameter cannot stand for all of them");
    check!("MERGE (a:Person {email: 'x'})-[k:Knows]->(b:Person {email: 'y'}) ON CREATE SET a.age = 1", @"1:66: unsupported: ON CREATE or ON MATCH on a pattern of several parts (MERGE them one by one) is not supported yet");
    check!("MATCH (p:Person) MERGE (p)", @"1:25: duplicate_name: `p` is bound already: it cannot be made anew");
}

#[test]
fn assignments_that_are_refused() {
    check!("MATCH (p:Person) SET p.email = 'x'", @"1:24: unsupported: `email` is in the key of Person, which a node keeps for life: delete the node and create another");
    check!("MATCH (p:Person) SET p.agee = 3", @"1:24: unknown_property: Person has no property `agee` (did you mean `age`?)");
    check!("MATCH (p:Person) SET p.age = 'x'", @"1:30: type_mismatch: `Person.age` takes an integer, not a string");
    check!("MATCH (p:Person) SET p.age = 1.5", @"1:30: type_mismatch: `Person.age` takes an integer, not a float");
    check!("MATCH (p:Person) SET p.name = null", @"1:31: missing_property: `Person.name` must have a value: it cannot be null");
    check!("MATCH (p:Person) SET p.born = '2000-01-01'", @"1:31: type_mismatch: `Person.born` takes a date, not a string (did you mean `date('2000-01-01')`?)");
    check!("MATCH (p:Person) SET p += {name: 'x', bron: null}", @"1:39: unknown_property: Person has no property `bron` (did you mean `born`?)");
    check!("MATCH (p:Person) SET p = {name: 'x'}", @"1:26: missing_property: `Person.active` must have a value, and = would remove it: name it, or use +=");
    check!("MATCH (p:Person) SET p += {email: 'x', agee: 3}", @"1:40: unknown_property: Person has no property `agee` (did you mean `age`?)");
    check!("MATCH (p:Person) SET p += {email: 3}", @"1:35: type_mismatch: `Person.email` takes a string, not an integer");
    check!("MATCH (p:Person) SET p[1] = 3", @"1:24: type_mismatch: the name of a property must be a string, not an integer");
    check!("MATCH (p:Person) SET p = 3", @"1:26: type_mismatch: properties come from a map, a node or a relationship, not an integer");
    check!("MATCH (p:Person) SET p:Org", @"1:24: invalid_value: in a closed graph a node keeps its type, and so its labels, for life");
    check!("MATCH (p:Person) REMOVE p:Persn", @"1:27: unknown_type: there is no node type `Persn` (did you mean `Person`?)");
    check!("MATCH (p:Person) REMOVE p.name", @"1:25: missing_property: `Person.name` must have a value: it cannot be null");
    check!("MATCH (p:Person) REMOVE p.email", @"1:27: unsupported: `email` is in the key of Person, which a node keeps for life: delete the node and create another");
    check!("MATCH (p:Person) SET q.age = 3", @"1:22: unknown_variable: there is no variable `q` here");
    check!("MATCH (p:Person) SET p.tags.x = 3", @"1:22: unsupported: an assignment to anything but `variable.property` is not supported yet");
    check!("WITH 1 AS x SET x.age = 3", @"1:17: type_mismatch: `x` is an integer: only nodes and relationships are assigned to");
    check!("MATCH (p:Person) DELETE p.age", @"1:25: type_mismatch: DELETE takes nodes, relationships and paths, not an integer");
    check!("MATCH (p:Person) DELETE p:Person", @"1:25: type_mismatch: a label cannot be deleted");
    check!("MATCH (p:Person) WITH collect(p) AS ps DELETE ps", @"1:47: type_mismatch: DELETE takes nodes, relationships and paths, not a list of nodes");
}
