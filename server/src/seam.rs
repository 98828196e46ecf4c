//! Stands where `storage_engine::{load, export}` will, with the agreed names, until they are there:
//! nothing is loaded, nothing exported, and both say so. To be deleted, with `crate::seam::` replaced
//! by `storage_engine::`.
#![allow(
    missing_docs,
    unused,
    reason = "this file goes when the engine has the real thing"
)]
pub(crate) mod export {
    use std::ops::ControlFlow;
    use storage_engine::Snapshot;
    #[derive(Debug, thiserror::Error)]
    #[error("this build has no export")]
    pub(crate) struct ExportError;
    pub(crate) fn ndjson(
        _: &Snapshot,
        _: Option<&str>,
        _: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ExportError> {
        Err(ExportError)
    }
}
pub(crate) mod load {
    use language::schema::{Schema, TypeId};
    use std::collections::BTreeMap;
    use std::io::BufRead;
    use storage_engine::Transaction;
    #[derive(Clone, Copy)]
    pub(crate) enum Mode {
        Append,
        Merge,
        Overwrite,
    }
    #[derive(Debug)]
    pub(crate) struct LineError {
        pub line: u64,
        pub message: String,
    }
    pub(crate) struct Batch;
    impl Batch {
        pub(crate) fn types(&self) -> Vec<TypeId> {
            vec![]
        }
    }
    pub(crate) struct Loaded {
        pub nodes: BTreeMap<String, u64>,
        pub edges: BTreeMap<String, u64>,
    }
    pub(crate) fn parse(_: impl BufRead, _: &Schema) -> Result<Batch, Vec<LineError>> {
        Ok(Batch)
    }
    pub(crate) fn apply(_: &Batch, _: Mode, _: &mut Transaction) -> Result<Loaded, Vec<LineError>> {
        Err(vec![LineError {
            line: 0,
            message: "this build cannot load".to_owned(),
        }])
    }
}
