//! What the policies say to one question.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use crate::request::Unaskable;

/// The answer to one question, the server's documents and the graph's own taken together.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// A policy permits it.
    pub(crate) permitted: bool,
    /// The ids of the policies that forbid it.
    pub(crate) forbidding: BTreeSet<String>,
    /// What went wrong in evaluating policies.
    pub(crate) errors: Vec<String>,
}

/// What most answers are, held once.
static PERMITTED: LazyLock<Arc<Verdict>> = LazyLock::new(|| {
    Arc::new(Verdict {
        permitted: true,
        ..Verdict::default()
    })
});

impl Verdict {
    pub(crate) fn allowed(&self) -> bool {
        self.permitted && self.forbidding.is_empty() && self.errors.is_empty()
    }

    pub(crate) fn unaskable(error: &Unaskable) -> Arc<Self> {
        let errors = vec![format!(
            "the request cannot be put to the policies: {error}"
        )];
        Arc::new(Self {
            errors,
            ..Self::default()
        })
    }

    /// To be held by whoever may need it again.
    pub(crate) fn shared(self) -> Arc<Self> {
        if self.allowed() {
            Arc::clone(&PERMITTED)
        } else {
            Arc::new(self)
        }
    }

    /// Bytes that holding it takes.
    pub(crate) fn weight(&self) -> usize {
        let texts = self.forbidding.iter().chain(&self.errors);
        size_of::<Self>() + texts.map(|text| 32 + text.len()).sum::<usize>()
    }
}
