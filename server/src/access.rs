//! Who may come in and what they may do, as the config file, the files that it names and the environment say.
//!
//! Everything is judged as far as it can be: an error in one of them hides none in another.

use std::env::VarError;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use policy::{Authorizer, NothingConfigured, PolicyDocument, Principal, TokenError, Tokens};
use registry::config::{ConfigFile, Finding, Sections, Server};
use registry::{Reading, environment, read_policy, with_causes};

use crate::app::{Access, Limits, Shares};
use crate::http::Security;

/// What is wrong with tokens and policies.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The tokens file cannot be read.
    #[error(transparent)]
    TokensFile(#[from] registry::config::tokens::TokensError),
    /// A variable of the environment that the tokens file's path names.
    #[error(transparent)]
    Variable(#[from] environment::VariableError),
    /// The variable with tokens cannot be read.
    #[error("TRELLIS_TOKENS_JSON is not UTF-8")]
    NotUnicode,
    /// An entry of the tokens file.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The variable with tokens.
    #[error("TRELLIS_TOKENS_JSON cannot be used")]
    Environment(#[source] TokenError),
    /// The server's policy.
    #[error("cannot use the server's policy")]
    Policy(#[source] registry::PolicyFileError),
    /// Nobody could come in, or everybody.
    #[error(transparent)]
    NothingConfigured(#[from] NothingConfigured),
}

impl AccessError {
    /// Where in the file the matter stands, and what is told of it.
    pub(crate) fn finding(&self, sections: Sections<'_>) -> Finding {
        let path: &[&str] = match self {
            Self::TokensFile(_) | Self::Tokens(_) | Self::Variable(_) => &["auth", "tokens_file"],
            Self::Policy(_) => &["server", "policy", "file"],
            Self::NotUnicode | Self::Environment(_) | Self::NothingConfigured(_) => &[],
        };
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        // The value of a variable is nobody's business.
        let written = sections.auth.and_then(|auth| auth.tokens_file.as_deref());
        let told = environment::hide(written.unwrap_or_default(), with_causes(self));
        (path, told)
    }
}

/// What is allowed but perhaps not meant, for the log of whoever serves it.
#[derive(Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    fn add(&mut self, words: &str) {
        self.0.push(words.to_owned());
    }

    pub(crate) fn log(&self) {
        for note in &self.0 {
            tracing::warn!("{note}");
        }
    }
}

/// Who may come in, and whether a credential is needed; or everything that is wrong with the sections that
/// could be understood.
pub(crate) fn access(
    sections: Sections<'_>,
    file: &ConfigFile,
    unauthenticated: bool,
) -> Result<(Access, Security, Notes), Vec<AccessError>> {
    let (mut errors, mut notes) = (Vec::new(), Notes::default());
    let tokens = tokens(sections, file, &mut errors);
    let policy = policy(sections, file, &mut notes, &mut errors);
    let (Some(tokens), Some(policy)) = (tokens, policy) else {
        return Err(errors);
    };
    if unauthenticated {
        notes.add("unauthenticated: everybody on this machine may do everything");
        let anonymous = Some(Arc::new(Principal::anonymous()));
        let access = Access {
            tokens,
            authorizer: Authorizer::unauthenticated(),
            anonymous,
        };
        return Ok((access, Security::Open, notes));
    }
    let has_policy = policy.is_some();
    let authorizer =
        Authorizer::configured(policy, &tokens).map_err(|nothing| vec![nothing.into()])?;
    match (has_policy, tokens.is_empty()) {
        (false, _) => notes.add("no policy: tokens may read every graph and change nothing"),
        (true, true) => notes.add("no tokens: nobody can come in"),
        (true, false) => {}
    }
    let access = Access {
        tokens,
        authorizer,
        anonymous: None,
    };
    Ok((access, Security::Bearer, notes))
}

/// Adds to a reading what is wrong with the policies and tokens that it names, in full: for whoever stands
/// before the machine. Whether nobody could come in,
/// which is for `--unauthenticated` to say, is returned.
pub(crate) fn judge(
    reading: &mut Reading<'_>,
    file: &ConfigFile,
    unauthenticated: bool,
) -> Option<NothingConfigured> {
    reading.judge_policies_in_full();
    let (mut nothing, mut findings) = (None, Vec::new());
    for error in access(reading.sections(), file, unauthenticated).err()? {
        match error {
            AccessError::NothingConfigured(error) => nothing = Some(error),
            error => findings.push(error.finding(reading.sections())),
        }
    }
    reading.add(findings);
    nothing
}

/// The server's policy, if there is to be one; `None` when that cannot be said.
fn policy(
    sections: Sections<'_>,
    file: &ConfigFile,
    notes: &mut Notes,
    errors: &mut Vec<AccessError>,
) -> Option<Option<Vec<PolicyDocument>>> {
    let Some(policy) = &sections.server?.policy else {
        return Some(None);
    };
    match read_policy(&file.resolve(&policy.file)) {
        Ok(document) => {
            for warning in document.warnings() {
                notes.add(&format!("in the policy {}: {warning}", document.name()));
            }
            Some(Some(vec![document]))
        }
        Err(error) => {
            errors.push(AccessError::Policy(error));
            None
        }
    }
}

/// Every token; `None` when that cannot be said.
fn tokens(
    sections: Sections<'_>,
    file: &ConfigFile,
    errors: &mut Vec<AccessError>,
) -> Option<Tokens> {
    let before = errors.len();
    // Without them, at least the entries can be judged.
    let groups = sections.groups.into_iter().flatten();
    let groups = policy::Groups(
        groups
            .map(|(group, members)| (group.clone(), members.iter().cloned().collect()))
            .collect(),
    );
    let written = sections.auth.and_then(|auth| auth.tokens_file.as_deref());
    let of_file = written.map(|written| of_file(written, file, &groups));
    let of_file = of_file.unwrap_or_else(|| Ok(Tokens::default()));
    let of_file = of_file.map_err(|found| errors.extend(found)).ok();
    let of_environment = match std::env::var("TRELLIS_TOKENS_JSON") {
        Ok(text) if !text.trim().is_empty() => {
            Tokens::from_plain_json(&text, &groups).map_err(AccessError::Environment)
        }
        Ok(_) | Err(VarError::NotPresent) => Ok(Tokens::default()),
        Err(VarError::NotUnicode(_)) => Err(AccessError::NotUnicode),
    };
    let of_environment = of_environment.map_err(|error| errors.push(error)).ok();
    let merged = of_file?.merge(of_environment?);
    let merged = merged.map_err(|error| errors.push(error.into())).ok();
    let is_whole = sections.auth.is_some() && sections.groups.is_some() && errors.len() == before;
    merged.filter(|_| is_whole)
}

fn of_file(
    written: &str,
    file: &ConfigFile,
    groups: &policy::Groups,
) -> Result<Tokens, Vec<AccessError>> {
    let read = || {
        let path = file.resolve(&environment::expand(written)?);
        Ok(registry::config::tokens::read_as::<policy::TokenEntry>(
            &path,
        )?)
    };
    let entries = read().map_err(|error: AccessError| vec![error])?;
    Tokens::from_file(policy::Unique(entries), groups)
        .map_err(|found| found.into_iter().map(AccessError::from).collect())
}

/// What one request may take, and how many there may be at once.
pub(crate) fn limits(server: &Server) -> Limits {
    let limits = &server.limits;
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let number = |set: NonZeroU64| usize::try_from(set.get()).unwrap_or(usize::MAX);
    let count = |set: Option<NonZeroU64>, default| set.map_or(default, number);
    Limits {
        json_body_bytes: limits.json_body_bytes.get(),
        load_body_bytes: limits.load_body_bytes.get(),
        query_timeout_ms: limits.query_timeout_ms.get(),
        max_rows: limits.max_rows.get(),
        query_memory_bytes: limits.query_memory_bytes.get(),
        shares: Shares {
            per_principal: count(limits.queries_per_principal, processors),
            per_graph: count(limits.queries_per_graph, 2 * processors),
        },
        connections: number(limits.connections),
    }
}
