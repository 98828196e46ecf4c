//! Identities that people see.

use language::value::EdgeRef;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// The identity of an edge that was given none: the same each time it is asked for, and different
/// from that of every other edge of every graph. A UUID of version 8 (RFC 9562).
pub(crate) fn of_edge(graph: Uuid, edge: EdgeRef) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(graph.as_bytes());
    hash.update(edge.type_id.0.to_be_bytes());
    hash.update(edge.id.to_be_bytes());
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes
        .iter_mut()
        .zip(digest.iter())
        .for_each(|(to, from)| *to = *from);
    Builder::from_custom_bytes(bytes).into_uuid()
}
