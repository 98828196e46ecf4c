//! Where a key stands in the text. Asked only when there is a problem to report.

use yaml_edit::{Mapping, YamlFile, YamlNode};

/// A parsed text that can be asked for the places of its keys.
pub(super) struct Positions<'a> {
    text: &'a str,
    root: Option<Mapping>,
}

impl<'a> Positions<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let file: YamlFile = YamlFile::parse(text).tree();
        let root = file.document().and_then(|document| document.as_mapping());
        Self { text, root }
    }

    /// Line and column, from 1, of the deepest key of `path` that stands in the text.
    pub(super) fn find(&self, path: &[String]) -> Option<(usize, usize)> {
        let mut mapping = self.root.clone();
        let mut found = None;
        for name in path {
            let Some(entry) = mapping.as_ref().and_then(|mapping| {
                mapping.entries().find(|entry| {
                    matches!(entry.key_node(), Some(YamlNode::Scalar(key)) if key.as_string() == *name)
                })
            }) else {
                break;
            };
            found = entry.key_node().map(|key| key.byte_range().start as usize);
            mapping = match entry.value_node() {
                Some(YamlNode::Mapping(inner)) => Some(inner),
                _ => None,
            };
        }
        found.map(|offset| line_and_column(self.text, offset))
    }
}

/// Line and column, from 1, of a byte offset; columns in characters.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}
