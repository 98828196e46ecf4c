//! TEMPORARY
#![allow(missing_docs, unreachable_pub, unused)]
pub(crate) mod json {
    use language::Value;
    use storage_engine::Snapshot;
    pub(crate) fn value_to_json(_: &Snapshot, _: &Value) -> serde_json::Value { serde_json::Value::Null }
}
pub(crate) mod export {
    use std::ops::ControlFlow;
    use storage_engine::Snapshot;
    #[derive(Debug, thiserror::Error)]
    #[error("x")]
    pub(crate) struct ExportError;
    pub(crate) fn ndjson(_: &Snapshot, _: Option<&str>, _: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), ExportError> { Ok(()) }
}
pub(crate) mod load {
    use std::collections::BTreeMap;
    use std::io::BufRead;
    use language::schema::{Schema, TypeId};
    use storage_engine::Transaction;
    #[derive(Clone, Copy)]
    pub(crate) enum Mode { Append, Merge, Overwrite }
    #[derive(Debug)]
    pub(crate) struct LineError { pub line: u64, pub message: String }
    pub(crate) struct Batch;
    impl Batch { pub(crate) fn types(&self) -> Vec<TypeId> { vec![] } }
    pub(crate) struct Loaded { pub nodes: BTreeMap<String, u64>, pub edges: BTreeMap<String, u64> }
    pub(crate) fn parse(_: impl BufRead, _: &Schema) -> Result<Batch, Vec<LineError>> { Ok(Batch) }
    pub(crate) fn apply(_: &Batch, _: Mode, _: &mut Transaction) -> Result<Loaded, Vec<LineError>> { Err(vec![]) }
}
