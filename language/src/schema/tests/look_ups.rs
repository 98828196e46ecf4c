use super::EXAMPLE;
use crate::schema::{PropertyId, Schema, TypeId};

#[test]
fn ids_are_in_order_of_declaration() {
    let schema = Schema::parse(EXAMPLE).unwrap();
    let ids = ["Person", "Org"].map(|name| schema.node_type_named(name).unwrap().id.0);
    assert_eq!(ids, [1, 4]);
    let ids = ["Knows", "WorksAt"].map(|name| schema.edge_type_named(name).unwrap().id.0);
    assert_eq!(ids, [2, 3]);
    assert_eq!((schema.next_type_id, schema.next_property_id), (5, 8));
    assert_eq!((schema.version, schema.source.as_str()), (1, EXAMPLE));
}

#[test]
fn everything_is_found_by_id_and_by_name() {
    let schema = Schema::parse(EXAMPLE).unwrap();
    let mut count = 0;
    for id in (1..schema.next_type_id).map(TypeId) {
        let name = schema.type_name(id).unwrap();
        let by_name = schema.node_type_named(name).map(|node| node.id);
        assert_eq!(
            by_name.or_else(|| schema.edge_type_named(name).map(|edge| edge.id)),
            Some(id)
        );
        for property in schema.properties(id).unwrap() {
            assert_eq!(schema.property(property.id), Some((id, property)));
            assert_eq!(schema.property_named(id, &property.name), Some(property));
            count += 1;
        }
        assert_eq!(schema.property_named(id, "absent"), None);
    }
    assert_eq!(count + 1, schema.next_property_id);
    assert!(schema.interface_named("Named").is_some());
    for id in [0, schema.next_type_id] {
        assert!(schema.node_type(TypeId(id)).is_none() && schema.edge_type(TypeId(id)).is_none());
        assert!(schema.properties(TypeId(id)).is_none() && schema.type_name(TypeId(id)).is_none());
    }
    assert_eq!(schema.property(PropertyId(0)), None);
    assert!(
        schema.node_type_named("Knows").is_none() && schema.edge_type_named("Person").is_none()
    );
}

#[test]
fn a_changed_schema_is_found_as_it_is_now() {
    let mut schema = Schema::parse(EXAMPLE).unwrap();
    let org = schema.node_type_named("Org").unwrap().clone();
    schema.node_types.reverse();
    assert_eq!(schema.node_type_named("Org"), Some(&org));
    assert_eq!(schema.node_type(org.id), Some(&org));
    schema.node_types.retain(|node_type| node_type.id != org.id);
    assert_eq!(schema.node_type(org.id), None);
    assert_eq!(schema.property(org.key[0]), None);
    assert_eq!(schema.node_type_named("Org"), None);
    schema.node_types[0].name = "Human".into();
    assert!(
        schema.node_type_named("Human").is_some() && schema.node_type_named("Person").is_none()
    );
}

#[test]
fn comes_back_from_storage_equal() {
    let text = r#"node A { a: I32 @range(0..9) @default(3), b: [String] @check("x+") @note(1), c: enum(x)? }"#;
    for text in [EXAMPLE, text] {
        let schema = Schema::parse(text).unwrap();
        let stored = serde_json::to_string(&schema).unwrap();
        let back: Schema = serde_json::from_str(&stored).unwrap();
        assert_eq!(back, schema);
        assert_eq!(
            back.node_types[0].properties[0].accept(crate::Value::Null),
            Ok(crate::Value::Null)
        );
    }
    let bad = serde_json::to_string(&Schema::parse(text).unwrap())
        .unwrap()
        .replace("\"x+\"", "\"(\"");
    assert!(serde_json::from_str::<Schema>(&bad).is_err());
}
