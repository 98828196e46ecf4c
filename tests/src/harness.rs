//! A server in this process, on a free port, in a folder of its own, with a token for every kind
//! of principal that matters. It stops when it is dropped.
//!
//! ```ignore
//! let server = Harness::start();
//! server.create_graph("people", PEOPLE);
//! let answer = server.post(Who::Reader, "/graphs/people/query", &json!({"query": "..."}));
//! assert_eq!(answer.status, 200);
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::HeaderMap;
use reqwest::{Method, blocking};
use serde_json::{Value, json};
use server::{Running, ServeOptions};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::listing::{self, Listing};

/// The tenant of everyone who may reach the graphs that [`Harness::create_graph`] makes.
pub(crate) const TENANT: &str = "acme";

/// Two people who know each other would be enough for most tests.
pub(crate) const PEOPLE: &str = "\
node Person { email: String @key, name: String @index, born: Date?, age: I64? }
edge Knows: Person -> Person { since: Date? }
";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// No credential at all.
    Nobody,
    /// A credential that the server does not know.
    Stranger,
    /// May read the graphs of [`TENANT`].
    Reader,
    /// May also write to them.
    Writer,
    /// May also manage them.
    GraphAdmin,
    /// May do everything.
    ServerAdmin,
    /// A writer of another tenant.
    OtherTenant,
}

impl Who {
    /// Everyone.
    pub(crate) const ALL: [Self; 7] = [
        Self::Nobody,
        Self::Stranger,
        Self::Reader,
        Self::Writer,
        Self::GraphAdmin,
        Self::ServerAdmin,
        Self::OtherTenant,
    ];

    /// Name, groups and tenant in the tokens file, for those who are in it.
    fn entry(self) -> Option<(&'static str, &'static [&'static str], &'static str)> {
        match self {
            Self::Nobody | Self::Stranger => None,
            Self::Reader => Some(("reader", &["readers"], TENANT)),
            Self::Writer => Some(("writer", &["writers"], TENANT)),
            Self::GraphAdmin => Some(("graph-admin", &["graph-admins"], TENANT)),
            Self::ServerAdmin => Some(("server-admin", &["admins"], TENANT)),
            Self::OtherTenant => Some(("other-tenant", &["writers"], "rival")),
        }
    }

    /// What is sent as a bearer token.
    pub(crate) fn token(self) -> Option<String> {
        match (self, self.entry()) {
            (Self::Nobody, _) => None,
            (_, Some((name, ..))) => Some(format!("token-of-{name}")),
            (_, None) => Some("token-of-nobody-known".to_owned()),
        }
    }
}

/// What a server is started with.
pub(crate) struct Setup {
    /// The config file, exactly.
    pub(crate) config: String,
    /// The server's Cedar policy.
    pub(crate) policy: String,
    /// Whether everybody may do everything.
    pub(crate) unauthenticated: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: CONFIG.to_owned(),
            policy: fs::read_to_string(repository().join("policies/server.cedar"))
                .expect("the example policy"),
            unauthenticated: false,
        }
    }
}

/// With comments and blank lines, so that tests of what the server writes see whether they stay.
const CONFIG: &str = "\
# The operator's own words.
version: 1
server:
  bind: 127.0.0.1:0
  storage: ../data            # graphs without a uri

  allow_roots: [../data, ../policies]
  policy: { file: ../policies/server.cedar }
auth:
  tokens_file: tokens.yaml

# Nothing yet.
graphs: {}
";

/// The folder of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent")
}

impl Setup {
    /// Writes everything into a fresh folder: `config/trellis.yaml`, `config/tokens.yaml`,
    /// `policies/server.cedar`, `data/`.
    pub(crate) fn write(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        fs::create_dir(folder.path().join("data")).expect("a folder");
        write("config/trellis.yaml", &self.config);
        write("config/tokens.yaml", &tokens_file());
        write("policies/server.cedar", &self.policy);
        folder
    }

    /// Starts a server in this process.
    pub(crate) fn start(&self) -> Harness {
        Harness::open(self.write(), self.unauthenticated)
    }
}

fn tokens_file() -> String {
    let mut text = String::new();
    for who in Who::ALL {
        if let (Some((name, groups, tenant)), Some(token)) = (who.entry(), who.token()) {
            let digest = hex::encode(Sha256::digest(token.as_bytes()));
            text += &format!(
                "{name}:\n  sha256: \"{digest}\"\n  groups: [{}]\n  tenant: {tenant}\n",
                groups.join(", ")
            );
        }
    }
    text
}

/// A running server.
pub(crate) struct Harness {
    runtime: Runtime,
    running: Option<Running>,
    address: String,
    http: Client,
    unauthenticated: bool,
    /// Deleted last.
    folder: TempDir,
}

impl Harness {
    /// With the example policy, and nothing in it.
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// On a folder that has everything already.
    pub(crate) fn open(folder: TempDir, unauthenticated: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let running = listen(&runtime, folder.path(), unauthenticated);
        let address = format!("http://{}", running.address());
        let http = blocking::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client");
        Self {
            runtime,
            running: Some(running),
            address,
            http,
            unauthenticated,
            folder,
        }
    }

    /// Stops it in an orderly way and starts another on the same folder.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let running = listen(&self.runtime, self.folder.path(), self.unauthenticated);
        self.address = format!("http://{}", running.address());
        self.running = Some(running);
    }

    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime
                .block_on(running.stop())
                .expect("an orderly end");
        }
    }

    /// The folder that holds `config/`, `policies/` and `data/`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything in it.
    pub(crate) fn listing(&self) -> Listing {
        listing::of(self.folder())
    }

    /// Asserts that nothing in it has changed.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, before: &Listing, since: &str) {
        let differences = listing::differences(before, &self.listing());
        assert!(differences.is_empty(), "{since}: {differences:#?}");
    }

    /// The config file.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.folder().join("config/trellis.yaml")
    }

    /// The config file as it is now.
    pub(crate) fn config(&self) -> String {
        fs::read_to_string(self.config_path()).expect("the config file")
    }

    /// A request as somebody, to be completed and sent.
    pub(crate) fn request(&self, who: Who, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.address));
        match who.token() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET.
    pub(crate) fn get(&self, who: Who, path: &str) -> Answer {
        Answer::of(self.request(who, Method::GET, path))
    }

    /// POST with JSON.
    pub(crate) fn post(&self, who: Who, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(who, Method::POST, path).json(body))
    }

    /// POST with NDJSON.
    pub(crate) fn load(&self, who: Who, graph: &str, mode: &str, lines: &str) -> Answer {
        let path = format!("/graphs/{graph}/load?mode={mode}");
        let request = self.request(who, Method::POST, &path);
        Answer::of(
            request
                .header("content-type", "application/x-ndjson")
                .body(lines.to_owned()),
        )
    }

    /// Creates a graph of [`TENANT`], which must succeed.
    pub(crate) fn create_graph(&self, id: &str, schema: &str) {
        let body = json!({"graph_id": id, "schema": {"source": schema}, "tenant": TENANT});
        let answer = self.post(Who::ServerAdmin, "/graphs", &body);
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// The rows of a query as the server admin, which must succeed; each row its values in order.
    pub(crate) fn rows(&self, graph: &str, query: &str) -> Vec<Vec<Value>> {
        let path = format!("/graphs/{graph}/query");
        let answer = self.post(Who::ServerAdmin, &path, &json!({"query": query}));
        assert_eq!(answer.status, 200, "{answer:?}");
        let columns = answer.body["columns"].as_array().expect("columns").clone();
        let names: Vec<_> = columns
            .iter()
            .filter_map(|column| column["name"].as_str())
            .collect();
        let rows = answer.body["rows"].as_array().expect("rows");
        rows.iter()
            .map(|row| names.iter().map(|name| row[name].clone()).collect())
            .collect()
    }
}

fn listen(runtime: &Runtime, folder: &Path, unauthenticated: bool) -> Running {
    let options = ServeOptions {
        bind: Some("127.0.0.1:0".to_owned()),
        unauthenticated,
        ..ServeOptions::new(folder.join("config/trellis.yaml"))
    };
    runtime
        .block_on(server::start(options))
        .unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

impl Drop for Harness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test has failed already; its message must stay the last word.
            drop(self.running.take());
        } else {
            self.stop();
        }
    }
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body as JSON; null when it is something else.
    pub(crate) body: Value,
    /// The body as text.
    pub(crate) text: String,
}

impl Answer {
    /// Sends a request and reads all of its answer.
    pub(crate) fn of(request: RequestBuilder) -> Self {
        let answer: Response = request.send().expect("an answer");
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let text = answer.text().expect("a body of text");
        let body = serde_json::from_str(&text).unwrap_or_default();
        Self {
            status,
            headers,
            body,
            text,
        }
    }

    /// The header, when it is there and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Asserts that it is this problem, told as the contract says.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{self:?}"
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.body["status"], status, "{self:?}");
        let id = self.body["request_id"].as_str();
        assert!(
            id.is_some_and(|id| Some(id) == self.header("x-request-id")),
            "{self:?}"
        );
    }
}
