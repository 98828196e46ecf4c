//! What a command reads: a file or `-` for standard input, and `name=value` pairs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use api_types::Parameters;
use clap::Args;
use serde_json::Value;

use crate::failure::Failure;

/// The path that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// A file, or standard input for `-`, to be read while it is used.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if path == Path::new(STANDARD_INPUT) {
        return Ok(Box::new(io::stdin()));
    }
    let file = |source| Failure::File {
        action: "open",
        path: path.to_owned(),
        source,
    };
    let opened = File::open(path).map_err(file)?;
    // Opening a folder succeeds; only reading it fails, and then in the middle of a request.
    if opened.metadata().map_err(file)?.is_dir() {
        return Err(file(io::ErrorKind::IsADirectory.into()));
    }
    Ok(Box::new(opened))
}

/// A whole text, for what is small: a schema, a statement, a token.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    open(path)?
        .read_to_string(&mut text)
        .map_err(|source| Failure::File {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
    Ok(text)
}

/// A statement and its parameters, as arguments of a command.
#[derive(Args)]
pub(crate) struct Statement {
    /// The statement in Cypher, `-` for standard input
    cypher: String,
    /// A parameter: JSON, or else a string; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
}

impl Statement {
    /// Its text, read from standard input when that was asked for.
    pub(crate) fn text(&self) -> Result<String, Failure> {
        if self.cypher == STANDARD_INPUT {
            read(Path::new(STANDARD_INPUT))
        } else {
            Ok(self.cypher.clone())
        }
    }

    /// Its parameters, typed.
    pub(crate) fn parameters(&self) -> Parameters {
        parameters(&self.parameters)
    }
}

/// `name=value`. Each pair on its own, for use as a parser of arguments.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be written name=value".to_owned()),
    }
}

/// Parameters of a statement: what reads as JSON is JSON, anything else is a string. So `n=3` is
/// a number, `name=Ada` a string, and `code='"3"'` the string 3.
fn parameters(pairs: &[(String, String)]) -> Parameters {
    let value =
        |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
    pairs
        .iter()
        .map(|(name, text)| (name.trim_start_matches('$').to_owned(), value(text)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_parameter_is_json_or_a_string() {
        let cases = [
            ("n=3", "n", json!(3)),
            ("$n=3", "n", json!(3)),
            ("name=Ada", "name", json!("Ada")),
            ("name=", "name", json!("")),
            ("code=\"3\"", "code", json!("3")),
            ("list=[1, 2]", "list", json!([1, 2])),
            ("on=true", "on", json!(true)),
            ("nothing=null", "nothing", json!(null)),
            ("formula=a=b", "formula", json!("a=b")),
        ];
        for (text, name, value) in cases {
            let parsed = parameters(&[pair(text).expect(text)]);
            assert_eq!(parsed.get(name), Some(&value), "{text}");
        }
        assert!(pair("novalue").is_err() && pair("=x").is_err());
    }

    #[test]
    fn a_folder_is_refused_before_anything_is_sent() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(matches!(open(folder.path()), Err(Failure::File { .. })));
    }
}
