//! Values as the TCK writes them, and those of the engine in the same form, to be compared as text.

use std::collections::BTreeMap;

use language::value::{EdgeRef, NodeRef, Value};

use crate::snapshot::Snapshot;

/// A value without identities: what the TCK compares.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::executor::tests) enum Shown {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Shown>),
    Map(BTreeMap<String, Shown>),
    Node(Vec<String>, BTreeMap<String, Shown>),
    Relationship(String, BTreeMap<String, Shown>),
    /// Nodes, and between them relationships with whether they point forward.
    Path(Vec<Shown>, Vec<(Shown, bool)>),
}

impl Shown {
    /// One text per value; lists sorted when their order does not count.
    pub(super) fn text(&self, ignore_list_order: bool) -> String {
        let map = |map: &BTreeMap<String, Self>| {
            let entries: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.text(ignore_list_order)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        };
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) if value.is_nan() => "NaN".to_owned(),
            // The kit expects `0.0` of `-0.0`, which equals it.
            Self::Float(value) if *value == 0.0 => "0.0".to_owned(),
            Self::Float(value) => format!("{value:?}"),
            Self::Text(text) => format!("{text:?}"),
            Self::List(values) => {
                let mut values: Vec<String> = values
                    .iter()
                    .map(|value| value.text(ignore_list_order))
                    .collect();
                if ignore_list_order {
                    values.sort();
                }
                format!("[{}]", values.join(", "))
            }
            Self::Map(entries) => map(entries),
            Self::Node(labels, properties) => {
                let mut labels = labels.clone();
                labels.sort();
                let labels: String = labels.iter().map(|label| format!(":{label}")).collect();
                format!("({labels} {})", map(properties))
            }
            Self::Relationship(name, properties) => format!("[:{name} {}]", map(properties)),
            Self::Path(nodes, edges) => {
                let mut text = String::from("<");
                for (place, node) in nodes.iter().enumerate() {
                    text.push_str(&node.text(ignore_list_order));
                    if let Some((edge, forward)) = edges.get(place) {
                        let edge = edge.text(ignore_list_order);
                        text.push_str(&if *forward {
                            format!("-{edge}->")
                        } else {
                            format!("<-{edge}-")
                        });
                    }
                }
                text.push('>');
                text
            }
        }
    }

    /// A value of the engine.
    pub(super) fn of(snapshot: &Snapshot, value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Float(value) => Self::Float(*value),
            Value::String(text) => Self::Text(text.to_string()),
            Value::Date(_) | Value::DateTime(_) | Value::Temporal(_) => {
                Self::Text(language::temporal::text(value).unwrap_or_default())
            }
            Value::List(values) => Self::List(
                values
                    .iter()
                    .map(|value| Self::of(snapshot, value))
                    .collect(),
            ),
            Value::Map(map) => Self::Map(named(snapshot, map)),
            Value::Node(node) => Self::node(snapshot, *node),
            Value::Relationship(edge) => Self::edge(snapshot, *edge),
            Value::Path(path) => {
                let edges = path.edges.iter().zip(&path.nodes).map(|(edge, from)| {
                    let forward = snapshot
                        .edge_ends(*edge)
                        .is_none_or(|(source, _)| source == *from);
                    (Self::edge(snapshot, *edge), forward)
                });
                let edges = edges.collect();
                Self::Path(
                    path.nodes
                        .iter()
                        .map(|node| Self::node(snapshot, *node))
                        .collect(),
                    edges,
                )
            }
        }
    }

    fn node(snapshot: &Snapshot, node: NodeRef) -> Self {
        let labels = snapshot
            .node_labels(node)
            .iter()
            .map(ToString::to_string)
            .collect();
        Self::Node(labels, named(snapshot, &snapshot.node_properties(node)))
    }

    fn edge(snapshot: &Snapshot, edge: EdgeRef) -> Self {
        let name = snapshot.edge_type_name(edge).map(|name| name.to_string());
        let properties = named(snapshot, &snapshot.edge_properties(edge));
        Self::Relationship(name.unwrap_or_default(), properties)
    }

    /// A value as the TCK writes it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let characters: Vec<char> = text.chars().collect();
        let mut reader = Reader { characters, at: 0 };
        let value = reader.value()?;
        reader.space();
        if reader.at < reader.characters.len() {
            return Err(format!("`{text}` goes on after a value"));
        }
        Ok(value)
    }
}

fn named(snapshot: &Snapshot, map: &BTreeMap<String, Value>) -> BTreeMap<String, Shown> {
    map.iter()
        .map(|(name, value)| (name.clone(), Shown::of(snapshot, value)))
        .collect()
}

struct Reader {
    characters: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        self.space();
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) {
            return Ok(());
        }
        let text: String = self.characters.iter().collect();
        Err(format!("`{text}`: expected `{wanted}` at {}", self.at))
    }

    fn value(&mut self) -> Result<Shown, String> {
        self.space();
        match self.peek() {
            Some('\'') => self.quoted().map(Shown::Text),
            Some('[') => self.bracket(),
            Some('{') => self.map().map(Shown::Map),
            Some('(') => self.node(),
            Some('<') => self.path(),
            _ => self.word(),
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.expect('\'')?;
        let mut text = String::new();
        while let Some(character) = self.peek() {
            self.at += 1;
            match character {
                '\'' => return Ok(text),
                '\\' => {
                    let escaped = self.peek().unwrap_or('\\');
                    self.at += 1;
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    });
                }
                other => text.push(other),
            }
        }
        Err("a text without an end".to_owned())
    }

    fn name(&mut self) -> String {
        self.space();
        let quoted = self.take('`');
        let mut name = String::new();
        while let Some(character) = self.peek() {
            let part = character.is_alphanumeric() || character == '_';
            if quoted && character == '`' {
                self.at += 1;
                break;
            }
            if !quoted && !part {
                break;
            }
            name.push(character);
            self.at += 1;
        }
        name
    }

    fn word(&mut self) -> Result<Shown, String> {
        let mut word = String::new();
        while let Some(character) = self
            .peek()
            .filter(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '+' | '_'))
        {
            word.push(character);
            self.at += 1;
        }
        let float = |text: &str| text.parse::<f64>().ok().map(Shown::Float);
        let found = match word.as_str() {
            "null" => Some(Shown::Null),
            "true" => Some(Shown::Bool(true)),
            "false" => Some(Shown::Bool(false)),
            "NaN" => Some(Shown::Float(f64::NAN)),
            "Inf" => Some(Shown::Float(f64::INFINITY)),
            "-Inf" => Some(Shown::Float(f64::NEG_INFINITY)),
            text => text.parse().ok().map(Shown::Int).or_else(|| float(text)),
        };
        found.ok_or_else(|| format!("`{word}` is no value"))
    }

    fn map(&mut self) -> Result<BTreeMap<String, Shown>, String> {
        self.expect('{')?;
        let mut map = BTreeMap::new();
        if self.take('}') {
            return Ok(map);
        }
        loop {
            let name = self.name();
            self.expect(':')?;
            map.insert(name, self.value()?);
            if !self.take(',') {
                break;
            }
        }
        self.expect('}')?;
        Ok(map)
    }

    /// A list, or a relationship when a colon follows the bracket.
    fn bracket(&mut self) -> Result<Shown, String> {
        self.expect('[')?;
        if self.take(':') {
            let name = self.name();
            let properties = self.properties()?;
            self.expect(']')?;
            return Ok(Shown::Relationship(name, properties));
        }
        let mut values = Vec::new();
        if self.take(']') {
            return Ok(Shown::List(values));
        }
        loop {
            values.push(self.value()?);
            if !self.take(',') {
                break;
            }
        }
        self.expect(']')?;
        Ok(Shown::List(values))
    }

    fn properties(&mut self) -> Result<BTreeMap<String, Shown>, String> {
        self.space();
        if self.peek() == Some('{') {
            self.map()
        } else {
            Ok(BTreeMap::new())
        }
    }

    fn node(&mut self) -> Result<Shown, String> {
        self.expect('(')?;
        let mut labels = Vec::new();
        while self.take(':') {
            labels.push(self.name());
        }
        let properties = self.properties()?;
        self.expect(')')?;
        Ok(Shown::Node(labels, properties))
    }

    fn path(&mut self) -> Result<Shown, String> {
        self.expect('<')?;
        let mut nodes = vec![self.node()?];
        let mut edges = Vec::new();
        while !self.take('>') {
            let backward = self.take('<');
            self.expect('-')?;
            let edge = self.bracket()?;
            self.expect('-')?;
            if !backward {
                self.expect('>')?;
            }
            edges.push((edge, !backward));
            nodes.push(self.node()?);
        }
        Ok(Shown::Path(nodes, edges))
    }
}

#[test]
fn values_are_read_as_the_kit_writes_them() {
    for text in [
        "null",
        "-1",
        "1.5",
        "[1, [:T {a: \"b\"}]]",
        "{a: [1, null]}",
        "(:A:B {a: 1})",
        "<(:A {})-[:T {}]->( {})<-[:U {a: 1}]-(:B {})>",
    ] {
        let given = text.replace('"', "'");
        assert_eq!(
            Shown::parse(&given)
                .map(|value| value.text(false))
                .as_deref(),
            Ok(text)
        );
    }
    assert!(Shown::parse("(:A").is_err());
}
