//! What a load is answered, as it is kept for a load that is sent again.

use super::Loaded;
use crate::graph::Answer;

impl Answer for Loaded {
    fn keep(&self) -> String {
        serde_json::json!([self.nodes, self.edges]).to_string()
    }

    fn recall(text: &str) -> Option<Self> {
        let (nodes, edges) = serde_json::from_str(text).ok()?;
        Some(Self { nodes, edges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_recalled_as_it_was() {
        let loaded = Loaded {
            nodes: [("A".to_owned(), u64::MAX), ("B".to_owned(), 0)].into(),
            edges: [("E".to_owned(), 3)].into(),
        };
        assert_eq!(Loaded::recall(&loaded.keep()), Some(loaded));
        assert_eq!(Loaded::recall("something else"), None);
    }
}
