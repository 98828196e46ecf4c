//! The tokens file: who may knock with which token, as plain values.
//!
//! Principal to the SHA-256 of its token and what is known of it, in YAML or JSON. No token stands
//! here in the clear, and nothing here decides anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

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
}

/// Reads the file whole, each entry as a `T`: what stands in one is for `policy` to say. An empty file
/// holds nobody; a principal that stands there twice is an error.
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
    let document = super::yaml::read(&text).map_err(malformed)?;
    let entries: Option<BTreeMap<String, T>> =
        serde_yaml::from_value(document).map_err(malformed)?;
    Ok(entries.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use policy::{PrincipalKind, TokenEntry};

    use super::*;

    fn read_text(text: &str) -> Result<BTreeMap<String, TokenEntry>, TokensError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tokens.yaml");
        std::fs::write(&path, text).expect("written");
        read_as(&path)
    }

    #[test]
    fn yaml_and_json_read_alike() {
        let yaml = "alice:\n  sha256: abc\n  groups: [admins]\n  tenant: acme\n  attributes: { level: 3 }\nbot:\n  sha256: \"0123\"\n  kind: service\n  scopes: [query]\n";
        let json = r#"{"alice":{"sha256":"abc","groups":["admins"],"tenant":"acme","attributes":{"level":3}},"bot":{"sha256":"0123","kind":"service","scopes":["query"]}}"#;
        for text in [yaml, json] {
            let entries = read_text(text).expect("sound");
            let (alice, bot) = (&entries["alice"], &entries["bot"]);
            assert!(alice.groups.contains("admins") && alice.scopes.is_none());
            assert_eq!(alice.attributes["level"], policy::AttributeValue::Number(3));
            assert_eq!(
                (bot.kind, bot.sha256.as_str()),
                (PrincipalKind::Service, "0123")
            );
        }
        assert!(read_text("").expect("nobody").is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_content() {
        let cases = [
            (
                "alice: { sha256: abc, token: hunter2 }",
                "unknown field `token`",
            ),
            ("alice: {}", "missing field `sha256`"),
            (
                "a: { sha256: hunter2 }\na: { sha256: b }",
                "duplicate entry with key \"a\"",
            ),
        ];
        for (text, expect) in cases {
            let error = read_text(text).expect_err("refused");
            let chain = crate::with_causes(&error);
            assert!(chain.contains(expect), "{chain}");
            assert!(!chain.contains("hunter2"), "{chain}");
        }
    }
}
