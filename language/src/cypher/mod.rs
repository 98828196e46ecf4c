//! Cypher text -> checked, typed [`Plan`](crate::plan::Plan).

pub mod functions;
