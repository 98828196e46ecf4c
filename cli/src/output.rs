//! Answers that are written while they arrive: into a file, or to standard output.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use crate::client::Client;
use crate::failure::Failure;

/// Bytes that are held at a time.
const CHUNK: usize = 64 * 1024;

/// To standard output.
pub(crate) fn print(answer: &mut impl Read, client: &Client) -> Result<(), Failure> {
    pour(answer, &mut io::stdout().lock(), client, Failure::output)
}

/// Refuses to print what is not text where people read.
pub(crate) fn refuse_terminal(what: &str) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        let words = format!("{what} is not for reading; send it to a file");
        return Err(Failure::Usage(words));
    }
    Ok(())
}

/// Under another name until everything is there: half an export never looks like a whole one.
pub(crate) fn save(answer: &mut impl Read, path: &Path, client: &Client) -> Result<(), Failure> {
    let failed = |source| Failure::File {
        action: "write",
        path: path.to_owned(),
        source,
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = File::create(&part).map_err(failed)?;
    let saved = pour(answer, &mut file, client, failed)
        .and_then(|()| file.sync_all().map_err(failed))
        .and_then(|()| replace(&part, path).map_err(failed));
    if saved.is_err() {
        // The failure that is reported is the one that led here.
        let _left_behind = std::fs::remove_file(&part);
    }
    saved
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user's own file, synced just before"
)]
fn replace(part: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(part, path)
}

/// Copies, telling a broken answer from a full disk.
fn pour(
    answer: &mut impl Read,
    output: &mut impl Write,
    client: &Client,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    let mut chunk = vec![0; CHUNK];
    let mut end = Vec::new();
    loop {
        let length = match answer.read(&mut chunk) {
            Ok(0) => return output.flush().map_err(failed),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                // Who reads along has what came.
                output.flush().map_err(failed)?;
                return Err(client.broken_answer(error, &end));
            }
        };
        let came = chunk.get(..length).unwrap_or_default();
        output.write_all(came).map_err(&failed)?;
        end.drain(..(end.len() + length).saturating_sub(CHUNK).min(end.len()));
        end.extend_from_slice(came);
    }
}
