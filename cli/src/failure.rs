//! Why a command failed, and how a person is told.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::problem::Refusal;

/// Exit code of a command that could not be carried out.
const FAILED: u8 = 1;
/// Exit code of a command line that makes no sense.
const USAGE: u8 = 2;
/// Exit code of a comparison that found a difference.
const DIFFERS: u8 = 3;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line makes no sense, beyond what its parser can tell.
    #[error("{0}")]
    Usage(String),
    /// The server said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No answer came.
    #[error("no answer from {server}")]
    Unreachable {
        /// Who was asked.
        server: String,
        /// What happened on the way.
        #[source]
        source: reqwest::Error,
    },
    /// An answer broke off.
    #[error("the answer of {server} broke off")]
    BrokenOff {
        /// Who answered.
        server: String,
        /// What happened on the way.
        #[source]
        source: io::Error,
    },
    /// An answer was not what the contract says.
    #[error("cannot read the answer of {server}; is a Trellis server of this version behind it?")]
    Answer {
        /// Who answered.
        server: String,
        /// What is wrong with the answer.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A file of the user's.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried: a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Standard input or output.
    #[error("cannot {action}")]
    Terminal {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A check found something; the findings have been printed.
    #[error("{0}")]
    Found(String),
    /// The config file is not the one that is served.
    #[error(
        "the file was changed: until `trellis config reload` takes it over, the server changes nothing in it"
    )]
    Drifted,
    /// A graph's folder could not be repaired.
    #[error(transparent)]
    Repair(server::offline::doctor::RepairError),
    /// The server could not start, or stopped.
    #[error("the server cannot run")]
    Serve(#[source] Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// Writing the answer to standard output failed.
    pub(crate) fn output(source: io::Error) -> Self {
        Self::Terminal {
            action: "write to standard output",
            source,
        }
    }

    /// Whether the reader of our output has gone.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Terminal { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => USAGE,
            Self::Drifted => DIFFERS,
            _ => FAILED,
        })
    }

    /// Tells the person at standard error, with every cause on a line of its own.
    pub(crate) fn print(&self) {
        // That something differs is an answer.
        let error = match self {
            Self::Drifted => "",
            _ => "error: ",
        };
        eprint!("{error}{}", self.report());
    }

    /// The causes, outermost first. Of what happened on the way only the root says anything: those
    /// above it name layers of the HTTP client.
    fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        let mut cause = self.source();
        while let Some(error) = cause {
            let message = error.to_string();
            if causes.last() != Some(&message) {
                causes.push(message);
            }
            cause = error.source();
        }
        if matches!(self, Self::Unreachable { .. } | Self::BrokenOff { .. }) {
            causes.drain(..causes.len().saturating_sub(1));
        }
        causes
    }

    /// What to do about it, where that is known.
    fn hint(&self) -> Option<&'static str> {
        let Self::Unreachable { server, source } = self else {
            return None;
        };
        Some(if !source.is_connect() {
            "the connection broke off: a change that was under way may have been made all the same"
        } else if server.starts_with("https:") {
            "a server without TLS in front of it has an address that begins with http://"
        } else {
            "start one with `trellis serve --config <file>`, or name another with --server"
        })
    }

    fn report(&self) -> String {
        let mut text = self.to_string();
        for cause in self.causes() {
            let _infallible = write!(text, "\n  because: {cause}");
        }
        if let Some(hint) = self.hint() {
            let _infallible = write!(text, "\n  hint: {hint}");
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_each_other_and_do_not_repeat() {
        let failure = Failure::File {
            action: "read",
            path: "graph.ndjson".into(),
            source: io::Error::new(io::ErrorKind::NotFound, "no such file"),
        };
        assert_eq!(
            failure.report(),
            "cannot read graph.ndjson\n  because: no such file\n"
        );
    }

    #[test]
    fn a_wrong_command_line_is_told_apart_from_a_failure() {
        let code = |failure: Failure| format!("{:?}", failure.exit_code());
        assert_eq!(
            code(Failure::Usage("x".into())),
            format!("{:?}", ExitCode::from(2))
        );
        assert_eq!(
            code(Failure::Found("x".into())),
            format!("{:?}", ExitCode::from(1))
        );
    }
}
