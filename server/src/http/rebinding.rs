//! A server that asks for no credential is for programs on this machine. A browser on it runs other
//! people's programs as well: a page can have its own name resolved to 127.0.0.1 (DNS rebinding), or send
//! here what needs no leave of ours (a POST without a body). So nothing is done for a name that somebody
//! else can give, nor for a page of another place.

use api_types::ErrorCode;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::failure::Failure;

/// Lets through what is for this machine and comes from no other place.
pub(super) async fn refuse(request: Request, next: Next) -> Response {
    match check(request.headers(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

fn check(headers: &HeaderMap, uri: &Uri) -> Result<(), Failure> {
    let host = one(headers, header::HOST)?;
    let host = host.or(uri.authority().map(Authority::as_str));
    // What sends none is no browser.
    let Some(host) = host else { return Ok(()) };
    if !is_here(host) {
        return Err(refused(&format!(
            "a server without authentication answers to localhost and addresses only, not to {host:?}"
        )));
    }
    let origin = one(headers, header::ORIGIN)?;
    let is_same = |origin: &str| {
        let place = origin.split_once("://");
        place.is_some_and(|(_, place)| place.eq_ignore_ascii_case(host))
    };
    match origin {
        Some(origin) if !is_same(origin) => Err(refused(&format!(
            "a server without authentication does nothing for a page of {origin:?}"
        ))),
        _ => Ok(()),
    }
}

/// The header's value; more than one is nobody's honest doing.
fn one(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Failure> {
    let odd = || refused(&format!("the header {name} must stand there once, as text"));
    let mut given = headers.get_all(&name).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| odd()),
        (Some(_), Some(_)) => Err(odd()),
    }
}

/// Whether nobody else can say where that leads: an address, or the name of this machine alone.
fn is_here(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<std::net::IpAddr>().is_ok()
}

fn refused(words: &str) -> Failure {
    Failure::new(ErrorCode::Forbidden, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_s_own_names_and_pages_are_served() {
        let of = |host: Option<&'static str>, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().expect("a header value"));
                }
            }
            check(&headers, &Uri::from_static("/graphs")).is_ok()
        };
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "127.9.9.9",
            "::1",
        ] {
            // An address of version 6 without brackets is none in a header.
            assert_eq!(of(Some(host), None), host != "::1", "{host}");
        }
        for host in [
            "example.org",
            "localhost.example.org",
            "127.0.0.1.example.org:80",
            "rebind:8080",
            "",
            "a@localhost@b",
            "localhost:80:80",
            "0x7f.1",
        ] {
            assert!(!of(Some(host), None), "{host}");
        }
        let here = Some("localhost:8080");
        assert!(of(None, None));
        assert!(of(here, Some("http://localhost:8080")));
        for origin in [
            "null",
            "http://localhost:3000",
            "http://example.org",
            "http://localhost",
            "http://localhost:8080.example.org",
            "",
        ] {
            assert!(!of(here, Some(origin)), "{origin}");
        }
        let mut twice = HeaderMap::new();
        twice.append(header::HOST, "localhost".parse().expect("a value"));
        twice.append(header::HOST, "example.org".parse().expect("a value"));
        assert!(check(&twice, &Uri::from_static("/graphs")).is_err());
        let absolute = Uri::from_static("http://example.org/graphs");
        assert!(check(&HeaderMap::new(), &absolute).is_err());
    }
}
