//! Bearer tokens: from what is presented to a principal.
//!
//! Tokens are kept and compared as SHA-256 digests. Of many, a presented one is compared with the few
//! whose digests a secret hash puts into the same bucket, in constant time: how long it takes says
//! nothing of what the digests are, and does not grow with their number. Nothing here prints a token or a digest, errors included: an operator who pasted a
//! token where its digest belongs must not find it in a log. The files themselves are read
//! elsewhere; this module takes what was read.
//!
//! ```
//! use policy::{Groups, TokenFile, Tokens, new_token};
//! let (token, sha256) = new_token()?;
//! let file: TokenFile = serde_json::from_str(&format!(r#"{{"alice": {{"sha256": "{sha256}"}}}}"#))?;
//! let tokens = Tokens::from_file(file, &Groups::default()).expect("sound");
//! assert_eq!(tokens.authenticate(&token).expect("known").id, "alice");
//! assert!(tokens.authenticate("guessed").is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::principal::{ANONYMOUS, AttributeValue, Principal, PrincipalKind};

/// The longest principal id, in bytes.
const MAX_PRINCIPAL_BYTES: usize = 256;
/// Random bytes in a new token.
const TOKEN_BYTES: usize = 32;
/// So that scanners for leaked secrets can tell a Trellis token.
const TOKEN_PREFIX: &str = "trl_";

/// What is wrong with the tokens of a server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not 64 hexadecimal digits. The text itself is withheld: it may be a token.
    #[error(
        "the `sha256` of principal `{principal}` must be the SHA-256 of its token as 64 hexadecimal digits; this has {found} characters{}",
        if *.found == 64 { ", not all of them hexadecimal digits" } else { "" }
    )]
    Digest {
        /// Whose entry it is.
        principal: String,
        /// How many characters were found.
        found: usize,
    },
    /// A principal id that is blank, too long, or has control characters.
    #[error(
        "`{principal}` cannot name a principal: 1 to {MAX_PRINCIPAL_BYTES} bytes without control characters"
    )]
    PrincipalId {
        /// The id, escaped.
        principal: String,
    },
    /// The id that `--unauthenticated` gives to everybody.
    #[error(
        "the principal `{ANONYMOUS}` is reserved for a server without authentication, and may have no token"
    )]
    Anonymous,
    /// A token that no request could present in a header.
    #[error(
        "the token of principal `{principal}` is empty or has blanks or other than printable ASCII characters"
    )]
    Unpresentable {
        /// Whose token it is.
        principal: String,
    },
    /// A token for nothing; whoever reads an empty list elsewhere takes it for no limit.
    #[error(
        "the token of principal `{principal}` is limited to no scope at all: leave `scopes` out, or name some"
    )]
    NoScopes {
        /// Whose token it is.
        principal: String,
    },
    /// Two tokens for one name would be two principals with one identity.
    #[error("principal `{principal}` has a token in {first} and another in {second}")]
    DuplicatePrincipal {
        /// The name.
        principal: String,
        /// Where the one stands.
        first: TokenOrigin,
        /// Where the other stands.
        second: TokenOrigin,
    },
    /// One token for two names could be either.
    #[error("principals `{first}` and `{second}` have the same token")]
    DuplicateToken {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// Text that is not `{principal: token}`. It is withheld: it holds tokens.
    #[error(
        "not a JSON object of the form {{\"principal\": \"token\"}}, each principal once (line {line}, column {column})"
    )]
    PlainSyntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

/// Where a token was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenOrigin {
    /// The file that `auth.tokens_file` names.
    File,
    /// The variable `TRELLIS_TOKENS_JSON`.
    Environment,
}

impl fmt::Display for TokenOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "the tokens file",
            Self::Environment => "TRELLIS_TOKENS_JSON",
        })
    }
}

/// One principal of the tokens file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// The SHA-256 of the token: 64 hexadecimal digits in either case.
    pub sha256: String,
    /// Person (the default) or program.
    #[serde(default)]
    pub kind: PrincipalKind,
    /// The groups it is in, beside those of the configuration.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// The tenant it belongs to.
    #[serde(default)]
    pub tenant: Option<String>,
    /// What else policies may read of it.
    #[serde(default)]
    pub attributes: BTreeMap<String, AttributeValue>,
    /// What the token is limited to; absent is no limit.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
}

/// The tokens file: principal to entry. Reading it refuses a principal that stands there twice.
pub type TokenFile = Unique<TokenEntry>;

/// `groups:` of the operator's file: group to the ids of its members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Groups(pub BTreeMap<String, BTreeSet<String>>);

impl Groups {
    fn of<'a>(&'a self, principal: &'a str) -> impl Iterator<Item = String> + 'a {
        self.0
            .iter()
            .filter(move |(_, members)| members.contains(principal))
            .map(|(group, _)| group.clone())
    }
}

/// Every token that the server accepts. Immutable: a reload makes another.
#[derive(Clone)]
pub struct Tokens {
    entries: Vec<Entry>,
    /// Places in `entries`, by principal id.
    by_principal: HashMap<String, usize>,
    /// Its keys are this process's secret.
    hashing: RandomState,
    /// Places in `entries`, by hash of the digest; as many as a power of two.
    buckets: Vec<Vec<usize>>,
}

/// How many tokens share a bucket on average, at most.
const BUCKET: usize = 4;

impl Default for Tokens {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            by_principal: HashMap::new(),
            hashing: RandomState::new(),
            buckets: vec![Vec::new()],
        }
    }
}

#[derive(Clone)]
struct Entry {
    digest: [u8; 32],
    principal: Arc<Principal>,
    origin: TokenOrigin,
}

impl Tokens {
    /// The tokens of the tokens file, with the groups of the configuration added; or what is wrong with
    /// each entry that cannot be used.
    pub fn from_file(file: TokenFile, groups: &Groups) -> Result<Self, Vec<TokenError>> {
        let (mut tokens, mut errors) = (Self::default(), Vec::new());
        for (id, entry) in file.0 {
            errors.extend(tokens.insert_entry(id, entry, groups).err());
        }
        if errors.is_empty() {
            Ok(tokens)
        } else {
            Err(errors)
        }
    }

    fn insert_entry(
        &mut self,
        id: String,
        entry: TokenEntry,
        groups: &Groups,
    ) -> Result<(), TokenError> {
        let digest = parse_digest(&id, &entry.sha256)?;
        if digest == sha256("") {
            return Err(TokenError::Unpresentable { principal: id });
        }
        if entry.scopes.as_ref().is_some_and(Vec::is_empty) {
            return Err(TokenError::NoScopes { principal: id });
        }
        let principal = Principal {
            kind: entry.kind,
            groups: groups.of(&id).chain(entry.groups).collect(),
            tenant: entry.tenant,
            attributes: entry.attributes,
            scopes: entry.scopes,
            id,
        };
        self.insert(digest, principal, TokenOrigin::File)
    }

    /// The tokens of `TRELLIS_TOKENS_JSON`, `{"principal": "token"}`: persons without a tenant, in
    /// the groups of the configuration.
    pub fn from_plain_json(text: &str, groups: &Groups) -> Result<Self, TokenError> {
        // The cause is not chained: serde_json quotes what it read, which may be a token.
        let plain: Unique<String> =
            serde_json::from_str(text).map_err(|error| TokenError::PlainSyntax {
                line: error.line(),
                column: error.column(),
            })?;
        Self::from_plain(plain.0, groups)
    }

    /// The same from a map that is already read: principal to token.
    pub fn from_plain(
        plain: impl IntoIterator<Item = (String, String)>,
        groups: &Groups,
    ) -> Result<Self, TokenError> {
        let mut tokens = Self::default();
        for (id, token) in plain {
            if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(TokenError::Unpresentable { principal: id });
            }
            let principal = Principal {
                groups: groups.of(&id).collect(),
                ..Principal::user(id)
            };
            tokens.insert(sha256(&token), principal, TokenOrigin::Environment)?;
        }
        Ok(tokens)
    }

    /// Both together; a principal or a token that is in both is an error.
    pub fn merge(mut self, other: Self) -> Result<Self, TokenError> {
        for entry in other.entries {
            self.insert(
                entry.digest,
                Arc::unwrap_or_clone(entry.principal),
                entry.origin,
            )?;
        }
        Ok(self)
    }

    fn insert(
        &mut self,
        digest: [u8; 32],
        principal: Principal,
        origin: TokenOrigin,
    ) -> Result<(), TokenError> {
        check_id(&principal.id)?;
        let known = self.by_principal.get(&principal.id);
        if let Some(known) = known.and_then(|place| self.entries.get(*place)) {
            return Err(TokenError::DuplicatePrincipal {
                principal: principal.id,
                first: known.origin,
                second: origin,
            });
        }
        if let Some(known) = self.find(&digest) {
            return Err(TokenError::DuplicateToken {
                first: known.principal.id.clone(),
                second: principal.id,
            });
        }
        let place = self.entries.len();
        self.by_principal.insert(principal.id.clone(), place);
        self.entries.push(Entry {
            digest,
            principal: Arc::new(principal),
            origin,
        });
        if self.entries.len() > BUCKET * self.buckets.len() {
            self.spread();
        } else if let Some(bucket) = self.bucket(&digest) {
            self.buckets[bucket].push(place);
        }
        Ok(())
    }

    /// Twice as many buckets.
    fn spread(&mut self) {
        self.buckets = vec![Vec::new(); 2 * self.buckets.len()];
        for place in 0..self.entries.len() {
            if let Some(bucket) = self.bucket(&self.entries[place].digest) {
                self.buckets[bucket].push(place);
            }
        }
    }

    fn bucket(&self, digest: &[u8; 32]) -> Option<usize> {
        let hash = self.hashing.hash_one(digest);
        usize::try_from(hash % self.buckets.len() as u64).ok()
    }

    /// Compares with everything in the bucket, whatever it finds.
    fn find(&self, digest: &[u8; 32]) -> Option<&Entry> {
        let bucket = self.buckets.get(self.bucket(digest)?)?;
        let mut found = u64::MAX;
        for place in bucket {
            let same = self.entries[*place]
                .digest
                .as_slice()
                .ct_eq(digest.as_slice());
            found.conditional_assign(&(*place as u64), same);
        }
        self.entries.get(usize::try_from(found).ok()?)
    }

    /// Whose token this is, or `None` when it is nobody's. Takes as long for a wrong token as for a
    /// right one of its bucket: it is compared with all of them, by digest, in constant time.
    pub fn authenticate(&self, presented: &str) -> Option<Arc<Principal>> {
        let entry = self.find(&sha256(presented))?;
        Some(Arc::clone(&entry.principal))
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every principal that has a token.
    pub fn principals(&self) -> impl Iterator<Item = &Arc<Principal>> {
        self.entries.iter().map(|entry| &entry.principal)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.principals().map(|principal| &principal.id))
            .finish()
    }
}

impl fmt::Debug for TokenEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEntry")
            .field("kind", &self.kind)
            .field("groups", &self.groups)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

fn sha256(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn parse_digest(principal: &str, text: &str) -> Result<[u8; 32], TokenError> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| TokenError::Digest {
        principal: principal.to_owned(),
        found: text.chars().count(),
    })?;
    Ok(digest)
}

fn check_id(id: &str) -> Result<(), TokenError> {
    if id == ANONYMOUS {
        return Err(TokenError::Anonymous);
    }
    if id.trim().is_empty() || id.len() > MAX_PRINCIPAL_BYTES || id.chars().any(char::is_control) {
        return Err(TokenError::PrincipalId {
            principal: id.escape_debug().collect(),
        });
    }
    Ok(())
}

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("cannot get random bytes for a new token")]
pub struct NoRandomness(#[source] getrandom::Error);

/// A new token of 256 random bits, and its SHA-256 as 64 hexadecimal digits. The token is shown to its
/// owner once; only the digest is kept.
pub fn new_token() -> Result<(String, String), NoRandomness> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).map_err(NoRandomness)?;
    let token = format!("{TOKEN_PREFIX}{}", hex::encode(random));
    let digest = hex::encode(sha256(&token));
    Ok((token, digest))
}

/// A map by principal that refuses to read a key twice; most readers would keep the last.
#[derive(Clone)]
pub struct Unique<V>(pub BTreeMap<String, V>);

impl<V> Default for Unique<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> fmt::Debug for Unique<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueVisitor<V> {
    type Value = Unique<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with one entry for each principal")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Unique<V>, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((principal, value)) = access.next_entry::<String, V>()? {
            if map.contains_key(&principal) {
                return Err(de::Error::custom(format_args!(
                    "principal `{principal}` has two entries"
                )));
            }
            map.insert(principal, value);
        }
        Ok(Unique(map))
    }
}
