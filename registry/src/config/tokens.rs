//! The tokens file: who may knock with which token, as plain values.
//!
//! Principal to the SHA-256 of its token and what is known of it, in YAML or JSON. No token stands
//! here in the clear, and nothing here decides anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Digest;

/// What is known of one principal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// SHA-256 of the token's bytes.
    pub sha256: Digest,
    /// Groups it belongs to, besides those that the config file's `groups:` give it.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The tenant it acts for.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Attributes that policies may ask for.
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// A person or a program; a person when not written.
    #[serde(default)]
    pub kind: PrincipalKind,
    /// What the token is narrowed to; `None` is everything that the policy allows.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
}

/// A person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A person.
    #[default]
    User,
    /// A program.
    Service,
}

/// Why the tokens file cannot be used. Never holds its content.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("cannot read the tokens file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// It is no mapping from principal to entry.
    #[error("the tokens file {} is not as it should be", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What and where.
        #[source]
        source: serde_yaml::Error,
    },
    /// A principal without a name.
    #[error("the tokens file {} has an entry whose principal is empty", path.display())]
    EmptyPrincipal {
        /// The file.
        path: PathBuf,
    },
    /// Two principals with one token: it could not be told who knocks.
    #[error("the tokens file {} gives {first:?} and {second:?} the same sha256", path.display())]
    SharedToken {
        /// The file.
        path: PathBuf,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
}

/// Reads the file whole, each entry as a `T` (the policy layer has its own). An empty file holds
/// nobody; a principal that stands there twice is an error.
pub fn read_as<T: DeserializeOwned>(path: &Path) -> Result<BTreeMap<String, T>, TokensError> {
    let text = std::fs::read_to_string(path).map_err(|source| TokensError::Io {
        path: path.to_owned(),
        source,
    })?;
    let malformed = |source| TokensError::Malformed {
        path: path.to_owned(),
        source,
    };
    // JSON is YAML, so that one reader takes both. A map type would let the last of two entries
    // win; a YAML value refuses the second.
    let document: serde_yaml::Value = serde_yaml::from_str(&text).map_err(malformed)?;
    let entries: Option<BTreeMap<String, T>> =
        serde_yaml::from_value(document).map_err(malformed)?;
    let entries = entries.unwrap_or_default();
    if entries.keys().any(|principal| principal.trim().is_empty()) {
        return Err(TokensError::EmptyPrincipal {
            path: path.to_owned(),
        });
    }
    Ok(entries)
}

/// As [`read_as`], with the fields of [`TokenEntry`]; two principals with one token are refused.
pub fn read(path: &Path) -> Result<BTreeMap<String, TokenEntry>, TokensError> {
    let entries: BTreeMap<String, TokenEntry> = read_as(path)?;
    let mut owners: BTreeMap<Digest, &str> = BTreeMap::new();
    for (principal, entry) in &entries {
        if let Some(first) = owners.insert(entry.sha256, principal) {
            return Err(TokensError::SharedToken {
                path: path.to_owned(),
                first: first.to_owned(),
                second: principal.clone(),
            });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<BTreeMap<String, TokenEntry>, TokensError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tokens.yaml");
        std::fs::write(&path, text).expect("written");
        read(&path)
    }

    #[test]
    fn yaml_and_json_read_alike() {
        let digest = Digest::of(b"secret").to_string();
        let yaml = format!(
            "alice:\n  sha256: {digest}\n  groups: [admins]\n  tenant: acme\n  attributes: {{ level: 3 }}\nbot:\n  sha256: \"{}\"\n  kind: service\n  scopes: [query]\n",
            Digest::of(b"other")
        );
        let json = format!(
            r#"{{"alice":{{"sha256":"{digest}","groups":["admins"],"tenant":"acme","attributes":{{"level":3}}}},"bot":{{"sha256":"{}","kind":"service","scopes":["query"]}}}}"#,
            Digest::of(b"other")
        );
        let entries = read_text(&yaml).expect("sound");
        assert_eq!(entries, read_text(&json).expect("sound"));
        assert_eq!(entries["alice"].groups, ["admins"]);
        assert_eq!(entries["alice"].scopes, None);
        assert_eq!(entries["bot"].kind, PrincipalKind::Service);
        assert!(read_text("").expect("nobody").is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_content() {
        let digest = Digest::of(b"secret").to_string();
        let cases = [
            ("alice: { sha256: abc }".to_owned(), "64 hexadecimal digits"),
            (
                format!("alice: {{ sha256: {digest}, token: hunter2 }}"),
                "unknown field `token`",
            ),
            ("alice: {}".to_owned(), "missing field `sha256`"),
            (
                format!("a: {{ sha256: {digest} }}\nb: {{ sha256: {digest} }}"),
                "same sha256",
            ),
            (
                format!("a: {{ sha256: {digest} }}\na: {{ sha256: {digest} }}"),
                "duplicate entry with key \"a\"",
            ),
            (format!("'': {{ sha256: {digest} }}"), "principal is empty"),
        ];
        for (text, expect) in cases {
            let error = read_text(&text).expect_err("refused");
            let chain = format!(
                "{error}: {}",
                std::error::Error::source(&error)
                    .map(ToString::to_string)
                    .unwrap_or_default()
            );
            assert!(chain.contains(expect), "{chain}");
            assert!(!chain.contains("hunter2"), "{chain}");
        }
    }
}
