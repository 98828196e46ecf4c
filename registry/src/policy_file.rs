//! A Cedar policy in a file: the server's, or one graph's own.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use policy::{MAX_POLICY_BYTES, PolicyDocument, PolicyError, PolicySource};

/// Why a policy file cannot be used. The full text may quote the file; [`Self::summary`] does not.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error("cannot read the policy file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It is no sound policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl PolicyFileError {
    /// Without a word of what is in the file.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Read { .. } => "the policy file cannot be read as text".to_owned(),
            Self::Policy(error) => error.summary(),
        }
    }
}

/// Reads a policy file.
pub fn read_policy(path: &Path) -> Result<PolicyDocument, PolicyFileError> {
    let text = read(path).map_err(|source| PolicyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let name = path.display().to_string();
    Ok(PolicyDocument::parse(PolicySource { name, text })?)
}

/// No more than one byte too many, for a caller over HTTP may name any file in the roots: a log of
/// gigabytes as well.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let limit = MAX_POLICY_BYTES as u64 + 1;
    File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_no_further_than_a_policy_may_be_long() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("own.cedar");
        let file = File::create(&path).expect("created");
        // Sparse: reading all of it would not fit into memory.
        file.set_len(1 << 40).expect("grown");
        let error = read_policy(&path).expect_err("too large");
        assert!(
            matches!(error, PolicyFileError::Policy(PolicyError::TooLarge { .. })),
            "{error}"
        );
        let summary = error.summary();
        assert!(!summary.contains("own.cedar"), "{summary}");
    }
}
