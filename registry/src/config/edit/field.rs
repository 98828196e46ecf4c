//! Changing fields of one graph's entry: each change by itself, so that what is not changed keeps its
//! comments and its manner.

use serde_yaml::{Mapping as Document, Value};
use yaml_edit::{Mapping, MappingEntry, YamlNode};

use super::super::model::GraphEntry;
use super::super::yaml_text::{self, scalar};
use super::page::Page;
use super::place::{
    blanks_before, entry_of, find, flow_ends, graphs_of, into_block, key_start, out_of, root_of,
};
use super::{EditError, Piece, Placement};
use crate::GraphId;

const LABELS: &str = "labels";
const POLICY: &str = "policy";

/// One change within an entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    /// Below the entry: `tenant`, or `labels` and a label's name.
    path: Vec<String>,
    /// What is to stand there, as text on one line and as a value; `None` for nothing.
    value: Option<(String, Value)>,
}

/// What makes `before` into `after`, one field and one label at a time.
pub(super) fn changes(before: &GraphEntry, after: &GraphEntry) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, value) in yaml_text::inline_fields(after) {
        let old = yaml_text::inline_fields(before)
            .into_iter()
            .find(|(old, _)| *old == name);
        let by_itself = name == LABELS && !before.labels.is_empty();
        match (old, &after.policy) {
            _ if by_itself => {}
            (Some((_, old)), _) if old == value => {}
            (Some(_), Some(policy)) if name == POLICY => {
                let path = vec![POLICY.to_owned(), "file".to_owned()];
                changes.push(Change::set(path, scalar(&policy.file)));
            }
            _ => changes.push(Change::set(vec![name.to_owned()], value)),
        }
    }
    for (name, _) in yaml_text::inline_fields(before) {
        let gone = yaml_text::inline_fields(after)
            .into_iter()
            .all(|(new, _)| new != name);
        if gone {
            changes.push(Change::unset(vec![name.to_owned()]));
        }
    }
    if !before.labels.is_empty() && !after.labels.is_empty() {
        let path = |name: &str| vec![LABELS.to_owned(), name.to_owned()];
        // New ones first, so that the mapping is never empty in between.
        for (name, value) in &after.labels {
            if before.labels.get(name) != Some(value) {
                changes.push(Change::set(path(name), scalar(value)));
            }
        }
        for name in before.labels.keys() {
            if !after.labels.contains_key(name) {
                changes.push(Change::unset(path(name)));
            }
        }
    }
    changes
}

impl Change {
    fn set(path: Vec<String>, text: String) -> Self {
        let value = serde_yaml::from_str(&text).unwrap_or_default();
        Self {
            path,
            value: Some((text, value)),
        }
    }

    fn unset(path: Vec<String>) -> Self {
        Self { path, value: None }
    }

    /// The document as it is to be.
    pub(super) fn on(&self, old: &Value, graph_id: &GraphId) -> Result<Value, EditError> {
        let mut new = old.clone();
        let entry = new
            .get_mut("graphs")
            .and_then(Value::as_mapping_mut)
            .and_then(|graphs| {
                graphs.iter_mut().find_map(|(key, value)| {
                    let same = key
                        .as_str()
                        .is_some_and(|key| key.eq_ignore_ascii_case(graph_id.as_str()));
                    same.then_some(value)
                })
            });
        let mut place = entry.and_then(Value::as_mapping_mut);
        let (last, above) = self.path.split_last().ok_or_else(unplain)?;
        for name in above {
            place = place
                .and_then(|mapping| mapping.get_mut(name.as_str()))
                .and_then(Value::as_mapping_mut);
        }
        let place: &mut Document = place.ok_or_else(unplain)?;
        let key = Value::String(last.clone());
        match &self.value {
            Some((_, value)) => {
                place.insert(key, value.clone());
            }
            None => {
                // What is not there comes from an anchor.
                place.shift_remove(&key).ok_or_else(unplain)?;
            }
        }
        Ok(new)
    }

    /// Every way to make the change in the text that may be right, the likeliest first.
    pub(super) fn placements(
        &self,
        text: &str,
        graph_id: &GraphId,
    ) -> Result<Vec<Placement>, EditError> {
        let page = Page::new(text);
        let entry = entry_of(&graphs_of(&root_of(text)?)?, graph_id)?;
        let mut mapping = below(&entry).ok_or_else(unplain)?;
        let (name, above) = self.path.split_last().ok_or_else(unplain)?;
        for name in above {
            let entry = find(&mapping, |key| key == name).ok_or_else(unplain)?;
            mapping = below(&entry).ok_or_else(unplain)?;
        }
        let entry = find(&mapping, |key| key == name);
        Ok(match (&self.value, entry) {
            (Some((text, _)), Some(entry)) => in_place(&page, &entry, text),
            (Some((text, _)), None) => {
                let item = format!("{}: {text}", scalar(name));
                if mapping.is_flow_style() {
                    flow_ends(&page, &mapping, &item)
                } else {
                    into_block(&page, &mapping, |indent, _| format!("{:indent$}{item}", ""))
                }
            }
            (None, Some(entry)) => out_of(&page, &mapping, &entry),
            (None, None) => Vec::new(),
        })
    }
}

fn unplain() -> EditError {
    EditError::Unsupported {
        reason: "the entry is no plain mapping".to_owned(),
    }
}

/// The mapping that an entry holds.
fn below(entry: &MappingEntry) -> Option<Mapping> {
    match entry.value_node()? {
        YamlNode::Mapping(mapping) => Some(mapping),
        YamlNode::TaggedNode(tagged) => tagged.as_mapping(),
        _ => None,
    }
}

/// The value of an entry replaced by a text on one line.
fn in_place(page: &Page<'_>, entry: &MappingEntry, value: &str) -> Vec<Placement> {
    let Some(key_end) = entry.key_node().map(|key| key.byte_range().end as usize) else {
        return Vec::new();
    };
    let colon = page
        .text
        .get(key_end..)
        .and_then(|rest| rest.find(':'))
        .map_or(key_end, |at| key_end + at + 1);
    let Some(node) = entry.value_node() else {
        return vec![vec![Piece::insert(colon, format!(" {value}"))]];
    };
    let range = node.byte_range();
    let (from, to) = (range.start as usize, range.end as usize);
    let Some(old) = page.text.get(from..to) else {
        return Vec::new();
    };
    if old.trim().is_empty() {
        return vec![vec![Piece::insert(colon, format!(" {value}"))]];
    }
    let end = from + old.trim_end().len();
    let on_the_line = Piece {
        inserted: format!(" {value}"),
        ..blanks_before(page, from, end)
    };
    let exactly = Piece {
        at: from,
        removed: end - from,
        inserted: value.to_owned(),
    };
    // A block that began on a line of its own goes up to its key.
    let mut placements = vec![vec![exactly]];
    if key_start(entry).is_some_and(|start| page.line_of(start) != page.line_of(from)) {
        placements.insert(
            0,
            vec![Piece {
                at: colon,
                removed: end - colon,
                ..on_the_line
            }],
        );
    }
    placements
}
