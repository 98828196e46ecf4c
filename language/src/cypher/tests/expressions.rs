//! Operators, functions, parameters and their types.

#[test]
fn literals_and_operators() {
    check!(r#"RETURN -9223372036854775808, 0xFF, 0o17, 1e3, -1.5, 'it\'s', "q", null, true"#, @r#"
    project #0 = -9223372036854775808, #1 = 255, #2 = 15, #3 = 1000.0, #4 = -1.5, #5 = 'it's', #6 = 'q', #7 = null, #8 = true
    columns #0 -9223372036854775808 Integer, #1 0xFF Integer, #2 0o17 Integer, #3 1e3 Float, #4 -1.5 Float, #5 'it\'s' String, #6 "q" String, #7 null Null, #8 true Boolean
    "#);
    check!("RETURN 1 < 2 <= 3 = 3", @r#"
    project #0 = (((1 < 2) AND (2 <= 3)) AND (3 = 3))
    columns #0 1 < 2 <= 3 = 3 Boolean
    "#);
    check!("RETURN 1 + 2 * 3 - 4 / 5 % 6 ^ 7, -(1), +2", @r#"
    project #0 = ((1 + (2 * 3)) - ((4 / 5) % (6 ^ 7))), #1 = -1, #2 = 2
    columns #0 1 + 2 * 3 - 4 / 5 % 6 ^ 7 Float, #1 -(1) Integer, #2 +2 Integer
    "#);
    check!("RETURN 'a' + 'b', [1] + 2, [1] + ['a'], 1 + [2]", @r#"
    project #0 = ('a' + 'b'), #1 = ([1] + 2), #2 = ([1] + ['a']), #3 = (1 + [2])
    columns #0 'a' + 'b' String, #1 [1] + 2 [Integer], #2 [1] + ['a'] [Any], #3 1 + [2] [Integer]
    "#);
    check!("RETURN true AND false OR NOT true XOR null", @r#"
    project #0 = ((true AND false) OR (NOT true XOR null))
    columns #0 true AND false OR NOT true XOR null Boolean
    "#);
    check!("MATCH (p:Person) WHERE p.age IN [1, 2] AND p.name STARTS WITH 'A' AND p.name ENDS WITH $e AND p.name CONTAINS 'x' RETURN p.tags[0], p.tags[1..], p.tags[..-1]", @r#"
    match (#0:Person) where (((#0.age IN [1, 2]) AND (#0.name STARTS WITH 'A')) AND ((#0.name ENDS WITH $e) AND (#0.name CONTAINS 'x')))
    project #1 = #0.tags[0], #2 = #0.tags[1..], #3 = #0.tags[..-1]
    columns #1 p.tags[0] String, #2 p.tags[1..] [String], #3 p.tags[..-1] [String]
    parameters $e String
    Person read(name age tags)
    "#);
    check!("MATCH (p:Person) WHERE p.born IS NULL OR NOT p.seen IS NOT NULL RETURN p.age", @r#"
    match (#0:Person) where (#0.born IS NULL OR NOT #0.seen IS NOT NULL)
    project #1 = #0.age
    columns #1 p.age Integer
    Person read(age born seen)
    "#);
    check!("MATCH (p:Person) WHERE p.stage IN ['new', 'done'] AND p.stage <> 'running' RETURN p.email", @r#"
    match (#0:Person) where ((#0.stage IN ['new', 'done']) AND (#0.stage <> 'running'))
    project #1 = #0.email
    columns #1 p.email String
    Person read(email stage)
    "#);
    check!("RETURN {a: 1, b: {c: [2]}}.b.c AS c, [1, 2, 3][0], $list[$i], $map.key, $map['key']", @r#"
    project #0 = {a: 1, b: {c: [2]}}?.b?.c, #1 = [1, 2, 3][0], #2 = $list[$i], #3 = $map?.key, #4 = $map['key']
    columns #0 c Any, #1 [1, 2, 3][0] Integer, #2 $list[$i] Any, #3 $map.key Any, #4 $map['key'] Any
    parameters $i Any, $list Any, $map Any
    "#);
    check!("RETURN CASE 1 WHEN 1 THEN 'a' WHEN 2, 3 THEN 'b' ELSE null END AS x", @r#"
    project #0 = CASE WHEN (1 = 1) THEN 'a' WHEN ((1 = 2) OR (1 = 3)) THEN 'b' ELSE null END
    columns #0 x String
    "#);
    check!("MATCH (p:Person) RETURN CASE WHEN p.age > 3 THEN p.age ELSE p.height END AS x", @r#"
    match (#0:Person)
    project #1 = CASE WHEN (#0.age > 3) THEN #0.age ELSE #0.height END
    columns #1 x Number
    Person read(age height)
    "#);
    check!("MATCH (p:Person)-[k]->(o) WHERE k:Knows AND NOT o:Org RETURN p['name'], p[$x] AS any", @r#"
    match (#0:Person)-[#2:Knows|WorksAt]->(#1:Person|Org) where (#2:Knows AND NOT #1:Org)
    project #3 = #0.name, #4 = #0[$x]
    columns #3 p['name'] String, #4 any Any
    parameters $x String
    Person read(name email age born seen height tags active stage)
    Org read()
    Knows read()
    WorksAt read()
    "#);
}

#[test]
fn parameters_get_the_type_of_their_use() {
    check!("MATCH (p:Person) WHERE p.born > $since AND p.seen < datetime($t) AND p.age = $age AND p.name IN $names RETURN p.email", @r#"
    match (#0:Person) where (((#0.born > $since) AND (#0.seen < datetime($t))) AND ((#0.age = $age) AND (#0.name IN $names)))
    project #1 = #0.email
    columns #1 p.email String
    parameters $age Number, $names [String], $since Date, $t Any
    Person read(name email age born seen)
    "#);
    check!("MATCH (p:Person {born: $born, stage: $stage}) RETURN p.email", @r#"
    match (#0:Person {born = $born, stage = $stage})
    project #1 = #0.email
    columns #1 p.email String
    parameters $born Date, $stage String
    Person read(email born stage)
    "#);
    check!("MATCH (p:Person) SET p.age = $age, p.height = $height, p.born = $born, p.tags = $tags", @r#"
    match (#0:Person)
    set #0.age = $age, #0.height = $height, #0.born = $born, #0.tags = $tags
    parameters $age Integer, $born Date, $height Float, $tags [String]
    Person read() write(age born height tags)
    "#);
    check!("RETURN toUpper($x), substring($y, $from), $flag AND true, $n - 1, $any", @r#"
    project #0 = toUpper($x), #1 = substring($y, $from), #2 = ($flag AND true), #3 = ($n - 1), #4 = $any
    columns #0 toUpper($x) String, #1 substring($y, $from) String, #2 $flag AND true Boolean, #3 $n - 1 Number, #4 $any Any
    parameters $any Any, $flag Boolean, $from Integer, $n Number, $x String, $y String
    "#);
    check!("UNWIND $rows AS row CREATE (:Note {text: row})", @r#"
    unwind $rows as #0
    create (#1:Note {text: #0})
    parameters $rows [Any]
    Note write(text)
    "#);
    check!("MATCH (p:Person) WHERE p.age = $x OR p.name = $x RETURN p.email", @r#"
    match (#0:Person) where ((#0.age = $x) OR (#0.name = $x))
    project #1 = #0.email
    columns #1 p.email String
    parameters $x Any
    Person read(name email age)
    "#);
}

#[test]
fn functions() {
    check!("MATCH (p:Person)-[k:Knows]->(q) RETURN id(p), labels(p), type(k), keys(k), startNode(k).name, endNode(k)", @r#"
    match (#0:Person)-[#2:Knows]->(#1:Person)
    project #3 = id(#0), #4 = labels(#0), #5 = type(#2), #6 = keys(#2), #7 = startNode(#2).name, #8 = endNode(#2)
    columns #3 id(p) String, #4 labels(p) [String], #5 type(k) String, #6 keys(k) [String], #7 startNode(k).name String, #8 endNode(k) Person
    Person read(name email age born seen height tags active stage)
    Knows read(since weight)
    "#);
    check!("MATCH (p:Place) RETURN id(p), properties(p) AS all", @r#"
    match (#0:Place)
    project #1 = id(#0), #2 = properties(#0)
    columns #1 id(p) [Any], #2 all Map
    Place read(country city area)
    "#);
    check!("MATCH (p:Person) RETURN coalesce(p.name, 'x'), coalesce(p.age, p.height), head(p.tags), tail(p.tags), reverse(p.name), size(p.tags)", @r#"
    match (#0:Person)
    project #1 = coalesce(#0.name, 'x'), #2 = coalesce(#0.age, #0.height), #3 = head(#0.tags), #4 = tail(#0.tags), #5 = reverse(#0.name), #6 = size(#0.tags)
    columns #1 coalesce(p.name, 'x') String, #2 coalesce(p.age, p.height) Number, #3 head(p.tags) String, #4 tail(p.tags) [String], #5 reverse(p.name) String, #6 size(p.tags) Integer
    Person read(name age height tags)
    "#);
    check!("RETURN range(1, 3), split('a,b', ','), abs(-1), toInteger('1'), DATE('2020-01-01'), dateTime('2020-01-01T00:00:00Z'), tostring(1)", @r#"
    project #0 = range(1, 3), #1 = split('a,b', ','), #2 = abs(-1), #3 = toInteger('1'), #4 = date('2020-01-01'), #5 = datetime('2020-01-01T00:00:00Z'), #6 = toString(1)
    columns #0 range(1, 3) [Integer], #1 split('a,b', ',') [String], #2 abs(-1) Integer, #3 toInteger('1') Integer, #4 DATE('2020-01-01') Date, #5 dateTime('2020-01-01T00:00:00Z') DateTime, #6 tostring(1) String
    "#);
    check!("MATCH (p:Person) WHERE exists(p.age) RETURN p.email", @r#"
    match (#0:Person) where #0.age IS NOT NULL
    project #1 = #0.email
    columns #1 p.email String
    Person read(email age)
    "#);
}

#[test]
fn type_errors() {
    check!("MATCH (p:Person) WHERE p.name RETURN p", @"1:24: type_mismatch: a condition must be a boolean, not a string");
    check!("MATCH (p:Person) WHERE p.age + true > 1 RETURN p", @"1:24: type_mismatch: an integer and a boolean cannot be added");
    check!("MATCH (p:Person) RETURN p.name + p.age", @"1:25: type_mismatch: a string and an integer cannot be added (did you mean `toString(p.age)`?)");
    check!("MATCH (p:Person) RETURN 'age ' + p.age AS x", @"1:25: type_mismatch: a string and an integer cannot be added (did you mean `toString(p.age)`?)");
    check!("MATCH (p:Person) WHERE p.born > '2020-01-01' RETURN p", @"1:24: type_mismatch: a date and a string cannot be compared with > (did you mean `date('2020-01-01')`?)");
    check!("MATCH (p:Person) WHERE '2020-01-01T00:00:00Z' <= p.seen RETURN p", @"1:24: type_mismatch: a string and a datetime cannot be compared with <= (did you mean `datetime('2020-01-01T00:00:00Z')`?)");
    check!("MATCH (p:Person) WHERE p.age = '3' RETURN p", @"1:24: type_mismatch: an integer and a string cannot be compared with =");
    check!("MATCH (p:Person) WHERE p.stage = 'don' RETURN p", @r#"1:34: invalid_value: `stage`: expected one of new, running, done, got string "don" (did you mean `done`?)"#);
    check!("MATCH (p:Person) WHERE p.stage IN ['new', 'dne'] RETURN p", @r#"1:43: invalid_value: `stage`: expected one of new, running, done, got string "dne" (did you mean `done`?)"#);
    check!("MATCH (p:Person) WHERE p.age IN ['a'] RETURN p", @"1:24: type_mismatch: an integer and a list of strings cannot be compared with IN");
    check!("MATCH (p:Person) WHERE p.age IN 3 RETURN p", @"1:33: type_mismatch: IN needs a list on its right, not an integer");
    check!("MATCH (p:Person) WHERE p.age STARTS WITH 'a' RETURN p", @"1:24: type_mismatch: an operand of STARTS WITH must be a string, not an integer");
    check!("MATCH (p:Person)-->(q:Person) WHERE p < q RETURN p", @"1:37: type_mismatch: a node has no order: < means nothing");
    check!("MATCH (p:Person) WHERE p = 1 RETURN p", @"1:24: type_mismatch: a node and an integer cannot be compared with =");
    check!("MATCH (p:Person) WHERE NOT p.age RETURN p", @"1:28: type_mismatch: the operand of NOT must be a boolean, not an integer");
    check!("MATCH (p:Person) WHERE p.active AND p.age RETURN p", @"1:37: type_mismatch: an operand of AND must be a boolean, not an integer");
    check!("RETURN -'a', 1 - 'a', 2 * null", @r#"
    1:9: type_mismatch: the operand of - must be a number, not a string
    1:18: type_mismatch: an operand of - must be a number, not a string
    "#);
    check!("RETURN 'abc'[0], [1]['a'], 'abc'[0..1]", @r#"
    1:8: type_mismatch: a string has no elements
    1:22: type_mismatch: the index of a list must be an integer, not a string
    1:28: type_mismatch: only lists can be sliced, not a string
    "#);
    check!("RETURN 1.x", @"1:8: type_mismatch: an integer has no properties");
    check!("WITH 1 AS x RETURN x.y", @"1:20: type_mismatch: an integer has no properties");
    check!("WITH 'a' AS x WHERE x:Person RETURN x", @"1:21: type_mismatch: only nodes and relationships have labels, not a string");
    check!("MATCH (p:Person) RETURN p.tags.x, p.born.year", @"1:25: type_mismatch: a list of strings has no properties");
    check!("MATCH (p:Person) RETURN CASE p.age WHEN 'x' THEN 1 END", @"1:41: type_mismatch: an integer and a string cannot be compared with =");
    check!("RETURN 9223372036854775808, 0x8000000000000000, 1e400", @r#"
    1:8: invalid_value: the integer 9223372036854775808 does not fit into 64 bits
    1:29: invalid_value: the integer 0x8000000000000000 does not fit into 64 bits
    1:49: invalid_value: the float 1e400 is too large
    "#);
    check!("RETURN {a: 1, a: 2}", @"1:15: duplicate_name: `a` is given twice");
}

#[test]
fn calls_that_are_refused() {
    check!("RETURN toUper('x')", @"1:8: unknown_function: there is no function toUper() (did you mean `toUpper`?)");
    check!("RETURN left('x'), range(1), coalesce()", @r#"
    1:8: wrong_arity: left() takes 2 arguments, not 1
    1:19: wrong_arity: range() takes 2 to 3 arguments, not 1
    1:29: wrong_arity: coalesce() takes at least 1 argument, not 0
    "#);
    check!("RETURN toUpper(1), size(3), length('x'), date(3)", @r#"
    1:16: type_mismatch: toUpper() takes a string here, not an integer
    1:25: type_mismatch: size() takes a list or a string here, not an integer
    1:36: type_mismatch: length() takes a path here, not a string
    1:47: type_mismatch: date() takes a string or a map or a date or time here, not an integer
    "#);
    check!("MATCH (p:Person) RETURN type(p), nodes(p), labels(1)", @r#"
    1:30: type_mismatch: type() takes a relationship here, not a node
    1:40: type_mismatch: nodes() takes a path here, not a node
    1:51: type_mismatch: labels() takes a node here, not an integer
    "#);
    check!("RETURN toUpper(DISTINCT 'x')", @"1:16: syntax: DISTINCT and ALL belong to aggregates; toUpper is none");
    check!("RETURN rand(), duration.between(1, 2), apoc.text.join([])", @r#"
    1:33: type_mismatch: duration.between() takes a date or time here, not an integer
    1:36: type_mismatch: duration.between() takes a date or time here, not an integer
    1:40: unknown_function: there is no function apoc.text.join()
    "#);
}

#[test]
fn names_of_their_own_and_subqueries() {
    check!("RETURN [x IN [1] WHERE x > 0 | x]", @r#"
    project #1 = [#0 in [1] where (#0 > 0) | #0]
    columns #1 [x IN [1] WHERE x > 0 | x] [Integer]
    "#);
    check!("MATCH (n) RETURN [(n)-->(m) | m.name]", @r#"
    match (#0:*)
    project #4 = collect { match (#0!:Person|Org|Note)-[#3:*]->(#2:Person|Org|Place) project #1 = #2.name }
    columns #4 [(n)-->(m) | m.name] [String]
    Person read(name)
    Org read(name)
    Place read()
    Note read()
    Knows read()
    WorksAt read()
    LocatedIn read()
    About read()
    "#);
    check!("RETURN any(x IN [1] WHERE x > 0)", @r#"
    project #1 = any(#0 in [1] where (#0 > 0))
    columns #1 any(x IN [1] WHERE x > 0) Boolean
    "#);
    check!("RETURN reduce(a = 0, x IN [1] | a + x)", @r#"
    project #2 = reduce(#0 = 0, #1 in [1] | (#0 + #1))
    columns #2 reduce(a = 0, x IN [1] | a + x) Any
    "#);
    check!("MATCH (n:Person) RETURN n {.name}", @r#"
    match (#0:Person)
    project #1 = CASE WHEN #0 IS NOT NULL THEN _overlay({}, {name: #0.name}) END
    columns #1 n {.name} Map
    Person read(name)
    "#);
    check!("MATCH (n) WHERE EXISTS { (n)-->() } RETURN n", @r#"
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
    check!("MATCH (n:Person) WHERE EXISTS { (n)-[:Knows]->(:Person {name: 'Ünï'}) } AND COUNT{(n)-->(p:Org) WHERE p:Org AND EXISTS { (p)<-[:WorksAt]-(q:Person), (q)-->(n:Person) }} > 1 RETURN EXISTS { (n:Person) } AS x", @r#"
    match (#0:Person) where (exists { match (#0!:Person)-[#2:Knows]->(#1:Person {name = 'Ünï'}) } AND (count { match (#0!:Person)-[#4:WorksAt]->(#3:Org) where (#3:Org AND exists { match (#3!:Org)<-[#6:WorksAt]-(#5:Person), (#5!:Person)-[#7:Knows]->(#0!:Person) }) } > 1))
    project #8 = exists { match (#0!:Person) }
    columns #8 x Boolean
    Person read(name)
    Org read()
    Knows read()
    WorksAt read()
    "#);
    check!("MATCH (n:Person) RETURN EXISTS { (n)-[:Knws]->(:Person) }", @"1:40: unknown_type: there is no edge type `Knws` (did you mean `Knows`?)");
    check!("MATCH (n:Person) RETURN EXISTS { (n)-[:Knows]->(:Person }", @r#"
    1:48: syntax: unclosed delimiter `(`
    1:56: syntax: unexpected end of input; expected `)`, `WHERE`, `parameter`, or `{`
    "#);
    check!("MATCH (n:Person)\nRETURN EXISTS { (n)-->(:Org)\n MATCH (m) }, 1", @"2:16: syntax: a subquery with more than a pattern and its WHERE begins with MATCH");
    check!("MATCH (n:Person) RETURN EXISTS { (n)-->(:Org) RETURN n }", @"1:33: syntax: a subquery with more than a pattern and its WHERE begins with MATCH");
    check!("MATCH (n:Person) RETURN EXISTS {(} AS x", @r#"
    1:32: syntax: unclosed delimiter `{`
    1:34: syntax: `}` cannot stand here
    "#);
    check!("MATCH (n:Person) RETURN EXISTS { p = (n)-->(:Org) WHERE length(p) = 1 } AS x", @r#"
    match (#0:Person)
    project #4 = exists { match #3 = (#0!:Person)-[#2:WorksAt]->(#1:Org) where (length(#3) = 1) }
    columns #4 x Boolean
    Person read()
    Org read()
    WorksAt read()
    "#);
    check!("MATCH (n:Person) RETURN COLLECT { (n)-->(:Org) } AS x", @"1:25: misplaced_clause: COLLECT needs a RETURN with one column");
    check!("RETURN COUNT { MATCH (n) } AS c", @r#"
    project #1 = count { match (#0:*) }
    columns #1 c Integer
    Person read()
    Org read()
    Place read()
    Note read()
    "#);
    check!("MATCH (n:Person) WHERE n.name =~ 'x' RETURN n", @r#"
    match (#0:Person) where (#0.name =~ 'x')
    project #1 = #0
    columns #1 n Person
    Person read(name email age born seen height tags active stage)
    "#);
    check!("RETURN 'a' || 'b'", @r#"
    project #0 = ('a' + 'b')
    columns #0 'a' || 'b' String
    "#);
    check!("MATCH (n:Person) RETURN [x IN n.tags | y]", @"1:40: unknown_variable: there is no variable `y` here");
    check!("MATCH (n:Person) WHERE (n)-->(m) RETURN n", @"1:24: unknown_variable: there is no variable `m` here, and a condition makes none");
    check!("MATCH (n:Person) RETURN (n)-->()", @"1:25: syntax: a pattern is a condition, not a value: write EXISTS { ... } or [ ... | ... ]");
    check!("RETURN EXISTS { CREATE (:Note) }", @"1:8: misplaced_clause: a subquery in an expression only reads");
    check!("RETURN COLLECT { MATCH (n:Note) RETURN n.text, 1 AS x }", @"1:8: misplaced_clause: COLLECT needs a RETURN with one column");
}

#[test]
fn not_supported_yet() {
    check!("RETURN shortestPath((a)-[*]->(b))", @"1:8: unsupported: the function shortestPath() is not supported yet");
}
