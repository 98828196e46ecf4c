//! The one error envelope (RFC 9457) and the one enum of stable codes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $wire:literal, $status:literal, $title:literal;)*) => {
        /// What went wrong, as a stable name that programs match on. New codes may be added;
        /// none is renamed.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it stands in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire,)* }
            }

            /// The HTTP status that always goes with the code.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The same few words for every occurrence of the code.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// When the code is given, for the document.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)* }
            }
        }
    };
}

error_codes! {
    /// The body, a parameter or a header does not have the shape that the operation takes.
    InvalidRequest = "invalid_request", 400, "The request is not well formed";
    /// The body is not JSON; the detail names the line and column.
    InvalidJson = "invalid_json", 400, "The body is not JSON";
    /// The graph id breaks a rule, or is a reserved word.
    InvalidGraphId = "invalid_graph_id", 400, "The graph id is not allowed";
    /// The schema declares nothing.
    EmptySchema = "empty_schema", 400, "The schema is empty";
    /// The schema has errors; each stands in `errors` with its position.
    InvalidSchema = "invalid_schema", 400, "The schema has errors";
    /// The config file has errors; each stands in `errors` with its position. Nothing was applied.
    InvalidConfig = "invalid_config", 400, "The config file has errors";
    /// The policy does not parse, or names what the policy schema does not have.
    InvalidPolicy = "invalid_policy", 400, "The policy has errors";
    /// The uri, or the path of a policy file, is empty or points outside the allowed roots.
    InvalidUri = "invalid_uri", 400, "The uri is not allowed";
    /// The query does not compile; each error stands in `errors` with its position.
    InvalidQuery = "invalid_query", 400, "The query has errors";
    /// A statement that writes was sent to `query`; send it to `mutate`.
    WriteInReadQuery = "write_in_read_query", 400, "A writing statement in a read query";
    /// A parameter that the statement names is missing, or cannot be what the statement needs.
    InvalidParameters = "invalid_parameters", 400, "The parameters do not fit the statement";
    /// The statement is valid, but cannot be carried out with this data or these parameters.
    ExecutionFailed = "execution_failed", 400, "The statement cannot be carried out";
    /// The result has more rows than `max_rows`, or than the server returns.
    RowLimit = "row_limit", 400, "Too many rows";
    /// The statement needs more memory, or the result more bytes, than the server gives.
    MemoryLimit = "memory_limit", 400, "Too much memory";
    /// Lines of the loaded file are wrong; the first hundred stand in `errors`. Nothing was loaded.
    InvalidRows = "invalid_rows", 400, "The file has errors";
    /// Part of the contract that this version does not carry out yet.
    Unsupported = "unsupported", 400, "Not supported yet";
    /// No credential, or one that is not known.
    Unauthenticated = "unauthenticated", 401, "A valid credential is needed";
    /// The policy does not allow it; `decision_id` leads to the reason.
    Forbidden = "forbidden", 403, "Not allowed";
    /// No operation has this path.
    NotFound = "not_found", 404, "No such path";
    /// No graph that the caller may see has this id.
    GraphNotFound = "graph_not_found", 404, "No such graph";
    /// The graph has no branch of this name.
    BranchNotFound = "branch_not_found", 404, "No such branch";
    /// The branch has no such commit, and never had.
    CommitNotFound = "commit_not_found", 404, "No such commit";
    /// The path exists, but not with this method; see the header `Allow`.
    MethodNotAllowed = "method_not_allowed", 405, "Not with this method";
    /// None of the media types in `Accept` can be given.
    NotAcceptable = "not_acceptable", 406, "No acceptable media type";
    /// The body came too slowly.
    RequestTimeout = "request_timeout", 408, "The request came too slowly";
    /// A graph of this id exists, perhaps written in another case.
    GraphExists = "graph_exists", 409, "The graph exists";
    /// Another graph has this uri, one inside it or one around it.
    UriInUse = "uri_in_use", 409, "The uri is in use";
    /// The uri holds files already, or others than those of the graph.
    UriNotEmpty = "uri_not_empty", 409, "The uri is not empty";
    /// A node of the type has this key already.
    DuplicateKey = "duplicate_key", 409, "The key is taken";
    /// A node that still has relationships was to be deleted without `DETACH`.
    NodeHasRelationships = "node_has_relationships", 409, "The node has relationships";
    /// A property that the schema requires is missing or null.
    MissingProperty = "missing_property", 409, "A required property is missing";
    /// A value breaks what the schema declares of its property.
    InvalidValue = "invalid_value", 409, "A value that the schema does not allow";
    /// What was to be changed is not there any more.
    Gone = "gone", 409, "It is gone";
    /// The graph was deleted, and its data has been removed.
    GraphPurged = "graph_purged", 410, "The graph is purged";
    /// What `If-Match` names is not the present version.
    PreconditionFailed = "precondition_failed", 412, "It has changed meanwhile";
    /// The graph's history is not kept back to there, or cannot be followed back to there.
    HistoryGone = "history_gone", 410, "That past is gone";
    /// `if_commit` is not the head of the branch.
    CommitMismatch = "commit_mismatch", 412, "The graph has moved on";
    /// The body is larger than the server accepts.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// The operation does not take a body of this `Content-Type`.
    UnsupportedMediaType = "unsupported_media_type", 415, "Not in this media type";
    /// The `Idempotency-Key` was used for a request that asked something else.
    IdempotencyKeyReused = "idempotency_key_reused", 422, "The key is of another request";
    /// The principal has too many queries waiting; the header `Retry-After` says when to try again.
    TooManyQueries = "too_many_queries", 429, "Too many queries are waiting";
    /// Too many writes are waiting; the header `Retry-After` says when to try again. Nothing was
    /// changed.
    TooManyWrites = "too_many_writes", 429, "Too many writes are waiting";
    /// A defect of the server; the request id finds it in the log.
    Internal = "internal", 500, "A defect of the server";
    /// The config file was changed by hand since the server read it. Nothing was changed.
    ConfigDrift = "config_drift", 503, "The config file was edited";
    /// Another process holds the graph for writing.
    GraphLocked = "graph_locked", 503, "The graph is held by another process";
    /// The graph's files are damaged, and it was set aside.
    GraphQuarantined = "graph_quarantined", 503, "The graph is set aside";
    /// A disk or another part that is needed does not answer. Nothing was changed.
    Unavailable = "unavailable", 503, "Temporarily impossible";
    /// The write may or may not have happened: the server could not tell.
    OutcomeUnknown = "outcome_unknown", 503, "The outcome is not known";
    /// The server is stopping.
    ShuttingDown = "shutting_down", 503, "The server is stopping";
    /// HTTP/1.0 cannot tell a long answer from one that was broken off.
    HttpVersionNotSupported = "http_version_not_supported", 505, "HTTP/1.1 is needed";
    /// The statement ran into its time limit. Nothing was changed.
    Timeout = "timeout", 504, "The time limit was reached";
}

/// Every error, in every place (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:trellis:problem:` and the code.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The same few words for every occurrence of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What programs match on.
    pub code: ErrorCode,
    /// What is wrong this time, for a person.
    pub detail: String,
    /// The path of the request.
    pub instance: String,
    /// Finds the request in the server's log; also in the header `x-request-id`.
    pub request_id: String,
    /// The single findings, where there are several or where they have a position.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Finding>,
    /// With `forbidden`: the decision to ask an administrator about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
}

/// One thing that is wrong, with its position in the query, the schema or the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// A stable name of the kind of finding, such as `unknown_property`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// One sentence for a person.
    pub message: String,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column, from 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The line of the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u64>,
    /// The column one past the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_column: Option<u64>,
    /// The name that was probably meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Problem {
    /// The media type of the envelope.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// The problem of `code`, with what is the same for each occurrence filled in.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("urn:trellis:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            instance: String::new(),
            request_id: String::new(),
            errors: Vec::new(),
            decision_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_serde_agree_on_every_code() {
        for code in ErrorCode::ALL {
            let wire = serde_json::to_value(code).expect("a code is a string");
            assert_eq!(wire, code.as_str());
            assert!((400..600).contains(&code.status()), "{}", code.as_str());
            assert!(!code.meaning().is_empty() && !code.title().is_empty());
        }
    }

    #[test]
    fn a_problem_leaves_out_what_it_does_not_have() {
        let problem = Problem::new(ErrorCode::GraphNotFound, "no graph \"a\"");
        let json = serde_json::to_value(&problem).expect("serializes");
        assert_eq!(json["type"], "urn:trellis:problem:graph_not_found");
        assert_eq!(json["status"], 404);
        assert!(json.get("errors").is_none() && json.get("decision_id").is_none());
    }
}
