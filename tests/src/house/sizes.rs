//! A file stays under 600 lines and a function under 70, or stands in a list that only shrinks.

use super::sources::{Source, rust};

/// The most lines of a file.
const MAX_FILE: usize = 600;
/// The most lines of code of a function, tests aside: a table of cases may be long.
const MAX_FUNCTION: usize = 70;

/// What is longer: path, or path and function, and how long exactly. A line may only be taken away
/// or lowered.
const EXCEPTIONS: &[(&str, usize)] = &[("journal/src/walk.rs walk_segment", 78)];

/// `name` and lines of code of every function outside test modules.
fn functions(source: &Source) -> Vec<(String, usize)> {
    let lines: Vec<_> = source
        .text
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        if line.trim_end().ends_with(['}', ';']) {
            continue;
        }
        // Formatted code closes a body at the indentation of its `fn`, and so the parameters of a
        // declaration without one.
        let indentation: String = line.chars().take_while(|c| *c == ' ').collect();
        let (close, declared) = (format!("{indentation}}}"), format!("{indentation})"));
        let length = lines[start..].iter().position(|line| {
            **line == close || (line.starts_with(&declared) && line.ends_with(';'))
        });
        let end = length.map_or(lines.len(), |length| start + length);
        if lines.get(end).is_some_and(|line| line.ends_with(';')) {
            continue;
        }
        let code = lines[start..end]
            .iter()
            .filter(|line| !is_empty(line))
            .count();
        found.push((name.to_owned(), code));
    }
    found
}

fn is_empty(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with("//")
}

/// The name in a line that begins a function.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start();
    if let Some(rest) = words.strip_prefix("pub(") {
        words = rest.split_once(')')?.1.trim_start();
    }
    for modifier in ["pub ", "default ", "const ", "async ", "extern \"C\" "] {
        words = words.strip_prefix(modifier).unwrap_or(words);
    }
    let name = words.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

/// Everything over its limit, with its length.
fn long(sources: &[Source]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        if lines > MAX_FILE {
            found.push((source.path.clone(), lines));
        }
        if source.path.starts_with("tests/")
            || source.path.ends_with("/tests.rs")
            || source.path.contains("/tests/")
        {
            continue;
        }
        found.extend(
            functions(source)
                .into_iter()
                .filter(|(_, lines)| *lines > MAX_FUNCTION)
                .map(|(name, lines)| (format!("{} {name}", source.path), lines)),
        );
    }
    found
}

#[test]
fn files_and_functions_stay_short() {
    let long = long(&rust());
    let mut complaints = Vec::new();
    for (what, lines) in &long {
        match EXCEPTIONS.iter().find(|(name, _)| name == what) {
            None => complaints.push(format!(
                "{what} has {lines} lines: split it along what it does"
            )),
            Some((_, listed)) if lines > listed => {
                complaints.push(format!(
                    "{what} grew from {listed} to {lines} lines: split it"
                ));
            }
            Some((_, listed)) if lines < listed => {
                complaints.push(format!(
                    "{what} shrank: lower its exception from {listed} to {lines}"
                ));
            }
            Some(_) => {}
        }
    }
    for (name, _) in EXCEPTIONS {
        if !long.iter().any(|(what, _)| what == name) {
            complaints.push(format!(
                "{name} needs no exception any more: take it off the list"
            ));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn functions_are_measured() {
    let body = "        x();\n".repeat(71);
    let text = format!(
        "impl A {{\n    fn short() {{}}\n    pub(crate) async fn long<T>(\n        a: T,\n    ) {{\n{body}        // why\n\n    }}\n    fn next();\n    fn declared(\n        a: T,\n    ) -> T;\n}}\n\
         const fn top() {{\n    1\n}}\n#[cfg(test)]\nmod tests {{\n    fn ignored() {{\n{body}    }}\n}}\n"
    );
    let source = Source {
        path: "server/src/a.rs".to_owned(),
        text,
    };
    assert_eq!(
        functions(&source),
        [("long".to_owned(), 74), ("top".to_owned(), 2)]
    );
    assert_eq!(long(&[source]), [("server/src/a.rs long".to_owned(), 74)]);
}
