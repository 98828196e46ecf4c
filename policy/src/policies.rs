//! Policy files: text in, validated policies out.
//!
//! A [`PolicyDocument`] exists only when its text is Cedar and every policy in it holds against the
//! schema: strictly typed, and looking no further than the entities that a request brings along (one
//! step from principal, resource or branch), so that what would fail on every request fails here.
//!
//! ```
//! use policy::{PolicyDocument, PolicySource};
//! let source = PolicySource { name: "a.cedar".into(), text: "permit (principal, action == Action::\"qurey\", resource);".into() };
//! let error = PolicyDocument::parse(source).expect_err("a typing error");
//! assert!(error.to_string().contains("qurey"));
//! assert!(!error.summary().contains("qurey"));
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{ParseErrors, Policy, PolicyId, PolicySet, ValidationMode};
use sha2::{Digest, Sha256};

use crate::complexity::excess;
use crate::finding::{Finding, Position};
use crate::model::VALIDATOR;
use crate::slices::Slices;

/// The largest policy file, in bytes.
pub const MAX_POLICY_BYTES: usize = 1 << 20;
/// How many steps from principal, resource or branch a policy may look: what the request brings.
const DEREFERENCE_LEVEL: u32 = 1;

/// A policy file that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySource {
    /// What findings and decisions call it: the path of the file.
    pub name: String,
    /// Cedar.
    pub text: String,
}

/// Why a policy file is refused. The full text may quote the file; [`Self::summary`] does not.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// More than [`MAX_POLICY_BYTES`].
    #[error("policy file `{name}` has {bytes} bytes; at most {MAX_POLICY_BYTES} are allowed")]
    TooLarge {
        /// The file.
        name: String,
        /// Its size.
        bytes: usize,
    },
    /// Nested or chained beyond what can be read safely.
    #[error(
        "policy file `{name}` is too complex:{}",
        list(name, std::slice::from_ref(finding))
    )]
    TooComplex {
        /// The file.
        name: String,
        /// The first place.
        finding: Finding,
    },
    /// Not Cedar.
    #[error("policy file `{name}` is not Cedar:{}", list(name, findings))]
    Syntax {
        /// The file.
        name: String,
        /// Where and why, in the order of the file.
        findings: Vec<Finding>,
    },
    /// Cedar, but not for this schema.
    #[error(
        "policy file `{name}` does not fit the schema of Trellis:{}",
        list(name, findings)
    )]
    Invalid {
        /// The file.
        name: String,
        /// Where and why, in the order of the file.
        findings: Vec<Finding>,
    },
}

fn list(name: &str, findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| format!("\n{name}:{finding}"))
        .collect()
}

impl PolicyError {
    /// What was found, in the order of the file.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::TooLarge { .. } => &[],
            Self::TooComplex { finding, .. } => std::slice::from_ref(finding),
            Self::Syntax { findings, .. } | Self::Invalid { findings, .. } => findings,
        }
    }

    /// What is wrong and at which lines, without the file's path or a word of its text: for a caller
    /// who named a file on the server and must not learn what is in it.
    pub fn summary(&self) -> String {
        let what = match self {
            Self::TooLarge { .. } => {
                return format!("the policy file is larger than {MAX_POLICY_BYTES} bytes");
            }
            Self::TooComplex { .. } => "is too complex",
            Self::Syntax { .. } => "is not Cedar",
            Self::Invalid { .. } => "does not fit the schema of Trellis",
        };
        let places: Vec<_> = self
            .findings()
            .iter()
            .map(|found| found.position.to_string())
            .collect();
        format!(
            "the policy file {what}; problems at line:column {}",
            places.join(", ")
        )
    }
}

/// The valid policies of one file.
#[derive(Debug)]
pub struct PolicyDocument {
    name: String,
    ids: Vec<String>,
    warnings: Vec<Finding>,
    slices: Slices,
    digest: [u8; 32],
}

impl PolicyDocument {
    /// Reads and validates. The id of a policy is `<name>#<its @id>`, or `<name>#<its number in the
    /// file, from 1>`.
    pub fn parse(source: PolicySource) -> Result<Self, PolicyError> {
        let PolicySource { name, text } = source;
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLarge {
                name,
                bytes: text.len(),
            });
        }
        if let Some(finding) = excess(&text) {
            return Err(PolicyError::TooComplex { name, finding });
        }
        let parsed: PolicySet = match text.parse() {
            Ok(parsed) => parsed,
            Err(errors) => return Err(syntax_error(name, &text, &errors)),
        };
        let mut problems = templates(&text, &parsed);
        let policies = named_policies(&name, &text, &parsed, &mut problems);
        let warnings = validate(&text, &policies, &mut problems);
        if !problems.is_empty() {
            return Err(PolicyError::Invalid {
                name,
                findings: in_order(problems),
            });
        }
        Ok(Self {
            ids: policies
                .iter()
                .map(|policy| policy.id().to_string())
                .collect(),
            warnings,
            slices: Slices::new(&policies),
            digest: Sha256::digest(text.as_bytes()).into(),
            name,
        })
    }

    /// A document of this crate, which a test reads.
    pub(crate) fn built_in(name: &str, text: &str) -> Self {
        Self::parse(PolicySource {
            name: name.to_owned(),
            text: text.to_owned(),
        })
        .expect("the built-in policies are constants, and a test reads them")
    }

    /// What it is called: the path of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ids of its policies, in the order of the file.
    pub fn policy_ids(&self) -> &[String] {
        &self.ids
    }

    /// What is allowed but probably not meant, in the order of the file.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    pub(crate) fn slices(&self) -> &Slices {
        &self.slices
    }
}

/// One graph's own policies, decided together with the server's, for requests about that graph only.
#[derive(Debug)]
pub struct GraphPolicy(PolicyDocument);

impl GraphPolicy {
    /// To be shared by every reference to the graph.
    pub fn new(document: PolicyDocument) -> Arc<Self> {
        Arc::new(Self(document))
    }

    /// The policies.
    pub fn document(&self) -> &PolicyDocument {
        &self.0
    }

    /// Of the text: two graphs with the same text have the same policy.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.0.digest
    }
}

fn syntax_error(name: String, text: &str, errors: &ParseErrors) -> PolicyError {
    let findings = errors
        .iter()
        .map(|error| Finding::of_cedar(text, None, DetailedError::from(error)))
        .collect();
    PolicyError::Syntax {
        name,
        findings: in_order(findings),
    }
}

/// A template does nothing until something fills its slots, and nothing here would.
fn templates(text: &str, parsed: &PolicySet) -> Vec<Finding> {
    parsed
        .templates()
        .map(|template| Finding {
            policy: None,
            message: "this is a template (it has `?principal` or `?resource`), which nothing here would fill".to_owned(),
            help: Some("write a policy for a group instead".to_owned()),
            position: Position::of(text, text.find(&template.to_cedar()).unwrap_or(0)),
        })
        .collect()
}

fn named_policies(
    name: &str,
    text: &str,
    parsed: &PolicySet,
    problems: &mut Vec<Finding>,
) -> Vec<Policy> {
    // Cedar numbers them `policy0`, `policy1`, ... in the order of the text.
    let number = |policy: &Policy| -> usize {
        policy
            .id()
            .to_string()
            .trim_start_matches("policy")
            .parse()
            .unwrap_or(usize::MAX)
    };
    let mut policies: Vec<_> = parsed.policies().collect();
    policies.sort_by_key(|policy| number(policy));
    let mut first_places: HashMap<String, Position> = HashMap::new();
    let mut searched = 0;
    let mut named = Vec::new();
    for policy in policies {
        let own_text = policy.to_cedar().unwrap_or_default();
        let offset = text[searched..]
            .find(&own_text)
            .map_or(searched, |at| searched + at);
        searched = offset + own_text.len().min(text.len() - offset);
        let position = Position::of(text, offset);
        let label = match policy.annotation("id") {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => number(policy).saturating_add(1).to_string(),
        };
        let id = format!("{name}#{label}");
        if let Some(first) = first_places.get(&id) {
            problems.push(Finding {
                policy: Some(id.clone()),
                message: format!(
                    "another policy of this file, at {first}, has the id `{label}` too"
                ),
                help: None,
                position,
            });
            continue;
        }
        first_places.insert(id.clone(), position);
        named.push(policy.new_id(PolicyId::new(id)));
    }
    named
}

/// Adds the errors to `problems` and returns the warnings.
fn validate(text: &str, policies: &[Policy], problems: &mut Vec<Finding>) -> Vec<Finding> {
    let set = match PolicySet::from_policies(policies.iter().cloned()) {
        Ok(set) => set,
        Err(error) => {
            problems.push(Finding::of_cedar(text, None, DetailedError::from(&error)));
            return Vec::new();
        }
    };
    let result = VALIDATOR.validate_with_level(&set, ValidationMode::Strict, DEREFERENCE_LEVEL);
    problems.extend(result.validation_errors().map(|error| {
        Finding::of_cedar(
            text,
            Some(error.policy_id().to_string()),
            DetailedError::from(error),
        )
    }));
    let warnings = result.validation_warnings().map(|warning| {
        Finding::of_cedar(
            text,
            Some(warning.policy_id().to_string()),
            DetailedError::from(warning),
        )
    });
    let mut warnings = in_order(warnings.collect());
    if policies.is_empty() {
        warnings.push(Finding {
            policy: None,
            message: "there is no policy in this file, so nothing is permitted by it".to_owned(),
            help: None,
            position: Position { line: 1, column: 1 },
        });
    }
    warnings
}

/// Sorted by place, each problem said once: Cedar repeats one for every kind of request (principal,
/// action and resource) in which it occurs.
fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|left, right| {
        (left.position, &left.policy, &left.message).cmp(&(
            right.position,
            &right.policy,
            &right.message,
        ))
    });
    findings.dedup();
    let mut said: Vec<(Finding, usize)> = Vec::new();
    for finding in findings {
        match said.last_mut() {
            Some((last, others))
                if (last.position, &last.policy) == (finding.position, &finding.policy) =>
            {
                *others += 1;
            }
            _ => said.push((finding, 0)),
        }
    }
    said.into_iter()
        .map(|(mut finding, others)| {
            if others > 0 {
                finding
                    .message
                    .push_str(&format!(", and {others} more of the kind here"));
            }
            finding
        })
        .collect()
}
