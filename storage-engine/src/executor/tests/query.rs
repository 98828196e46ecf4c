//! Queries read off a tape of random numbers: patterns, filters, projections of every kind.

/// Numbers that decide; zeros when it has run out.
pub(super) struct Tape<'t> {
    pub(super) numbers: &'t [u16],
    pub(super) place: usize,
}

impl Tape<'_> {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let number = self.numbers.get(self.place).copied().unwrap_or(0);
        self.place += 1;
        usize::from(number) % limit
    }

    /// True in one of `of` cases, never when the tape has run out.
    pub(super) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }

    pub(super) fn pick<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        choices[self.below(choices.len())]
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Node,
    Edge,
    EdgeList,
    Path,
    Number,
    /// Any one of several equal results: only its length may be looked at.
    AnyPath,
}

/// Writes a query.
pub(super) struct Writer<'a, 't> {
    tape: &'a mut Tape<'t>,
    variables: Vec<(String, Kind)>,
    names: usize,
    /// How many queries within expressions are being written.
    depth: usize,
}

impl<'a, 't> Writer<'a, 't> {
    pub(super) fn new(tape: &'a mut Tape<'t>) -> Self {
        Self {
            tape,
            variables: Vec::new(),
            names: 0,
            depth: 0,
        }
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn variable(&mut self, kind: Kind) -> Option<String> {
        let fitting: Vec<String> = self
            .variables
            .iter()
            .filter(|(_, of)| *of == kind)
            .map(|(name, _)| name.clone())
            .collect();
        (!fitting.is_empty()).then(|| fitting[self.tape.below(fitting.len())].clone())
    }

    pub(super) fn query(&mut self) -> String {
        let mut text = self.matching("MATCH");
        for _ in 0..self.tape.below(3) {
            text.push(' ');
            let clause = match self.tape.below(5) {
                0 => self.matching("MATCH"),
                1 | 2 => self.matching("OPTIONAL MATCH"),
                3 => self.projection("WITH"),
                _ => {
                    let name = self.name("u");
                    let list = self.tape.pick(&["[1, 2]", "[1, null, 1]", "[]"]);
                    self.variables.push((name.clone(), Kind::Number));
                    format!("UNWIND {list} AS {name}")
                }
            };
            text.push_str(&clause);
        }
        format!("{text} {}", self.projection("RETURN"))
    }

    fn matching(&mut self, keyword: &str) -> String {
        let mut steps_left = 3;
        let mut paths = Vec::new();
        let mut fresh = Vec::new();
        for _ in 0..1 + usize::from(self.tape.one_in(3)) {
            if self.tape.one_in(8) && keyword == "MATCH" {
                paths.extend(self.shortest(&mut fresh));
                continue;
            }
            let steps = self.tape.below(steps_left + 1).min(1 + self.tape.below(3));
            steps_left -= steps;
            let mut text = self.node(&mut fresh);
            for _ in 0..steps {
                text.push_str(&self.edge(&mut fresh));
                text.push_str(&self.node(&mut fresh));
            }
            if self.tape.one_in(4) {
                let name = self.name("p");
                text = format!("{name} = {text}");
                fresh.push((name, Kind::Path));
            }
            paths.push(text);
        }
        self.variables.extend(fresh);
        format!("{keyword} {}{}", paths.join(", "), self.filter())
    }

    /// A shortest path between two nodes, which are found first.
    fn shortest(&mut self, fresh: &mut Vec<(String, Kind)>) -> Vec<String> {
        let (a, b, path) = (self.name("n"), self.name("n"), self.name("p"));
        let which = self.tape.pick(&["allShortestPaths", "shortestPath"]);
        let kind = if which == "shortestPath" {
            Kind::AnyPath
        } else {
            Kind::Path
        };
        fresh.extend([
            (a.clone(), Kind::Node),
            (b.clone(), Kind::Node),
            (path.clone(), kind),
        ]);
        let (left, right) = self.arrow();
        let types = self.tape.pick(&["", ":R", ":R|S", ":T"]);
        let length = self.tape.pick(&["*", "*..3", "*0..", "*..1"]);
        let properties = if self.tape.one_in(5) { " {w: 1}" } else { "" };
        vec![
            format!("({a}:Any)"),
            format!("({b}:Any)"),
            format!("{path} = {which}(({a}){left}[{types}{length}{properties}]{right}({b}))"),
        ]
    }

    fn arrow(&mut self) -> (&'static str, &'static str) {
        [("-", "->"), ("<-", "-"), ("-", "-")][self.tape.below(3)]
    }

    fn node(&mut self, fresh: &mut Vec<(String, Kind)>) -> String {
        let known = self.variables.iter().chain(fresh.iter());
        let nodes: Vec<String> = known
            .filter(|(_, kind)| *kind == Kind::Node)
            .map(|(name, _)| name.clone())
            .collect();
        if !nodes.is_empty() && self.tape.one_in(4) {
            return format!("({})", nodes[self.tape.below(nodes.len())]);
        }
        let mut name = String::new();
        if !self.tape.one_in(4) {
            name = self.name("n");
            fresh.push((name.clone(), Kind::Node));
        }
        let label = self.tape.pick(&["", "", "", ":Any", ":A", ":A", ":B"]);
        let properties = match self.tape.below(16) {
            5 => " {x: 1}".to_owned(),
            6 => " {s: 'a'}".to_owned(),
            7 => format!(" {{key: {}}}", self.tape.below(6)),
            8 if !nodes.is_empty() => format!(" {{x: {}.x}}", nodes[self.tape.below(nodes.len())]),
            10 | 11 => match self.variable(Kind::Number) {
                Some(number) => format!(" {{x: {number}}}"),
                None => String::new(),
            },
            9 if !nodes.is_empty() => {
                format!(" {{key: {}.x}}", nodes[self.tape.below(nodes.len())])
            }
            _ => String::new(),
        };
        format!("({name}{label}{properties})")
    }

    fn edge(&mut self, fresh: &mut Vec<(String, Kind)>) -> String {
        let (left, right) = self.arrow();
        if self.tape.one_in(10)
            && let Some(bound) = self.variable(Kind::Edge)
        {
            return format!("{left}[{bound}]{right}");
        }
        let types = self
            .tape
            .pick(&["", "", "", ":R", ":R", ":S", ":T", ":R|S", ":R|S|T"]);
        let length = self.tape.pick(&[
            "", "", "", "", "", "*1..2", "*0..1", "*2", "*", "*..2", "*0..", "*0", "*3..2",
        ]);
        let mut name = String::new();
        if self.tape.one_in(2) {
            name = self.name("e");
            fresh.push((
                name.clone(),
                if length.is_empty() {
                    Kind::Edge
                } else {
                    Kind::EdgeList
                },
            ));
        }
        let properties = match self.tape.below(16) {
            6 => " {w: 1}".to_owned(),
            7 => match self.variable(Kind::Node) {
                Some(node) => format!(" {{w: {node}.x}}"),
                None => String::new(),
            },
            _ => String::new(),
        };
        format!("{left}[{name}{types}{length}{properties}]{right}")
    }

    fn filter(&mut self) -> String {
        if self.tape.below(2) == 0 {
            return String::new();
        }
        let mut text = self.predicate();
        for _ in 0..self.tape.below(3) {
            let operator = self.tape.pick(&["AND", "AND", "OR", "XOR"]);
            text = format!("{text} {operator} {}", self.predicate());
        }
        format!(" WHERE {text}")
    }

    fn predicate(&mut self) -> String {
        let operator = self.tape.pick(&["=", "<>", "<", ">=", ">", "<="]);
        let equality = self.tape.pick(&["=", "<>"]);
        let number = self.number();
        let other = self.number();
        let node = self.variable(Kind::Node);
        match (self.tape.below(16), node) {
            (10, _) if self.depth < 2 => self.subquery("EXISTS"),
            (11, _) if self.depth < 2 => format!("{} {operator} 1", self.subquery("COUNT")),
            (12, Some(node)) => {
                let (left, right) = self.arrow();
                let types = self.tape.pick(&["", ":R", ":S", ":R|S", ":T*1..2"]);
                let label = self.tape.pick(&["", ":A", ":B", " {x: 1}"]);
                format!("({node}){left}[{types}]{right}({label})")
            }
            (13, Some(node)) => {
                let other = self.variable(Kind::Node).expect("there is one");
                let property = self.tape.pick(&["x", "s", "key"]);
                format!("{node}.{property} = {other}.{property}")
            }
            (14, Some(node)) => format!("({node}.x = {number} OR {node}.x IN [{other}, 1])"),
            (15, Some(node)) => {
                let subject = self.tape.pick(&["id({})", "{}.key", "{}.s"]);
                let wanted = self.tape.pick(&["[1, 2, 1]", "[0, null]", "['a', 3]"]);
                format!("{} IN {wanted}", subject.replace("{}", &node))
            }
            (0, _) => format!("{number} {operator} {other}"),
            (1, _) => format!("{number} IS NULL"),
            (2, _) => format!("{number} IN [1, {other}, 3]"),
            (3, _) => format!("NOT ({number} {operator} {other})"),
            (4, Some(node)) => format!("{node}.s = 'a'"),
            (5, Some(node)) => format!("{node}:A"),
            (6, Some(node)) => {
                let other = self.variable(Kind::Node).expect("there is one");
                format!("{node} {equality} {other}")
            }
            (7, Some(node)) => format!("{node}.key {equality} {number}"),
            (8, Some(node)) => format!("{number} = {node}.key"),
            (9, _) => format!("({number} {operator} {other} OR {number} IS NOT NULL)"),
            _ => format!("{number} {operator} 2"),
        }
    }

    /// A query within an expression.
    fn subquery(&mut self, keyword: &str) -> String {
        let outside = self.variables.clone();
        self.depth += 1;
        let mut text = self.matching("MATCH");
        if self.tape.one_in(3) {
            text = format!("{text} {}", self.projection("RETURN"));
        }
        self.depth -= 1;
        self.variables = outside;
        format!("{keyword} {{ {text} }}")
    }

    /// An expression that gives an integer or null.
    fn number(&mut self) -> String {
        match self.tape.below(9) {
            8 if self.depth < 2 && self.tape.one_in(2) => Some(self.subquery("COUNT")),
            0 | 1 => self.variable(Kind::Node).map(|name| format!("{name}.x")),
            2 => self.variable(Kind::Node).map(|name| format!("{name}.key")),
            3 => self.variable(Kind::Edge).map(|name| format!("{name}.w")),
            4 => self
                .variable(Kind::EdgeList)
                .map(|name| format!("size({name})")),
            5 => self
                .variable(Kind::Path)
                .map(|name| format!("length({name})")),
            6 => self
                .variable(Kind::AnyPath)
                .map(|name| format!("length({name})")),
            _ => self.variable(Kind::Number),
        }
        .unwrap_or_else(|| self.tape.below(4).to_string())
    }

    fn projection(&mut self, keyword: &str) -> String {
        let aggregates = self.tape.one_in(3);
        let distinct = self.tape.one_in(3);
        let sorted = self.tape.one_in(2);
        let (mut items, mut columns) = (Vec::new(), Vec::new());
        for _ in 0..1 + self.tape.below(3) {
            let kinds = [
                Kind::Node,
                Kind::Edge,
                Kind::EdgeList,
                Kind::Path,
                Kind::Number,
            ];
            let kind = kinds[self.tape.below(kinds.len())];
            let (expression, kind) = match self.variable(kind) {
                Some(name) if !self.tape.one_in(3) => (name, kind),
                _ => (self.number(), Kind::Number),
            };
            let name = self.name("c");
            items.push(format!("{expression} AS {name}"));
            columns.push((name, kind));
        }
        if aggregates {
            for _ in 0..1 + self.tape.below(2) {
                let number = self.number();
                let (text, prefix) = match self.tape.below(8) {
                    0 => ("count(*)".to_owned(), "c"),
                    1 => (format!("count({number})"), "c"),
                    2 => (format!("count(DISTINCT {number})"), "c"),
                    3 => (format!("sum({number})"), "c"),
                    4 => (format!("min({number})"), "c"),
                    5 => (format!("max({number})"), "c"),
                    6 => (format!("avg({number})"), "f"),
                    _ => (format!("collect({number})"), "collected"),
                };
                // Later clauses neither sort by lists in order of arrival nor compute with floats.
                if prefix != "c"
                    && (keyword == "WITH" || (prefix == "collected" && (sorted || distinct)))
                {
                    continue;
                }
                let name = self.name(prefix);
                items.push(format!("{text} AS {name}"));
                columns.push((name, Kind::Number));
            }
        }
        let mut text = format!(
            "{keyword} {}{}",
            if distinct { "DISTINCT " } else { "" },
            items.join(", ")
        );
        if sorted {
            let keys = columns
                .iter()
                .map(|(name, _)| format!("{name}{}", self.tape.pick(&["", " DESC"])));
            text.push_str(&format!(
                " ORDER BY {}",
                keys.collect::<Vec<_>>().join(", ")
            ));
            if self.tape.one_in(2) {
                text.push_str(&format!(" SKIP {}", self.tape.below(4)));
            }
            if self.tape.one_in(2) {
                text.push_str(&format!(" LIMIT {}", self.tape.below(6)));
            }
        }
        self.variables = columns;
        if keyword == "WITH" {
            text.push_str(&self.filter());
        }
        text
    }
}
