//! `trellis token new`.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::table;

/// Arguments of `trellis token new`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Who it is for
    principal: String,
    /// A group that the principal is in; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The tenant that the principal belongs to
    #[arg(long)]
    tenant: Option<String>,
    /// The principal is a program, not a person
    #[arg(long)]
    service: bool,
    /// Write the token into this new file, which only you may read, and print the entry alone
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.principal.is_empty() || arguments.principal.chars().any(char::is_control) {
        return Err(Failure::Usage(
            "a principal's name is some text without control characters".into(),
        ));
    }
    let (token, sha256) = server::offline::new_token().map_err(|error| Failure::Terminal {
        action: "make a token",
        source: io::Error::other(error),
    })?;
    let entry = entry(arguments, &sha256);
    match &arguments.save {
        Some(path) => {
            save(path, &token)?;
            table::print(&entry)
        }
        None => table::print(&format!(
            "# The token of {}; it is shown only this once:\n{token}\n\n# Its entry in the tokens file (auth.tokens_file):\n{entry}",
            arguments.principal
        )),
    }
}

/// Text in double quotes as JSON has them means the same in the tokens file.
fn entry(arguments: &Arguments, sha256: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut entry = format!(
        "{}:\n  sha256: {}",
        quoted(&arguments.principal),
        quoted(sha256)
    );
    let mut add = |line: String| {
        let _infallible = write!(entry, "\n  {line}");
    };
    if arguments.service {
        add("kind: service".to_owned());
    }
    if !arguments.groups.is_empty() {
        let groups: Vec<_> = arguments.groups.iter().map(|group| quoted(group)).collect();
        add(format!("groups: [{}]", groups.join(", ")));
    }
    if let Some(tenant) = &arguments.tenant {
        add(format!("tenant: {}", quoted(tenant)));
    }
    entry
}

/// Never over a file that is there: it may hold the token that somebody uses.
fn save(path: &Path, token: &str) -> Result<(), Failure> {
    let failed = |source| Failure::File {
        action: "create",
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    writeln!(file, "{token}")
        .and_then(|()| file.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_entry() {
        let arguments = Arguments {
            principal: "no: \"x\"".to_owned(),
            groups: vec!["a".to_owned(), "b, c]".to_owned()],
            tenant: Some("true".to_owned()),
            service: true,
            save: None,
        };
        let expected = "\"no: \\\"x\\\"\":\n  sha256: \"00\"\n  kind: service\n  groups: [\"a\", \"b, c]\"]\n  tenant: \"true\"";
        assert_eq!(entry(&arguments, "00"), expected);
    }
}
