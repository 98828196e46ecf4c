//! Who is it, and may they?
//!
//! Credentials become a [`Principal`]; a principal, an [`Action`] and a [`Resource`] become a
//! [`Permit`] or a [`Denial`]; a permit and the types that a plan touches become an
//! [`Authorized`] plan. Cedar decides, and stays private here: no Cedar type leaves this crate. The
//! crate knows nothing of HTTP, of storage or of the config file.
//!
//! ```
//! use policy::{Action, Authorizer, Context, GraphRef, PolicyDocument, PolicySource, Principal, Resource};
//! use std::{collections::BTreeMap, sync::Arc};
//!
//! let document = PolicyDocument::parse(PolicySource {
//!     name: "server.cedar".into(),
//!     text: r#"@id("staff-read") permit (principal in Group::"staff", action in Action::"read", resource);"#.into(),
//! })?;
//! let authorizer = Authorizer::new([document]);
//! let alpha = Resource::Graph(GraphRef::new("alpha", None, BTreeMap::new(), None));
//! let alice = Arc::new(Principal { groups: ["staff".to_owned()].into(), ..Principal::user("alice") });
//!
//! let permit = authorizer.decide(&alice, Action::Query, &alpha, &Context::now())?;
//! assert_eq!(permit.graph_id(), Some("alpha"));
//! assert!(authorizer.decide(&alice, Action::Mutate, &alpha, &Context::now()).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What always holds:
//! - nothing but [`Authorizer::decide`] makes a [`Permit`], nothing but
//!   [`Authorizer::authorize_types`] makes an [`Authorized`] plan;
//! - what no policy permits is denied, and so is every request in which any policy failed to
//!   evaluate (Cedar alone would skip an erroring `forbid`);
//! - only policies that passed strict validation against `policies/trellis.cedarschema` exist.

mod action;
#[cfg(test)]
mod agreement;
mod authorizer;
mod case;
mod clock;
mod complexity;
mod decision;
mod docket;
mod finding;
mod listing;
mod model;
mod policies;
mod principal;
mod request;
mod resource;
mod slices;
mod tokens;
mod verdict;
mod vocabulary;

pub use action::{Action, ActionGroup, ResourceKind, UnknownAction};
pub use authorizer::{Authorizer, MAX_REFUSALS, NothingConfigured};
pub use decision::{Authorized, Denial, Permit, Refusal, TypeDenial, TypeKind, TypeTouch};
pub use finding::{Finding, Position};
pub use listing::Visible;
pub use policies::{GraphPolicy, MAX_POLICY_BYTES, PolicyDocument, PolicyError, PolicySource};
pub use principal::{AttributeValue, Principal, PrincipalKind};
pub use resource::{BranchRef, Context, GraphRef, Resource};
pub use tokens::{
    Groups, NoRandomness, TokenEntry, TokenError, TokenFile, TokenOrigin, Tokens, Unique, new_token,
};
