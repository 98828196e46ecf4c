//! The crate from outside: through its public interface and the real files of `policies/`.

mod decisions;
mod fixture;
mod listing;
mod matrix;
mod principals;
mod tokens;
mod types;
mod validation;
