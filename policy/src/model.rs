//! The Cedar schema of Trellis, and the names of its entities.
//!
//! It knows names and nothing of what is decided.

use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema, Validator};

use crate::action::{Action, ActionGroup};
use crate::principal::{Principal, PrincipalKind};

const SCHEMA: &str = include_str!("../../policies/trellis.cedarschema");

/// Checks policies against the embedded schema.
pub(crate) static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA)
        .expect("the embedded schema is a constant, and a test reads it");
    Validator::new(schema)
});

macro_rules! entity_types {
    ($($variant:ident)*) => {
        /// An entity type of the schema.
        #[derive(Clone, Copy)]
        pub(crate) enum EntityType { $($variant,)* }

        impl EntityType {
            fn name(self) -> &'static EntityTypeName {
                match self {
                    $(Self::$variant => {
                        static NAME: LazyLock<EntityTypeName> = LazyLock::new(|| {
                            stringify!($variant).parse().expect("an identifier is an entity type name")
                        });
                        &NAME
                    })*
                }
            }

            /// The entity of this type with that id.
            pub(crate) fn uid(self, id: &str) -> EntityUid {
                EntityUid::from_type_name_and_id(self.name().clone(), EntityId::new(id))
            }

            /// The id of `uid` when it is of this type.
            pub(crate) fn id_of(self, uid: &EntityUid) -> Option<&str> {
                (uid.type_name() == self.name()).then(|| uid.id().unescaped())
            }
        }
    };
}

entity_types! { Action User Service Group Server Graph Branch NodeType EdgeType }

/// `Server::"root"`, the one server there is.
pub(crate) fn server_uid() -> EntityUid {
    EntityType::Server.uid("root")
}

pub(crate) fn principal_uid(principal: &Principal) -> EntityUid {
    match principal.kind {
        PrincipalKind::User => EntityType::User.uid(&principal.id),
        PrincipalKind::Service => EntityType::Service.uid(&principal.id),
    }
}

pub(crate) fn action_uid(action: Action) -> EntityUid {
    EntityType::Action.uid(action.as_str())
}

pub(crate) fn group_uid(group: ActionGroup) -> EntityUid {
    EntityType::Action.uid(group.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::action::ResourceKind;

    /// Action -> (groups, resource types), as `name [groups] on [types]`.
    fn of_the_schema() -> BTreeMap<String, (Vec<String>, Vec<String>)> {
        let schema = VALIDATOR.schema();
        let entities = schema.action_entities().unwrap();
        let groups: Vec<_> = schema.action_groups().cloned().collect();
        let mut found = BTreeMap::new();
        for uid in schema.actions().filter(|uid| !groups.contains(uid)) {
            let parents = entities.ancestors(uid).unwrap();
            let mut parents: Vec<_> = parents
                .map(|parent| parent.id().unescaped().to_owned())
                .collect();
            parents.sort();
            let mut types: Vec<_> = schema
                .resources_for_action(uid)
                .unwrap()
                .map(ToString::to_string)
                .collect();
            types.sort();
            found.insert(uid.id().unescaped().to_owned(), (parents, types));
        }
        found
    }

    #[test]
    fn the_enum_and_the_schema_name_the_same_actions_groups_and_resources() {
        let of_the_enum: BTreeMap<_, _> = Action::ALL
            .iter()
            .map(|action| {
                let types: &[&str] = match action.resource_kind() {
                    ResourceKind::Server => &["Server"],
                    ResourceKind::Graph => &["Graph"],
                    ResourceKind::Type => &["EdgeType", "NodeType"],
                };
                let types: Vec<_> = types.iter().map(ToString::to_string).collect();
                (
                    action.to_string(),
                    (vec![action.group().to_string()], types),
                )
            })
            .collect();
        assert_eq!(of_the_enum, of_the_schema());

        let mut groups: Vec<_> = VALIDATOR
            .schema()
            .action_groups()
            .map(|uid| uid.id().unescaped().to_owned())
            .collect();
        groups.sort();
        let mut expected: Vec<_> = ActionGroup::ALL.iter().map(ToString::to_string).collect();
        expected.sort();
        assert_eq!(groups, expected);
    }

    #[test]
    fn every_action_serves_users_and_services_alike() {
        let schema = VALIDATOR.schema();
        for action in Action::ALL {
            let mut principals: Vec<_> = schema
                .principals_for_action(&action_uid(*action))
                .unwrap()
                .map(ToString::to_string)
                .collect();
            principals.sort();
            assert_eq!(principals, ["Service", "User"], "{action}");
        }
    }
}
