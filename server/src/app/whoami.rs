//! Who the credential stands for.

use api_types::{PrincipalKind, Whoami};
use policy::Principal;

pub(crate) fn run(principal: &Principal) -> Whoami {
    let kind = match principal.kind {
        _ if *principal == Principal::anonymous() => PrincipalKind::Anonymous,
        policy::PrincipalKind::User => PrincipalKind::User,
        policy::PrincipalKind::Service => PrincipalKind::Service,
    };
    Whoami {
        principal: principal.id.clone(),
        kind,
        groups: principal.groups.iter().cloned().collect(),
        scopes: principal.scopes.clone().unwrap_or_default(),
    }
}
