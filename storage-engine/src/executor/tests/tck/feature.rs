//! Feature files: a small reader of Gherkin, enough for the TCK and stricter than none. The kit's
//! `Literals6.feature` has lines that the usual Gherkin parsers refuse; here a table cell is
//! whatever stands between two bars.

/// One scenario with its examples filled in.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// The number in front of its name and, for an outline, that of the example: `3` or `3#1`.
    pub(super) key: String,
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// One `Given`, `When`, `Then`, with what stands below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    pub(super) text: String,
    pub(super) document: Option<String>,
    pub(super) table: Vec<Vec<String>>,
}

/// An outline while it is read.
#[derive(Default)]
struct Draft {
    name: String,
    steps: Vec<Step>,
    examples: Vec<Vec<Vec<String>>>,
    outline: bool,
}

/// Reads the scenarios of a feature file, outlines expanded.
pub(super) fn read(text: &str) -> Vec<Scenario> {
    let mut background: Vec<Step> = Vec::new();
    let mut drafts: Vec<Draft> = Vec::new();
    let mut in_background = false;
    let mut in_examples = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') || trimmed.starts_with('@') {
            continue;
        }
        if trimmed.starts_with("Background:") {
            in_background = true;
        } else if let Some((outline, name)) = heading(trimmed) {
            in_background = false;
            in_examples = false;
            drafts.push(Draft {
                name,
                outline,
                ..Draft::default()
            });
        } else if trimmed.starts_with("Examples:") {
            in_examples = true;
            if let Some(draft) = drafts.last_mut() {
                draft.examples.push(Vec::new());
            }
        } else if trimmed.starts_with("\"\"\"") {
            let document = document(line, &mut lines);
            if let Some(step) = steps(&mut background, &mut drafts, in_background).last_mut() {
                step.document = Some(document);
            }
        } else if trimmed.starts_with('|') {
            let row = cells(trimmed);
            if in_examples {
                let table = drafts
                    .last_mut()
                    .and_then(|draft| draft.examples.last_mut());
                table.into_iter().for_each(|table| table.push(row.clone()));
            } else if let Some(step) = steps(&mut background, &mut drafts, in_background).last_mut()
            {
                step.table.push(row);
            }
        } else if let Some(text) = step(trimmed) {
            steps(&mut background, &mut drafts, in_background).push(Step {
                text,
                ..Step::default()
            });
        }
    }
    drafts
        .iter()
        .enumerate()
        .flat_map(|(place, draft)| expand(place, draft, &background))
        .collect()
}

fn steps<'a>(
    background: &'a mut Vec<Step>,
    drafts: &'a mut [Draft],
    in_background: bool,
) -> &'a mut Vec<Step> {
    match drafts.last_mut() {
        Some(draft) if !in_background => &mut draft.steps,
        _ => background,
    }
}

fn heading(line: &str) -> Option<(bool, String)> {
    for (word, outline) in [
        ("Scenario Outline:", true),
        ("Scenario Template:", true),
        ("Scenario:", false),
        ("Example:", false),
    ] {
        if let Some(name) = line.strip_prefix(word) {
            return Some((outline, name.trim().to_owned()));
        }
    }
    None
}

fn step(line: &str) -> Option<String> {
    ["Given ", "When ", "Then ", "And ", "But ", "* "]
        .into_iter()
        .find_map(|word| line.strip_prefix(word))
        .map(|text| text.trim().to_owned())
}

/// The text between two lines of three quotes, less the indentation of the first.
fn document(opening: &str, lines: &mut std::str::Lines<'_>) -> String {
    let indent = opening.len() - opening.trim_start().len();
    let inside: Vec<&str> = lines
        .take_while(|line| !line.trim().starts_with("\"\"\""))
        .map(|line| {
            let spaces = line.len() - line.trim_start().len();
            line.get(spaces.min(indent)..).unwrap_or_default()
        })
        .collect();
    inside.join("\n")
}

/// The cells of a table row; `\|` is a bar, `\n` a line break and `\\` a backslash.
fn cells(line: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut characters = line.chars().skip(1).peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some('|')) => {
                cell.push('|');
                characters.next();
            }
            ('\\', Some('\\')) => {
                cell.push('\\');
                characters.next();
            }
            ('|', _) => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            (other, _) => cell.push(other),
        }
    }
    cells
}

fn expand(place: usize, draft: &Draft, background: &[Step]) -> Vec<Scenario> {
    let number = draft
        .name
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or_else(
            || format!("@{}", place + 1),
            |(number, _)| number.to_owned(),
        );
    let whole = |steps: &[Step]| background.iter().chain(steps).cloned().collect();
    if !draft.outline {
        return vec![Scenario {
            key: number,
            name: draft.name.clone(),
            steps: whole(&draft.steps),
        }];
    }
    let mut scenarios = Vec::new();
    for table in &draft.examples {
        let Some((header, rows)) = table.split_first() else {
            continue;
        };
        for row in rows {
            let fill = |text: &str| {
                header
                    .iter()
                    .zip(row)
                    .fold(text.to_owned(), |text, (name, value)| {
                        text.replace(&format!("<{name}>"), value)
                    })
            };
            let steps: Vec<Step> = draft
                .steps
                .iter()
                .map(|step| Step {
                    text: fill(&step.text),
                    document: step.document.as_deref().map(fill),
                    table: step
                        .table
                        .iter()
                        .map(|row| row.iter().map(|cell| fill(cell)).collect())
                        .collect(),
                })
                .collect();
            scenarios.push(Scenario {
                key: format!("{number}#{}", scenarios.len() + 1),
                name: draft.name.clone(),
                steps: whole(&steps),
            });
        }
    }
    scenarios
}

#[test]
fn outlines_documents_and_tables_are_read() {
    let text = "Feature: x\n  Background:\n    Given any graph\n  Scenario Outline: [7] n\n    \
                When executing query:\n      \"\"\"\n      RETURN <a>\n        AS x\n      \"\"\"\n    \
                Then the result should be, in any order:\n      | x |\n      | <a> |\n    Examples:\n      \
                | a |\n      | 'b\\|c' |\n      | 2 |\n  Scenario: plain\n    Given an empty graph\n";
    let scenarios = read(text);
    let keys: Vec<&str> = scenarios
        .iter()
        .map(|scenario| scenario.key.as_str())
        .collect();
    assert_eq!(keys, ["7#1", "7#2", "@2"]);
    assert_eq!(scenarios[0].steps[0].text, "any graph");
    assert_eq!(
        scenarios[0].steps[1].document.as_deref(),
        Some("RETURN 'b|c'\n  AS x")
    );
    assert_eq!(scenarios[1].steps[2].table, [["x"], ["2"]]);
    assert_eq!(scenarios[2].steps.len(), 2);
}
