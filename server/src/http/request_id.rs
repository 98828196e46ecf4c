//! The id that finds a request in the logs: the caller's own when it is sane, else a new UUIDv7.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries the id in and out.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a caller.
const MAX_LENGTH: usize = 128;

/// An id that can stand in a header, in JSON and in a log line as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The caller's id when there is exactly one and it is sane, else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(HEADER).iter();
        match (
            given.next().and_then(|value| value.to_str().ok()),
            given.next(),
        ) {
            (Some(text), None) if is_sane(text) => Self(text.to_owned()),
            _ => Self(Uuid::now_v7().to_string()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("a sane id and a UUID are printable ASCII")
    }
}

fn is_sane(text: &str) -> bool {
    (1..=MAX_LENGTH).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_ids_are_taken_over() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(
                    HEADER,
                    HeaderValue::from_str(value).expect("a header value"),
                );
            }
            RequestId::of(&headers)
        };
        assert_eq!(of(&["abc-1.2:3"]).as_str(), "abc-1.2:3");
        let long = "a".repeat(MAX_LENGTH + 1);
        for values in [
            &[][..],
            &[""],
            &["with blank"],
            &["{\"json\"}"],
            &[&long],
            &["a", "b"],
        ] {
            let id = of(values);
            assert!(
                Uuid::parse_str(id.as_str()).is_ok(),
                "{values:?} gave {id:?}"
            );
        }
    }
}
