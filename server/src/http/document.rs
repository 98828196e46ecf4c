//! The document: what utoipa collected from the handlers, made to say what is mounted.
//!
//! A handler declares its operation, its Cedar action and the codes of its problems beside its code.
//! Here per-graph operations get their prefix and their parameter when they are nested, and security
//! is left out when the server runs open.

use std::collections::BTreeMap;

use api_types::{ErrorCode, Problem};
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Required, Response, ResponseBuilder};

/// What stands before the operation id of a per-graph route when it is nested.
const NESTED_PREFIX: &str = "cluster_";

/// Declares the type `$name`, which documents responses with these codes.
macro_rules! problems {
    ($name:ident: $($code:ident),+ $(,)?) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                $crate::http::document::responses(&[$(api_types::ErrorCode::$code),+])
            }
        }
    };
}
pub(super) use problems;

/// One response per status, naming each code that may stand in it.
pub(super) fn responses(codes: &[ErrorCode]) -> BTreeMap<String, RefOr<Response>> {
    let mut meanings: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for code in codes {
        let meaning = format!("`{}`: {}", code.as_str(), code.meaning().trim());
        meanings.entry(code.status()).or_default().push(meaning);
    }
    meanings
        .into_iter()
        .map(|(status, meanings)| {
            let content = Content::new(Some(Ref::from_schema_name("Problem")));
            let response = ResponseBuilder::new()
                .description(meanings.join("\n\n"))
                .content(Problem::MEDIA_TYPE, content)
                .build();
            (status.to_string(), RefOr::T(response))
        })
        .collect()
}

/// What the document says of the server as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Trellis",
        description = "Many typed property graphs side by side, each with its own storage, history \
            and policy. Every error is `application/problem+json` with a stable `code`, but for requests \
            that were not read: a head that is no HTTP (`400`) or too long (`414`, `431`), and a `503` when \
            there are too many connections, have no body.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact()
    ),
    components(schemas(Problem)),
    tags(
        (name = "server", description = "The server about itself."),
        (name = "graphs", description = "Which graphs there are, and making one."),
        (name = "data", description = "What is in a graph: queries, changes, whole files."),
        (name = "schema", description = "What a graph may contain.")
    )
)]
struct Trellis;

/// The document before any operation is in it.
pub(super) fn empty() -> utoipa::openapi::OpenApi {
    let mut document = Trellis::openapi();
    document.info.contact = None;
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token that the server's operator gave out."))
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document
}

/// Makes per-graph operations ready to be nested under `/graphs/{graph_id}`.
pub(super) fn nested(document: &mut utoipa::openapi::OpenApi) {
    for operation in operations(document) {
        if let Some(id) = &mut operation.operation_id {
            id.insert_str(0, NESTED_PREFIX);
        }
        operation
            .parameters
            .get_or_insert_default()
            .insert(0, RefOr::T(graph_id()));
    }
}

/// Leaves security out, for a server that runs open.
pub(super) fn open(document: &mut utoipa::openapi::OpenApi) {
    for operation in operations(document) {
        operation.security = None;
    }
    if let Some(components) = &mut document.components {
        components.security_schemes.clear();
    }
}

fn graph_id() -> Parameter {
    ParameterBuilder::new()
        .name("graph_id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The id of the graph, in any case."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn operations(document: &mut utoipa::openapi::OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        let PathItem {
            get,
            put,
            post,
            delete,
            patch,
            ..
        } = item;
        [get, put, post, delete, patch]
            .into_iter()
            .filter_map(Option::as_mut)
    })
}
