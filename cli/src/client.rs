//! One HTTP client for all commands: address, credential, and what an answer that is not a success
//! becomes.
//!
//! Bodies stream both ways: a load is read from its file while it is sent, an export is written
//! while it arrives.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use api_types::Problem;
use clap::Args;
use reqwest::blocking::{self, Body, RequestBuilder, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::input;
use crate::problem::Refusal;

/// Where a server listens when nothing else is said.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
/// How long to wait for a connection. An answer may take as long as it takes: the server has limits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is read of an answer that is not a success.
const MAX_PROBLEM_BYTES: u64 = 1 << 20;

/// Which server, and as whom. A token is never given on the command line, where every user of the
/// machine could read it.
#[derive(Args)]
pub(crate) struct Connection {
    /// Address of the server [env: TRELLIS_SERVER] [default: http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL", help_heading = "Connection")]
    server: Option<String>,
    /// File that holds the token and nothing else [env: TRELLIS_TOKEN holds the token itself]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    token_file: Option<PathBuf>,
}

/// A server, ready to be asked.
pub(crate) struct Client {
    http: blocking::Client,
    server: Url,
}

/// The variable, when it is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

impl Connection {
    fn address(&self) -> Result<Url, Failure> {
        let text = self
            .server
            .clone()
            .or_else(|| variable("TRELLIS_SERVER"))
            .unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let wrong =
            |why: &str| Failure::Usage(format!("`{text}` is not the address of a server: {why}"));
        let scheme = text.trim().split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("http" | "https")) {
            return Err(wrong("it must begin with http:// or https://"));
        }
        let url = Url::parse(text.trim()).map_err(|error| wrong(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::Usage(
                "the address must not hold a password; put a token into a file and name it with --token-file"
                    .to_owned(),
            ));
        }
        Ok(url)
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.token_file else {
            return Ok(variable("TRELLIS_TOKEN").map(|token| token.trim().to_owned()));
        };
        let token = input::read(path)?.trim().to_owned();
        if token.is_empty() {
            return Err(Failure::Usage(format!("{} holds no token", path.display())));
        }
        Ok(Some(token))
    }
}

impl Client {
    /// A client for what the command line and the environment say.
    pub(crate) fn new(connection: &Connection) -> Result<Self, Failure> {
        let server = connection.address()?;
        let mut headers = HeaderMap::new();
        if let Some(token) = connection.token()? {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                Failure::Usage("the token has characters that cannot stand in a header".to_owned())
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = blocking::Client::builder()
            .user_agent(concat!("trellis/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(None);
        if is_loopback(&server) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|source| Failure::Unreachable {
            server: server.to_string(),
            source,
        })?;
        Ok(Self { http, server })
    }

    /// Asks for a JSON answer.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        parameters: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let request = self
            .request(Method::GET, path, parameters)?
            .header(ACCEPT, JSON);
        self.json(self.send(request)?)
    }

    /// Asks for an answer in another media type, to be read while it arrives.
    pub(crate) fn get_stream(
        &self,
        path: &[&str],
        parameters: &[(&str, &str)],
        accept: &'static str,
    ) -> Result<Response, Failure> {
        self.send(
            self.request(Method::GET, path, parameters)?
                .header(ACCEPT, accept),
        )
    }

    /// Sends JSON, and reads JSON.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let request = self
            .request(Method::POST, path, &[])?
            .header(ACCEPT, JSON)
            .json(body);
        self.json(self.send(request)?)
    }

    /// Sends JSON, for an answer in another media type, to be read while it arrives.
    pub(crate) fn post_for_stream(
        &self,
        path: &[&str],
        body: &impl Serialize,
        accept: &'static str,
    ) -> Result<Response, Failure> {
        let request = self.request(Method::POST, path, &[])?;
        self.send(request.header(ACCEPT, accept).json(body))
    }

    /// As [`Self::post`], with another method, on the version that is named, if one is.
    pub(crate) fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        if_match: Option<&str>,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let mut request = self.request(method, path, &[])?.header(ACCEPT, JSON);
        if let Some(version) = if_match {
            request = request.header(IF_MATCH, format!("\"{}\"", version.trim_matches('"')));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.json(self.send(request)?)
    }

    /// Sends a body while it is read, and reads JSON.
    pub(crate) fn post_stream<T: DeserializeOwned>(
        &self,
        path: &[&str],
        parameters: &[(&str, &str)],
        content_type: &'static str,
        body: impl Read + Send + 'static,
    ) -> Result<T, Failure> {
        let request = self
            .request(Method::POST, path, parameters)?
            .header(ACCEPT, JSON)
            .header(CONTENT_TYPE, content_type)
            .body(Body::new(body));
        self.json(self.send(request)?)
    }

    /// The failure of an answer that broke off: what the server said of it in the end, if it did.
    pub(crate) fn broken_answer(&self, source: io::Error, end: &[u8]) -> Failure {
        let lines = end.trim_ascii_end().rsplit(|byte| *byte == b'\n');
        let last = lines.map(serde_json::from_slice).next();
        match last {
            Some(Ok(Broken { error: problem })) => Failure::Refused(Box::new(Refusal::Problem {
                problem,
                text: None,
            })),
            _ => Failure::BrokenOff {
                server: self.server.to_string(),
                source,
            },
        }
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[(&str, &str)],
    ) -> Result<RequestBuilder, Failure> {
        Ok(self
            .http
            .request(method, address(&self.server, path, parameters)?))
    }

    fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let answer = request.send().map_err(|source| Failure::Unreachable {
            server: self.server.to_string(),
            source,
        })?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(refused(answer))
        }
    }

    fn json<T: DeserializeOwned>(&self, mut answer: Response) -> Result<T, Failure> {
        let mut body = Vec::new();
        if let Err(source) = answer.read_to_end(&mut body) {
            return Err(self.broken_answer(source, &body));
        }
        serde_json::from_slice(&body).map_err(|source| Failure::Answer {
            server: self.server.to_string(),
            source: source.into(),
        })
    }
}

const JSON: &str = "application/json";

/// An answer that broke off, with the reason.
#[derive(Deserialize)]
struct Broken {
    error: Problem,
}

/// The address of `path` below `server`, each segment escaped.
fn address(server: &Url, path: &[&str], parameters: &[(&str, &str)]) -> Result<Url, Failure> {
    if let Some(segment) = path
        .iter()
        .find(|segment| matches!(**segment, "" | "." | ".."))
    {
        return Err(Failure::Usage(format!(
            "`{segment}` cannot be the id of a graph"
        )));
    }
    let mut url = server.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| Failure::Usage(format!("`{server}` is not the address of a server")))?
        .pop_if_empty()
        .extend(path);
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(parameters);
    }
    Ok(url)
}

fn is_loopback(server: &Url) -> bool {
    let host = server.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// What the server said in place of an answer.
fn refused(answer: Response) -> Failure {
    let status = answer.status();
    let mut body = Vec::new();
    // What cannot be read is not there: the status alone says that it failed.
    let _cut_short = answer.take(MAX_PROBLEM_BYTES).read_to_end(&mut body);
    Failure::Refused(Box::new(match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Refusal::Problem {
            problem,
            text: None,
        },
        Err(_) => Refusal::Other {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a constant address")
    }

    #[test]
    fn paths_and_parameters_are_escaped() {
        let at = |server, path: &[&str], parameters: &[(&str, &str)]| {
            address(&url(server), path, parameters)
                .map(|url| url.to_string())
                .ok()
        };
        let cases = [
            (
                at("http://h:1", &["graphs"], &[]),
                Some("http://h:1/graphs"),
            ),
            (
                at("http://h:1/base/", &["graphs", "a"], &[]),
                Some("http://h:1/base/graphs/a"),
            ),
            (
                at("http://h:1?x=1#y", &["graphs", "a/b c"], &[]),
                Some("http://h:1/graphs/a%2Fb%20c"),
            ),
            (
                at("http://h:1", &["g"], &[("type", "A&B")]),
                Some("http://h:1/g?type=A%26B"),
            ),
            (at("http://h:1", &["graphs", ".."], &[]), None),
            (at("http://h:1", &["graphs", ""], &[]), None),
        ];
        for (found, expected) in cases {
            assert_eq!(found.as_deref(), expected);
        }
    }

    #[test]
    fn only_loopback_skips_the_proxy() {
        for server in [
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:80",
        ] {
            assert!(is_loopback(&url(server)), "{server}");
        }
        for server in ["http://10.0.0.1", "https://localhost.example.org"] {
            assert!(!is_loopback(&url(server)), "{server}");
        }
    }

    #[test]
    fn an_address_must_be_one_and_hold_no_password() {
        let check = |server: &str| {
            Connection {
                server: Some(server.to_owned()),
                token_file: None,
            }
            .address()
            .is_ok()
        };
        assert!(check("http://127.0.0.1:8080") && check("https://graphs.example.org/trellis"));
        for wrong in ["127.0.0.1:8080", "ftp://h", "http://me:secret@h", "h"] {
            assert!(!check(wrong), "{wrong}");
        }
    }
}
