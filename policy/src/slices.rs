//! The policies of a document, sliced by action.
//!
//! Cedar evaluates every policy of the set it is given, at about 0.6 us each. Policies whose scope
//! names other actions cannot apply (a scope never errs), so each action gets the set of those that
//! can, once, when the document is loaded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cedar_policy::{ActionConstraint, Policy, PolicySet};

use crate::action::Action;
use crate::clock;
use crate::model::{action_uid, group_uid};
use crate::vocabulary::Vocabulary;

/// Which policies can apply to which action.
pub(crate) struct Slices {
    /// In the order of [`Action::ALL`].
    by_action: Vec<Option<Slice>>,
    listing: Vocabulary,
}

/// The policies that can apply to one action.
struct Slice {
    policies: Arc<PolicySet>,
    looks_at_time: bool,
}

impl Slices {
    /// `policies` have distinct ids.
    pub(crate) fn new(policies: &[Policy]) -> Self {
        // Many actions have the same policies; they share one set.
        let mut sets: BTreeMap<Vec<usize>, Arc<PolicySet>> = BTreeMap::new();
        let timely: Vec<bool> = policies.iter().map(clock::looks_at_it).collect();
        let mut by_action = Vec::with_capacity(Action::ALL.len());
        for action in Action::ALL.iter().copied() {
            let chosen: Vec<usize> = (0..)
                .zip(policies)
                .filter(|(_, policy)| may_apply(policy, action))
                .map(|(index, _)| index)
                .collect();
            if chosen.is_empty() {
                by_action.push(None);
                continue;
            }
            let looks_at_time = chosen
                .iter()
                .any(|index| timely.get(*index) != Some(&false));
            let set = sets.entry(chosen).or_insert_with_key(|chosen| {
                let members = policies
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| chosen.binary_search(index).is_ok());
                let set = PolicySet::from_policies(members.map(|(_, policy)| policy.clone()));
                Arc::new(set.expect("ids are distinct, and the policies are static"))
            });
            let policies = Arc::clone(set);
            by_action.push(Some(Slice {
                policies,
                looks_at_time,
            }));
        }
        let showing = policies
            .iter()
            .filter(|policy| may_apply(policy, Action::GraphShow));
        Self {
            by_action,
            listing: Vocabulary::of(showing),
        }
    }

    /// The policies that can apply to `action`; `None` when there are none.
    pub(crate) fn for_action(&self, action: Action) -> Option<&PolicySet> {
        self.slice(action).map(|slice| slice.policies.as_ref())
    }

    /// Whether the answer about `action` may be another at another time.
    pub(crate) fn look_at_time(&self, action: Action) -> bool {
        self.slice(action).is_some_and(|slice| slice.looks_at_time)
    }

    fn slice(&self, action: Action) -> Option<&Slice> {
        self.by_action.get(action as usize)?.as_ref()
    }

    /// What the policies that decide `graph_show` can tell graphs apart by.
    pub(crate) fn listing(&self) -> &Vocabulary {
        &self.listing
    }
}

fn may_apply(policy: &Policy, action: Action) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(named) => named == action_uid(action),
        ActionConstraint::In(named) => {
            named.contains(&action_uid(action)) || named.contains(&group_uid(action.group()))
        }
    }
}

impl fmt::Debug for Slices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slices")
            .field("actions", &self.by_action.iter().flatten().count())
            .finish_non_exhaustive()
    }
}
