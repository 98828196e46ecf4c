#!/usr/bin/env python3
"""One peer of the benchmark in a process of its own: commands as JSON lines in, answers out.

  peers.py kuzu|ladybug|duckdb|sqlite|floor FOLDER

Times are nanoseconds around the call of the peer's Python binding. Queries are those of
queries.rs, in each peer's own words, with keys as integers; parameters are bound where that is not
slower for the peer (kuzu 0.11.3 scans a table whose key is a parameter).
"""
import json, os, subprocess, sys, threading, time, warnings

warnings.simplefilter("ignore")
NAME, FOLDER = sys.argv[1], sys.argv[2]
now = time.perf_counter_ns
# A statement that takes longer is given up: a peer's plan for a query may be a bad one.
PATIENCE_S = 20


def timed(calls, budget_ms=None, answers=False):
    """Calls each until the budget is used up."""
    times, found, started = [], [], now()
    for call in calls:
        begun = now()
        rows = call()
        times.append(now() - begun)
        if answers:
            found.append([list(row) for row in rows])
        if budget_ms is not None and now() - started > budget_ms * 1e6:
            break
    return {"times": times, "answers": found}


class Cypher:
    """kuzu and ladybug: one dialect. They cannot share a process."""

    QUERIES = {
        "point_lookup": "MATCH (p:Person {id: $k}) RETURN p.name, p.age",
        "hop1": "MATCH (p:Person {id: $k})-[:Follows]->(f:Person) RETURN f.id, f.name",
        "hop2_distinct": "MATCH (p:Person {id: $k})-[:Follows]->(:Person)-[:Follows]->(f:Person) RETURN count(DISTINCT f.id)",
        "hop3_walks": "MATCH (p:Person {id: $k})-[:Follows]->(:Person)-[:Follows]->(:Person)-[:Follows]->(f:Person) RETURN count(*)",
        "top3_indegree": "MATCH (a:Person)-[:Follows]->(p:Person) RETURN p.id, p.name, count(a.id) AS n ORDER BY n DESC LIMIT 3",
        "topk_indegree_filtered": "MATCH (a:Person)-[:Follows]->(p:Person) WHERE p.age >= 30 AND p.age <= 40 RETURN p.id, count(a.id) AS n ORDER BY n DESC, p.id LIMIT 10",
        "all_2walks": "MATCH (a:Person)-[:Follows]->(b:Person)-[:Follows]->(c:Person) RETURN count(*)",
        "all_2walks_filtered": "MATCH (a:Person)-[:Follows]->(b:Person)-[:Follows]->(c:Person) WHERE b.age < 50 AND c.age > 25 RETURN count(*)",
        "interest_city_top5": "MATCH (p:Person)-[:HasInterest]->(i:Interest) WHERE i.name = 'Tennis' AND p.gender = 'female' WITH p MATCH (p)-[:LivesIn]->(c:City) RETURN c.id, count(p.id) AS n ORDER BY n DESC, c.id LIMIT 5",
        "triangles": "MATCH (a:Person)-[:Follows]->(b:Person)-[:Follows]->(c:Person)-[:Follows]->(a) RETURN count(*)",
        "reach_1_to_4": "MATCH (p:Person {id: $k})-[:Follows*1..4]->(f:Person) RETURN count(DISTINCT f.id)",
        "older_ends": "MATCH (a:Person)-[:Follows]->(b:Person)-[:Follows]->(c:Person) WHERE a.age < c.age RETURN a.gender, count(*) ORDER BY a.gender",
        "older_friends": "MATCH (a:Person)-[:Follows]->(b:Person) WHERE a.age < b.age RETURN a.gender, b.gender, avg(b.age - a.age), count(*) ORDER BY a.gender, b.gender",
        "friends_back": "MATCH (a:Person) WHERE EXISTS { MATCH (a)-[:Follows]->(b:Person)-[:Follows]->(a) } RETURN count(*)",
        "city_average": "MATCH (p:Person)-[:LivesIn]->(c:City) WHERE p.age >= $k RETURN c.id, avg(p.age) AS a, count(p.id) AS n ORDER BY n DESC, c.id LIMIT 5",
        "shortest_path": "MATCH p = (a:Person {id: $a})-[:Follows* SHORTEST 1..8]->(b:Person {id: $b}) RETURN length(p)",
    }

    def __init__(self):
        self.module = __import__(NAME)
        self.version = self.module.__version__
        self.path = os.path.join(FOLDER, "peer.db")
        self.open()

    def open(self):
        self.database = self.module.Database(self.path)
        self.connection = self.module.Connection(self.database)
        self.connection.set_query_timeout(PATIENCE_S * 1000)
        self.prepared = {}

    def run(self, text, parameters=None):
        result = self.connection.execute(text, parameters or {})
        rows = []
        while result.has_next():
            rows.append(result.get_next())
        result.close()
        return rows

    def statement(self, text):
        if NAME == "kuzu":
            return lambda **p: self.run(self.pasted(text, p))
        prepared = self.prepared.get(text)
        if prepared is None:
            prepared = self.prepared[text] = self.connection.prepare(text)
        return lambda **p: self.run(prepared, p)

    @staticmethod
    def pasted(text, parameters):
        for name, value in parameters.items():
            text = text.replace("$" + name, str(value) if isinstance(value, int) else f"'{value}'")
        return text

    def reopen(self, _):
        self.connection.close()
        self.database.close()
        begun = now()
        self.open()
        return {"nanos": now() - begun}

    def crowd(self, command):
        self.run("CREATE NODE TABLE Person(id INT64, name STRING, age INT64, PRIMARY KEY(id))")
        self.run("CREATE REL TABLE Follows(FROM Person TO Person, since INT64)")
        self.run(f"UNWIND range(0, {command['people'] - 1}) AS i CREATE (:Person {{id: i, name: 'person', age: 30}})")
        return {}

    def commit(self, command):
        both = self.statement("MATCH (b:Person {id: $to}) CREATE (:Person {id: $id, name: $name, age: $age})-[:Follows {since: 1}]->(b)")
        node = self.statement("CREATE (:Person {id: $id, name: $name, age: $age})")
        edge = self.statement("MATCH (a:Person {id: $id}), (b:Person {id: $to}) CREATE (a)-[:Follows {since: 1}]->(b)")

        def transaction(i, to):
            self.run("BEGIN TRANSACTION")
            node(id=i, name=f"person {i}", age=30)
            edge(id=i, to=to)
            return self.run("COMMIT")

        first, count, people = command["from"], command["count"], command["people"]
        ids = range(first, first + count)
        one = [lambda i=i: both(id=i, name=f"person {i}", age=30, to=i % people) for i in ids]
        # Ids of the other manner do not meet those of this one.
        two = [lambda i=i: transaction(i + 10_000_000, i % people) for i in ids]
        return {"one_statement": timed(one), "transaction": timed(two)}

    def load(self, command):
        data = command["data"]
        for text in (
            "CREATE NODE TABLE Person(id INT64, key STRING, name STRING, gender STRING, age INT32, isMarried BOOLEAN, bio STRING, PRIMARY KEY(id))",
            "CREATE NODE TABLE City(id INT64, name STRING, state STRING, country STRING, population INT64, PRIMARY KEY(id))",
            "CREATE NODE TABLE Interest(id INT64, name STRING, PRIMARY KEY(id))",
            "CREATE REL TABLE Follows(FROM Person TO Person, since INT32)",
            "CREATE REL TABLE LivesIn(FROM Person TO City)",
            "CREATE REL TABLE HasInterest(FROM Person TO Interest)",
        ):
            self.run(text)
        tables = [("Person", "nodes/person"), ("City", "nodes/city"), ("Interest", "nodes/interest"),
                  ("Follows", "edges/follows"), ("LivesIn", "edges/lives_in"), ("HasInterest", "edges/has_interest")]
        begun = now()
        for table, file in tables:
            self.run(f"COPY {table} FROM '{data}/{file}.parquet'")
        return {"nanos": now() - begun}

    def query(self, command):
        statement = self.statement(self.QUERIES[command["name"]])
        calls = []
        for argument in command["args"]:
            if argument is None:
                calls.append(statement)
            elif isinstance(argument, list):
                calls.append(lambda a=argument: statement(a=a[0], b=a[1]))
            else:
                calls.append(lambda a=argument: statement(k=a))
        return timed(calls, command["budget_ms"], command["answers"])


class Sql:
    """duckdb and sqlite."""

    QUERIES = {
        "point_lookup": "SELECT name, age FROM person WHERE id = ?",
        "hop1": "SELECT p.id, p.name FROM follows f JOIN person p ON p.id = f.dst WHERE f.src = ?",
        "hop2_distinct": "SELECT count(DISTINCT f2.dst) FROM follows f1 JOIN follows f2 ON f2.src = f1.dst WHERE f1.src = ?",
        "hop3_walks": "SELECT count(*) FROM follows f1 JOIN follows f2 ON f2.src = f1.dst JOIN follows f3 ON f3.src = f2.dst WHERE f1.src = ?",
        "top3_indegree": "SELECT p.id, p.name, n FROM (SELECT dst, count(*) n FROM follows GROUP BY dst ORDER BY n DESC LIMIT 3) t JOIN person p ON p.id = t.dst ORDER BY n DESC",
        "topk_indegree_filtered": "SELECT p.id, count(*) n FROM follows f JOIN person p ON p.id = f.dst WHERE p.age BETWEEN 30 AND 40 GROUP BY p.id ORDER BY n DESC, p.id LIMIT 10",
        "all_2walks": "SELECT count(*) FROM follows a JOIN follows b ON a.dst = b.src",
        "all_2walks_filtered": "SELECT count(*) FROM follows f1 JOIN person b ON b.id = f1.dst JOIN follows f2 ON f2.src = b.id JOIN person c ON c.id = f2.dst WHERE b.age < 50 AND c.age > 25",
        "interest_city_top5": "SELECT l.dst, count(*) n FROM person p JOIN has_interest h ON h.src = p.id JOIN interest i ON i.id = h.dst JOIN lives_in l ON l.src = p.id WHERE i.name = 'Tennis' AND p.gender = 'female' GROUP BY l.dst ORDER BY n DESC, l.dst LIMIT 5",
        "triangles": "SELECT count(*) FROM follows a JOIN follows b ON b.src = a.dst JOIN follows c ON c.src = b.dst AND c.dst = a.src",
        # A step at a time, each node once a step: not every walk.
        "reach_1_to_4": "WITH RECURSIVE b(n, d) AS (SELECT dst, 1 FROM follows WHERE src = ? UNION SELECT f.dst, b.d + 1 FROM b JOIN follows f ON f.src = b.n WHERE b.d < 4) SELECT count(DISTINCT n) FROM b",
        "older_ends": "SELECT a.gender, count(*) FROM follows f JOIN follows g ON g.src = f.dst JOIN person a ON a.id = f.src JOIN person c ON c.id = g.dst WHERE a.age < c.age GROUP BY a.gender ORDER BY a.gender",
        "older_friends": "SELECT a.gender, b.gender, avg(b.age - a.age), count(*) FROM follows f JOIN person a ON a.id = f.src JOIN person b ON b.id = f.dst WHERE a.age < b.age GROUP BY a.gender, b.gender ORDER BY a.gender, b.gender",
        "friends_back": "SELECT count(*) FROM person p WHERE EXISTS (SELECT 1 FROM follows f JOIN follows g ON g.src = f.dst AND g.dst = f.src WHERE f.src = p.id)",
        "city_average": "SELECT l.dst, avg(p.age), count(*) n FROM person p JOIN lives_in l ON l.src = p.id WHERE p.age >= ? GROUP BY l.dst ORDER BY n DESC, l.dst LIMIT 5",
    }
    TABLES = ("person", "city", "interest"), ("follows", "lives_in", "has_interest")

    def __init__(self):
        self.module = __import__("sqlite3" if NAME == "sqlite" else NAME)
        self.version = getattr(self.module, "sqlite_version", None) or self.module.__version__
        self.path = os.path.join(FOLDER, "peer.db")
        self.connection = self.module.connect(self.path)
        if NAME == "sqlite":
            self.connection.isolation_level = None
            self.run("PRAGMA journal_mode=WAL")
            self.run("PRAGMA synchronous=FULL")
            self.run("PRAGMA cache_size=-524288")
            self.run("PRAGMA mmap_size=2147483648")
            # Looked at every ten million steps: nothing that can be seen in a time.
            self.deadline = float("inf")
            self.connection.set_progress_handler(lambda: now() > self.deadline, 10_000_000)

    def run(self, text, parameters=()):
        return self.connection.execute(text, parameters).fetchall()

    def patiently(self, text, parameters):
        if NAME == "sqlite":
            self.deadline = now() + PATIENCE_S * 1_000_000_000
            return self.run(text, parameters)
        bell = threading.Timer(PATIENCE_S, self.connection.interrupt)
        bell.start()
        try:
            return self.run(text, parameters)
        finally:
            bell.cancel()

    def crowd(self, command):
        self.run("CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, age INT)")
        self.run("CREATE TABLE follows(src INT, dst INT, since INT)")
        self.run("BEGIN")
        for i in range(command["people"]):
            self.run("INSERT INTO person VALUES (?, 'person', 30)", (i,))
        self.run("COMMIT")
        return {}

    def commit(self, command):
        def transaction(i):
            self.run("BEGIN")
            self.run("INSERT INTO person VALUES (?, ?, ?)", (i, f"person {i}", 30))
            self.run("INSERT INTO follows VALUES (?, ?, 1)", (i, i % command["people"]))
            return self.run("COMMIT")

        first, count = command["from"], command["count"]
        both = timed([lambda i=i: transaction(i) for i in range(first, first + count)])
        return {"one_statement": both, "transaction": both}

    def load(self, command):
        self.deadline = float("inf")
        begun = now()
        if NAME == "duckdb":
            self.run("CREATE TABLE person(id BIGINT PRIMARY KEY, key VARCHAR, name VARCHAR, gender VARCHAR, age INTEGER, isMarried BOOLEAN, bio VARCHAR)")
            self.run(f"INSERT INTO person SELECT * FROM '{command['data']}/nodes/person.parquet'")
            for folder, tables in zip(("nodes", "edges"), self.TABLES):
                for table in tables:
                    if table != "person":
                        self.run(f"CREATE TABLE {table} AS SELECT * FROM '{command['data']}/{folder}/{table}.parquet'")
            self.run("CREATE INDEX fsrc ON follows(src)")
            self.run("CHECKPOINT")
        else:
            self.load_sqlite(command["data"])
        return {"nanos": now() - begun}

    # Edges in the order of their ends, with nothing beside it: the plans that SQLite is fastest with.
    SQLITE = {
        "person": "id INTEGER PRIMARY KEY, key TEXT, name TEXT, gender TEXT, age INT, isMarried INT, bio TEXT",
        "interest": "id INTEGER PRIMARY KEY, name TEXT",
        "city": "id INTEGER PRIMARY KEY, name TEXT, state TEXT, country TEXT, population INT",
        "follows": "src INT, dst INT, since INT, PRIMARY KEY (src, dst)) WITHOUT ROWID --",
        "lives_in": "src INTEGER PRIMARY KEY, dst INT",
        "has_interest": "src INT, dst INT, PRIMARY KEY (dst, src)) WITHOUT ROWID --",
    }

    def load_sqlite(self, data):
        import pyarrow.parquet as parquet

        for folder, tables in zip(("nodes", "edges"), self.TABLES):
            for table in tables:
                columns = parquet.read_table(f"{data}/{folder}/{table}.parquet")
                self.run(f"CREATE TABLE {table}({self.SQLITE[table]}\n)".replace("--\n)", ""))
                marks = ", ".join("?" * columns.num_columns)
                rows = zip(*(column.to_pylist() for column in columns.columns))
                self.run("BEGIN")
                self.connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
                self.run("COMMIT")

    def query(self, command):
        if command["name"] == "shortest_path":
            return timed([lambda a=a: self.shortest(*a[:2]) for a in command["args"]], command["budget_ms"], command["answers"])
        text = self.QUERIES[command["name"]]
        calls = [lambda a=a: self.patiently(text, () if a is None else (a,)) for a in command["args"]]
        return timed(calls, command["budget_ms"], command["answers"])

    def shortest(self, a, b):
        if NAME == "duckdb":
            return self.run(f"""WITH RECURSIVE b(n, d) USING KEY (n) AS (SELECT {a}::BIGINT, 0 UNION
                SELECT f.dst, min(b.d) + 1 FROM b JOIN follows f ON f.src = b.n LEFT JOIN recurring.b r ON r.n = f.dst
                WHERE r.n IS NULL AND (SELECT count(*) FROM recurring.b z WHERE z.n = {b}) = 0 GROUP BY f.dst)
                SELECT d FROM b WHERE n = {b}""")
        # A recursive query of SQLite keeps (node, distance) pairs: one level more at a time.
        for depth in range(1, 9):
            found = self.run("""WITH RECURSIVE b(n, d) AS (SELECT ?, 0 UNION SELECT f.dst, b.d + 1 FROM b
                JOIN follows f ON f.src = b.n WHERE b.d < ?) SELECT min(d) FROM b WHERE n = ? AND d > 0""", (a, depth, b))
            if found[0][0] is not None:
                return found
        return []


class Floor:
    """limits.c: the adjacency in memory in C, one thread. Checks its answers itself."""

    NAMES = {"hop1": "hop1", "hop2_distinct": "hop2_distinct", "hop3_walks": "hop3_walks", "all_2walks": "all_2walks_degree_product",
             "all_2walks_filtered": "all_2walks_filtered", "topk_indegree_filtered": "topk_indegree_scan", "shortest_path": "shortest_path"}

    def __init__(self):
        self.version = "C, one thread"
        self.program = os.path.join(FOLDER, "limits")
        source = os.path.join(os.environ["TRELLIS_BENCH_SHARED"], "limits.c")
        subprocess.run(["cc", "-O3", "-march=native", "-o", self.program, source, "-lpthread"], check=True, stderr=subprocess.DEVNULL)

    def load(self, command):
        import numpy, pyarrow.parquet as parquet

        data = command["data"]
        answers = json.load(open(f"{data}/params.json"))

        def put(name, values):
            numpy.asarray(values, numpy.int64).tofile(f"{FOLDER}/{name}.bin")

        follows = parquet.read_table(f"{data}/edges/follows.parquet")
        put("src", follows["src"].to_numpy())
        put("dst", follows["dst"].to_numpy())
        put("age", parquet.read_table(f"{data}/nodes/person.parquet", columns=["age"])["age"].to_numpy())
        put("hop1", list(zip(answers["hop1_keys"], answers["hop1_counts"])))
        put("hop2", list(zip(answers["hop2_keys"], answers["hop2_distinct"])))
        put("hop3", list(zip(answers["hop3_keys"], answers["hop3_walks"])))
        put("all", [answers["all_2walks"], answers["all_2walks_filtered"]])
        put("sp", answers["sp_pairs"])
        return {"nanos": 0}

    def query(self, command):
        found = json.loads(subprocess.run([self.program, "csr", FOLDER], capture_output=True, text=True, check=True).stdout)
        found = found[self.NAMES[command["name"]]]
        if not found["ok"]:
            raise ValueError("wrong answer")
        return {"times": [int(found["p50_us"] * 1e3)] * found["n"], "answers": []}


def main():
    peer = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "begin":
                os.makedirs(FOLDER, exist_ok=True)
                peer = {"kuzu": Cypher, "ladybug": Cypher, "duckdb": Sql, "sqlite": Sql, "floor": Floor}[NAME]()
                answer = {"version": peer.version}
            else:
                answer = getattr(peer, command["do"])(command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
