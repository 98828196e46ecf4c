//! Where in the text an entry goes: read from the syntax tree, decided by lines.
//!
//! Everything here proposes; [`super::prove`] disposes. A proposal may therefore use plain rules
//! (a line that begins with `#` is a comment) that a block scalar could fool.

use yaml_edit::{Mapping, MappingEntry, YamlFile, YamlNode};

use super::super::model::GraphEntry;
use super::super::yaml_text;
use super::page::Page;
use super::{EditError, Piece, Placement};
use crate::GraphId;

const GRAPHS: &str = "graphs";

/// What is to be written.
struct Addition<'a> {
    graph_id: &'a GraphId,
    entry: &'a GraphEntry,
}

impl Addition<'_> {
    fn block(&self, page: &Page<'_>, indent: usize, step: usize) -> String {
        yaml_text::block(self.graph_id, self.entry, indent, step, page.line_ending)
    }

    fn flow(&self) -> String {
        yaml_text::flow(self.graph_id, self.entry)
    }
}

pub(super) fn root_of(text: &str) -> Result<Mapping, EditError> {
    let file: YamlFile = YamlFile::parse(text).tree();
    file.document()
        .and_then(|document| document.as_mapping())
        .ok_or(EditError::NoMapping)
}

pub(super) fn find(mapping: &Mapping, matches: impl Fn(&str) -> bool) -> Option<MappingEntry> {
    mapping.entries().find(|entry| match entry.key_node() {
        Some(YamlNode::Scalar(key)) => matches(&key.as_string()),
        _ => false,
    })
}

pub(super) fn key_start(entry: &MappingEntry) -> Option<usize> {
    entry.key_node().map(|key| key.byte_range().start as usize)
}

/// Every way to add the entry that may be right, the likeliest first.
pub(super) fn additions(
    text: &str,
    graph_id: &GraphId,
    entry: &GraphEntry,
) -> Result<Vec<Placement>, EditError> {
    let page = Page::new(text);
    let root = root_of(text)?;
    let addition = Addition { graph_id, entry };
    let Some(graphs) = find(&root, |key| key == GRAPHS) else {
        return Ok(without_graphs(&page, &root, &addition));
    };
    Ok(match graphs.value_node() {
        Some(YamlNode::Alias(_)) => {
            return Err(EditError::Unsupported {
                reason: "graphs: is an alias of an anchor elsewhere".to_owned(),
            });
        }
        Some(YamlNode::Mapping(mapping)) if mapping.is_flow_style() => {
            into_flow(&page, &root, &graphs, &mapping, &addition)
        }
        Some(YamlNode::Mapping(mapping)) => into_block(&page, &mapping, |indent, step| {
            addition.block(&page, indent, step)
        }),
        Some(YamlNode::TaggedNode(tagged)) => match tagged.as_mapping() {
            Some(mapping) if mapping.is_flow_style() => {
                flow_ends(&page, &mapping, &addition.flow())
            }
            Some(mapping) => into_block(&page, &mapping, |indent, step| {
                addition.block(&page, indent, step)
            }),
            None => Vec::new(),
        },
        value => in_place_of_null(&page, &root, &graphs, value.as_ref(), &addition),
    })
}

/// How deep the operator indents below the root's keys: as the first nested block does, else two.
fn root_step(page: &Page<'_>, root: &Mapping) -> (usize, usize) {
    let column = root
        .entries()
        .find_map(|entry| key_start(&entry))
        .map_or(0, |start| page.indent(page.line_of(start)));
    let step = root
        .entries()
        .filter_map(|entry| match entry.value_node() {
            Some(YamlNode::Mapping(mapping)) if !mapping.is_flow_style() => {
                let start = mapping.entries().find_map(|entry| key_start(&entry))?;
                page.indent(page.line_of(start)).checked_sub(column)
            }
            _ => None,
        })
        .find(|step| *step > 0)
        .unwrap_or(2);
    (column, step)
}

/// There is no key `graphs`: it goes to the end of the root.
fn without_graphs(page: &Page<'_>, root: &Mapping, addition: &Addition<'_>) -> Vec<Placement> {
    if root.is_flow_style() {
        return flow_ends(page, root, &format!("{GRAPHS}: {{ {} }}", addition.flow()));
    }
    let (column, step) = root_step(page, root);
    let lines = format!(
        "{:column$}{GRAPHS}:{}{}",
        "",
        page.line_ending,
        addition.block(page, column + step, step)
    );
    let document_end = (0..page.count())
        .skip_while(|&number| {
            page.is_document_mark(number)
                || page.is_blank(number)
                || page.is_comment(number)
                || page.line(number).starts_with('%')
        })
        .find(|&number| page.is_document_mark(number));
    vec![vec![
        page.lines_before(document_end.unwrap_or(page.count()), &lines),
    ]]
}

/// `graphs:` with nothing after it, or with a written null.
fn in_place_of_null(
    page: &Page<'_>,
    root: &Mapping,
    graphs: &MappingEntry,
    value: Option<&YamlNode>,
    addition: &Addition<'_>,
) -> Vec<Placement> {
    let Some(key) = key_start(graphs) else {
        return Vec::new();
    };
    let key_line = page.line_of(key);
    let (column, step) = root_step(page, root);
    let mut cut = Vec::new();
    if let Some(YamlNode::Scalar(scalar)) = value {
        let range = scalar.byte_range();
        let (from, to) = (range.start as usize, range.end as usize);
        if matches!(
            page.text.get(from..to),
            Some("null" | "Null" | "NULL" | "~")
        ) {
            cut.push(blanks_before(page, from, to));
        }
    }
    let mut placements = block_below(page, key_line, column, step, &cut, addition);
    if root.is_flow_style() {
        let entry = format!("{{ {} }}", addition.flow());
        placements = match cut.first() {
            Some(null) => vec![vec![Piece {
                inserted: format!(" {entry}"),
                ..null.clone()
            }]],
            None => {
                let end = graphs
                    .key_node()
                    .map_or(key, |key| key.byte_range().end as usize);
                let colon = page.text[end..].find(':').map_or(end, |at| end + at + 1);
                vec![
                    vec![Piece::insert(colon, format!(" {entry}"))],
                    vec![Piece::insert(end, format!(": {entry}"))],
                ]
            }
        };
    }
    placements
}

/// Takes `from..to` out together with the blanks before it.
pub(super) fn blanks_before(page: &Page<'_>, from: usize, to: usize) -> Piece {
    let start = page.text[..from].trim_end_matches([' ', '\t']).len();
    Piece {
        at: start,
        removed: to - start,
        inserted: String::new(),
    }
}

/// The entry as the first one below the line of `graphs:`.
fn block_below(
    page: &Page<'_>,
    key_line: usize,
    column: usize,
    step: usize,
    cut: &[Piece],
    addition: &Addition<'_>,
) -> Vec<Placement> {
    let lines = addition.block(page, column + step, step);
    // Deeper comments right below the key belong to it: "# put new graphs here".
    let after_comments = (key_line + 1..page.count())
        .find(|&number| !(page.is_comment(number) && page.indent(number) > column))
        .unwrap_or(page.count());
    [after_comments, key_line + 1]
        .into_iter()
        .map(|number| {
            let mut pieces = cut.to_vec();
            pieces.push(page.lines_before(number, &lines));
            pieces
        })
        .collect()
}

/// After the last entry of a block. `lines` gets its indentation, and how much deeper what is in an
/// entry stands.
pub(super) fn into_block(
    page: &Page<'_>,
    mapping: &Mapping,
    lines: impl Fn(usize, usize) -> String,
) -> Vec<Placement> {
    let mut starts = mapping
        .entries()
        .filter_map(|entry| key_start(&entry).map(|at| (entry, at)));
    let Some((first_entry, first)) = starts.next() else {
        return Vec::new();
    };
    let (last_entry, last) = starts.last().unwrap_or((first_entry, first));
    let key_line = page.line_of(last);
    let indent = page.indent(key_line);
    let step = match last_entry.value_node() {
        Some(YamlNode::Mapping(inner)) if !inner.is_flow_style() => inner
            .entries()
            .find_map(|entry| key_start(&entry))
            .and_then(|start| page.indent(page.line_of(start)).checked_sub(indent))
            .filter(|step| *step > 0)
            .unwrap_or(2),
        _ => 2,
    };
    let mut lines = lines(indent, step);
    let end_line = flow_end(page, &last_entry).unwrap_or(key_line);
    if page.line_of(first) != key_line && spaced(page, key_line) {
        lines = format!("{}{lines}", page.line_ending);
    }
    page.run(end_line, indent)
        .into_iter()
        .map(|number| vec![page.lines_before(number, &lines)])
        .collect()
}

/// The line on which an entry's flow value ends; its brace may stand at the margin.
fn flow_end(page: &Page<'_>, entry: &MappingEntry) -> Option<usize> {
    let value = entry.value_node()?;
    let flow = match &value {
        YamlNode::Mapping(mapping) => mapping.is_flow_style(),
        _ => false,
    };
    let range = value.byte_range();
    let text = page.text.get(range.start as usize..range.end as usize)?;
    flow.then(|| page.line_of(range.start as usize + text.trim_end().len().saturating_sub(1)))
}

/// Whether a blank line stands above an entry and its comments.
fn spaced(page: &Page<'_>, key_line: usize) -> bool {
    (0..key_line)
        .rev()
        .find(|&number| !page.is_comment(number))
        .is_some_and(|number| page.is_blank(number))
}

/// Into `{ ... }` after `graphs:`. An empty one below a block root becomes a block.
fn into_flow(
    page: &Page<'_>,
    root: &Mapping,
    graphs: &MappingEntry,
    mapping: &Mapping,
    addition: &Addition<'_>,
) -> Vec<Placement> {
    let mut placements = Vec::new();
    let range = mapping.byte_range();
    let (from, to) = (range.start as usize, range.end as usize);
    let inside = page
        .text
        .get(from..to)
        .map(str::trim)
        .and_then(|text| text.strip_prefix('{'))
        .and_then(|text| text.strip_suffix('}'));
    if let (Some(key), Some(inside), false) = (key_start(graphs), inside, root.is_flow_style()) {
        let key_line = page.line_of(key);
        if inside.trim().is_empty()
            && page.line_of(from) == key_line
            && page.line_of(to.saturating_sub(1)) == key_line
        {
            let (column, step) = root_step(page, root);
            let to = from + page.text[from..to].trim_end().len();
            placements = block_below(
                page,
                key_line,
                column,
                step,
                &[blanks_before(page, from, to)],
                addition,
            );
        }
    }
    placements.extend(flow_ends(page, mapping, &addition.flow()));
    placements
}

/// `item` as the last one within the braces of a flow mapping.
pub(super) fn flow_ends(page: &Page<'_>, mapping: &Mapping, item: &str) -> Vec<Placement> {
    let range = mapping.byte_range();
    let (from, to) = (range.start as usize, range.end as usize);
    let Some(close) = page
        .text
        .get(from..to)
        .and_then(|text| text.rfind('}'))
        .map(|at| from + at)
    else {
        return Vec::new();
    };
    let Some(last) = mapping
        .entries()
        .filter(|entry| key_start(entry).is_some())
        .last()
    else {
        let open = from + page.text[from..to].find('{').map_or(0, |at| at + 1);
        return vec![
            vec![Piece::insert(open, format!(" {item} "))],
            vec![Piece::insert(close, format!(" {item} "))],
        ];
    };
    let key_end = last
        .key_node()
        .map_or(from, |key| key.byte_range().end as usize);
    let value_end = last
        .value_node()
        .map_or(key_end, |value| value.byte_range().end as usize);
    let end = value_end.max(key_end);
    let Some(end) = page
        .text
        .get(from..end)
        .map(|text| from + text.trim_end().len())
    else {
        return Vec::new();
    };
    let comma = comma_between(page, end, close);
    let (last_line, close_line) = (page.line_of(end.saturating_sub(1)), page.line_of(close));
    if last_line == close_line {
        return vec![vec![match comma {
            Some(comma) => Piece::insert(comma + 1, format!(" {item},")),
            None => Piece::insert(end, format!(", {item}")),
        }]];
    }
    let key_line = key_start(&last).map_or(last_line, |start| page.line_of(start));
    let mut indent = page.indent(key_line);
    if page.text[..key_start(&last).unwrap_or(0)].ends_with(['{', ' '])
        && page.line(key_line).trim_start().starts_with('{')
    {
        indent += 2;
    }
    let own_line = match comma {
        Some(comma) => {
            let line = page.line_of(comma) + 1;
            vec![page.lines_before(line, &format!("{:indent$}{item},", ""))]
        }
        None => vec![
            Piece::insert(end, ",".to_owned()),
            page.lines_before(last_line + 1, &format!("{:indent$}{item}", "")),
        ],
    };
    let same_line = vec![match comma {
        Some(comma) => Piece::insert(comma + 1, format!(" {item},")),
        None => Piece::insert(end, format!(", {item}")),
    }];
    vec![own_line, same_line]
}

/// The comma after the last value, skipping comments.
fn comma_between(page: &Page<'_>, from: usize, to: usize) -> Option<usize> {
    let between = page.text.get(from..to)?;
    let mut in_comment = false;
    for (at, c) in between.char_indices() {
        match c {
            '\n' => in_comment = false,
            '#' => in_comment = true,
            ',' if !in_comment => return Some(from + at),
            _ => {}
        }
    }
    None
}

/// The mapping below `graphs:`.
pub(super) fn graphs_of(root: &Mapping) -> Result<Mapping, EditError> {
    let graphs = find(root, |key| key == GRAPHS).and_then(|entry| entry.value_node());
    let mapping = match graphs {
        Some(YamlNode::Mapping(mapping)) => Some(mapping),
        Some(YamlNode::TaggedNode(tagged)) => tagged.as_mapping(),
        _ => None,
    };
    mapping.ok_or_else(|| EditError::Unsupported {
        reason: "graphs: is no plain mapping".to_owned(),
    })
}

/// The graph's own entry below `graphs:`, in any case of its id.
pub(super) fn entry_of(mapping: &Mapping, graph_id: &GraphId) -> Result<MappingEntry, EditError> {
    find(mapping, |key| key.eq_ignore_ascii_case(graph_id.as_str()))
        .ok_or_else(|| EditError::Absent(graph_id.to_string()))
}

/// Every way to take the entry out that may be right, the likeliest first.
pub(super) fn removals(text: &str, graph_id: &GraphId) -> Result<Vec<Placement>, EditError> {
    let page = Page::new(text);
    let mapping = graphs_of(&root_of(text)?)?;
    let entry = entry_of(&mapping, graph_id)?;
    Ok(out_of(&page, &mapping, &entry))
}

/// Every way to take one entry out of a mapping.
pub(super) fn out_of(page: &Page<'_>, mapping: &Mapping, entry: &MappingEntry) -> Vec<Placement> {
    let Some(start) = key_start(entry) else {
        return Vec::new();
    };
    if mapping.is_flow_style() {
        return out_of_flow(page, mapping, entry, start);
    }
    let text = page.text;
    let key_line = page.line_of(start);
    let indent = page.indent(key_line);
    let end_line = flow_end(page, entry).unwrap_or(key_line);
    let is_last = !mapping
        .entries()
        .filter_map(|entry| key_start(&entry))
        .any(|at| at > start);
    let spaced = key_line > 0 && page.is_blank(key_line - 1);
    let cut = |end_line: usize| -> Placement {
        // The blank line that set the entry off goes with it.
        let alone = spaced && (is_last || page.is_blank(end_line));
        let first_line = if alone { key_line - 1 } else { key_line };
        let mut from = page.starts.get(first_line).copied().unwrap_or(0);
        let to = page.starts.get(end_line).copied().unwrap_or(text.len());
        if to == text.len() && !text.ends_with('\n') {
            // The line above becomes the last one, and the last line has no ending.
            from = text[..from].trim_end_matches(['\n', '\r']).len();
        }
        vec![Piece {
            at: from,
            removed: to - from,
            inserted: String::new(),
        }]
    };
    page.run(end_line, indent).into_iter().map(cut).collect()
}

fn out_of_flow(
    page: &Page<'_>,
    mapping: &Mapping,
    entry: &MappingEntry,
    start: usize,
) -> Vec<Placement> {
    let range = mapping.byte_range();
    let (from, to) = (range.start as usize, range.end as usize);
    let close = page
        .text
        .get(from..to)
        .and_then(|text| text.rfind('}'))
        .map_or(to, |at| from + at);
    let end = entry
        .value_node()
        .map_or(start, |value| value.byte_range().end as usize);
    let end = start
        + page
            .text
            .get(start..end)
            .map_or(0, |text| text.trim_end().len());
    let before = page
        .text
        .get(from..start)
        .and_then(|text| text.rfind(','))
        .map(|at| from + at);
    let cut = |at: usize, to: usize| {
        vec![Piece {
            at,
            removed: to - at,
            inserted: String::new(),
        }]
    };
    let next = mapping
        .entries()
        .filter_map(|other| key_start(&other))
        .find(|&other| other > start);
    match (next, before) {
        (Some(next), _) => vec![cut(start, next)],
        (None, Some(before)) => vec![cut(before, end)],
        (None, None) => {
            let end = comma_between(page, end, close).map_or(end, |comma| comma + 1);
            vec![cut(start, end)]
        }
    }
}
