//! What the caller wants back, by `Accept`.

use api_types::{ErrorCode, SchemaResponse};
use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, HeaderValue, header, request::Parts};
use axum::response::{IntoResponse, Response};
use storage_engine::export::Format;

use super::Site;
use super::failure::Failure;
use crate::app::rows::Layout;

/// How rows are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowFormat {
    /// One JSON object.
    Json,
    /// One JSON object a line.
    Lines,
    /// An Arrow IPC stream.
    Arrow,
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const ARROW: &str = "application/vnd.apache.arrow.stream";
const PARQUET: &str = "application/vnd.apache.parquet";

/// How a schema is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaFormat {
    /// As JSON.
    Json,
    /// Its source.
    Text,
}

impl FromRequestParts<Site> for RowFormat {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Failure> {
        choose(
            &parts.headers,
            &[
                (JSON, Self::Json),
                (NDJSON, Self::Lines),
                (ARROW, Self::Arrow),
            ],
        )
    }
}

impl RowFormat {
    /// Its media type.
    pub(super) fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => JSON,
            Self::Lines => NDJSON,
            Self::Arrow => ARROW,
        })
    }

    /// How the rows are to be laid out for it.
    pub(super) fn layout(self) -> Layout {
        match self {
            Self::Json => Layout::Array,
            Self::Lines => Layout::Lines,
            Self::Arrow => Layout::Arrow,
        }
    }
}

/// How records are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordFormat(pub(super) Format);

impl RecordFormat {
    /// Its media type.
    pub(super) fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self.0 {
            Format::Ndjson => NDJSON,
            Format::Arrow => ARROW,
            Format::Parquet => PARQUET,
        })
    }
}

impl FromRequestParts<Site> for RecordFormat {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Failure> {
        choose(
            &parts.headers,
            &[
                (NDJSON, Self(Format::Ndjson)),
                (ARROW, Self(Format::Arrow)),
                (PARQUET, Self(Format::Parquet)),
            ],
        )
    }
}

impl FromRequestParts<Site> for SchemaFormat {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Failure> {
        choose(
            &parts.headers,
            &[(JSON, Self::Json), ("text/plain", Self::Text)],
        )
    }
}

impl SchemaFormat {
    /// The schema in this form.
    pub(super) fn response(self, schema: SchemaResponse) -> Response {
        match self {
            Self::Json => Json(schema).into_response(),
            Self::Text => schema.source.into_response(),
        }
    }
}

/// The offer that the caller likes best; of equals the first (RFC 9110, section 12.5.1).
fn choose<T: Copy>(headers: &HeaderMap, offers: &[(&str, T)]) -> Result<T, Failure> {
    let ranges: Vec<(String, f32)> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(range)
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let mut best: Option<(f32, T)> = None;
    for (name, offer) in offers {
        let liking = if ranges.is_empty() {
            1.0
        } else {
            liking(&ranges, name)
        };
        if liking > best.map_or(0.0, |(best, _)| best) {
            best = Some((liking, *offer));
        }
    }
    best.map(|(_, offer)| offer).ok_or_else(|| {
        let names: Vec<_> = offers.iter().map(|(name, _)| *name).collect();
        Failure::new(
            ErrorCode::NotAcceptable,
            format!(
                "Accept asks for none of what can be given: {}",
                names.join(", ")
            ),
        )
    })
}

fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts
        .find_map(|part| {
            part.split_once('=')
                .filter(|(name, _)| name.eq_ignore_ascii_case("q"))
        })
        .map_or(1.0, |(_, quality)| quality.parse().unwrap_or(0.0));
    (name, quality)
}

/// The quality of the most precise range that covers the media type.
fn liking(ranges: &[(String, f32)], name: &str) -> f32 {
    let kind = name.split('/').next().unwrap_or_default();
    let precision = |range: &str| match range {
        range if range == name => Some(3),
        range if range.strip_suffix("/*") == Some(kind) => Some(2),
        "*/*" => Some(1),
        _ => None,
    };
    ranges
        .iter()
        .filter_map(|(range, quality)| Some((precision(range)?, *quality)))
        .max_by_key(|(precision, _)| *precision)
        .map_or(0.0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_offer_is_chosen() {
        let check = |accept: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(header::ACCEPT, accept.parse().expect("a header value"));
            }
            let offers = [
                ("application/json", "json"),
                ("application/x-ndjson", "lines"),
            ];
            assert_eq!(choose(&headers, &offers).ok(), expected, "{accept}");
        };
        check("", Some("json"));
        check("*/*", Some("json"));
        check("application/x-ndjson", Some("lines"));
        check(
            "application/json;q=0.5, application/x-ndjson",
            Some("lines"),
        );
        check("application/*, application/json;q=0", Some("lines"));
        check("text/html, */*;q=0.1", Some("json"));
        check("application/vnd.apache.arrow.stream", None);
        check("text/csv", None);
        check("application/json;Q=0.1, */*;q=0.2", Some("lines"));
        check("application/json;q=nan, application/x-ndjson;q=0", None);
    }
}
