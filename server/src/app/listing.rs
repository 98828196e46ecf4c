//! Which graphs somebody may see, kept from one list to the next: finding it out is a pass over all of
//! them.
//!
//! An answer belongs to one principal, one version of the policies and one of the config file, each by
//! its address. What a policy may say differently at another time is not kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use policy::{Context, Principal};
use registry::{Registration, Snapshot};

use super::{Access, App, Error, blocking};

/// Lists that are kept; each takes eight bytes a graph.
const KEPT: usize = 64;
/// So many graphs are gone through on a thread that must not block: some 0.1 ms.
const FEW: usize = 200;

/// Graphs in the order of their ids.
pub(crate) type Graphs = Arc<[Arc<Registration>]>;

/// The lists that were made, the one asked for last at the end.
#[derive(Default)]
pub(crate) struct Listings(Mutex<VecDeque<Listing>>);

/// The addresses stay theirs as long as they are referred to.
struct Listing {
    principal: Weak<Principal>,
    access: Weak<Access>,
    snapshot: Weak<Snapshot>,
    graphs: Graphs,
}

/// What a list is made of.
struct View {
    access: Arc<Access>,
    snapshot: Arc<Snapshot>,
}

impl App {
    /// The graphs that `principal` may see.
    pub(crate) async fn visible(
        self: &Arc<Self>,
        principal: &Arc<Principal>,
    ) -> Result<Graphs, Error> {
        let view = self.view();
        if let Some(known) = self.listings.known(principal, &view) {
            return Ok(known);
        }
        if view.snapshot.graphs.len() <= FEW {
            return Ok(self.listings.make(principal, &view));
        }
        let (app, principal) = (self.clone(), principal.clone());
        blocking(move || Ok(app.listings.make(&principal, &view))).await
    }

    /// The same, however long it takes.
    pub(crate) fn visible_now(&self, principal: &Arc<Principal>) -> Graphs {
        let view = self.view();
        let known = self.listings.known(principal, &view);
        known.unwrap_or_else(|| self.listings.make(principal, &view))
    }

    /// Policies and graphs as a reload replaced them together.
    fn view(&self) -> View {
        let _whole = self
            .generation
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        View {
            access: self.access.load_full(),
            snapshot: self.registry.snapshot(),
        }
    }
}

impl Listings {
    fn known(&self, principal: &Arc<Principal>, view: &View) -> Option<Graphs> {
        let mut kept = self.kept();
        let at = kept.iter().position(|listing| {
            listing.principal.as_ptr() == Arc::as_ptr(principal) && listing.is_of(view)
        })?;
        let listing = kept.remove(at)?;
        let graphs = listing.graphs.clone();
        kept.push_back(listing);
        Some(graphs)
    }

    fn make(&self, principal: &Arc<Principal>, view: &View) -> Graphs {
        let all = view.snapshot.graphs.values();
        let references = all.clone().map(|graph| graph.reference());
        let authorizer = &view.access.authorizer;
        let visible = authorizer.visible(principal, &Context::now(), references);
        // In the same order as all, so that one pass finds them.
        let mut shown = visible.graphs.into_iter().peekable();
        let graphs: Graphs = all
            .filter(|graph| {
                let reference: *const _ = graph.reference();
                shown
                    .next_if(|shown| std::ptr::eq(*shown, reference))
                    .is_some()
            })
            .cloned()
            .collect();
        if visible.lasting {
            self.keep(Listing {
                principal: Arc::downgrade(principal),
                access: Arc::downgrade(&view.access),
                snapshot: Arc::downgrade(&view.snapshot),
                graphs: graphs.clone(),
            });
        }
        graphs
    }

    fn keep(&self, listing: Listing) {
        let mut kept = self.kept();
        // Lists of what is no longer served hold on to its graphs.
        kept.retain(|other| {
            other.access.ptr_eq(&listing.access)
                && other.snapshot.ptr_eq(&listing.snapshot)
                && !other.principal.ptr_eq(&listing.principal)
        });
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(listing);
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Listing>> {
        // What is in it may be forgotten at any time, and is never half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listing {
    fn is_of(&self, view: &View) -> bool {
        self.access.as_ptr() == Arc::as_ptr(&view.access)
            && self.snapshot.as_ptr() == Arc::as_ptr(&view.snapshot)
    }
}
