//! Holding a graph against everybody: its life cycle is changed, not what is in it.

use storage_engine::Graph;

/// A graph held for writing, so that nobody else opens it, until dropped.
#[derive(Debug)]
pub(crate) enum Hold {
    /// By the lock in its folder.
    Local { _lock: storage_engine::Hold },
    /// By being open: in an object store nothing else keeps other writers out.
    Remote { graph: Graph },
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Self::Remote { graph } = self
            && let Err(error) = graph.close()
        {
            tracing::warn!(%error, "a graph that was held was not closed cleanly");
        }
    }
}
