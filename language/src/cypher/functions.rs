//! The table of functions: one line each.

/// A function that an expression can call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// The identity of a node or relationship, as text or the key's value.
    Id,
}
