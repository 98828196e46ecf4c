//! A server of one graph: the same routes, flat, and nothing of many graphs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use server::{ServeOptions, start};
use tokio::runtime::Runtime;

use crate::harness::{Answer, Harness, PEOPLE, Setup, Who};

struct Single {
    runtime: Runtime,
    running: Option<server::Running>,
    http: Client,
}

impl Single {
    fn start(options: ServeOptions) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let options = ServeOptions {
            bind: Some("127.0.0.1:0".to_owned()),
            ..options
        };
        let running = runtime.block_on(start(options)).expect("starts");
        let http = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");
        Self {
            runtime,
            running: Some(running),
            http,
        }
    }

    /// The graph `people` alone, with the config that has it.
    fn of_config(config: &Path) -> Self {
        Self::start(ServeOptions {
            graph: Some("../data/people".to_owned()),
            ..ServeOptions::new(config)
        })
    }

    fn path(&self, path: &str) -> String {
        let running = self.running.as_ref().expect("it runs");
        format!("http://{}{path}", running.address())
    }

    fn get(&self, path: &str) -> Response {
        self.http.get(self.path(path)).send().expect("an answer")
    }

    fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.http.post(self.path(path)).json(body);
        request
            .bearer_auth(Who::Writer.token().expect("a token"))
            .send()
            .expect("an answer")
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop()).expect("stops");
        }
    }
}

/// A folder with a graph in `data/people`, which nobody serves any more.
fn with_a_graph() -> tempfile::TempDir {
    let setup = Setup::default();
    let folder = setup.write();
    let config = folder.path().join("config/trellis.yaml");
    let runtime = Runtime::new().expect("a runtime");
    let options = ServeOptions {
        bind: Some("127.0.0.1:0".to_owned()),
        ..ServeOptions::new(config)
    };
    let running = runtime.block_on(start(options)).expect("starts");
    let body = json!({"graph_id": "people", "schema": {"source": PEOPLE}, "tenant": "acme"});
    let created = Client::new()
        .post(format!("http://{}/graphs", running.address()))
        .bearer_auth(Who::ServerAdmin.token().expect("a token"))
        .json(&body)
        .send()
        .expect("an answer");
    assert_eq!(created.status(), 201);
    runtime.block_on(running.stop()).expect("stops");
    folder
}

#[test]
fn its_routes_are_flat_and_there_are_no_others() {
    let folder = with_a_graph();
    let graph = folder.path().join("data/people").display().to_string();
    let options = ServeOptions {
        unauthenticated: true,
        ..ServeOptions::single(graph)
    };
    let server = Single::start(options);
    let create = json!({"query": "CREATE (:Person {email: 'a', name: 'Ada'})"});
    let post = |path: &str, body: &Value| {
        server
            .http
            .post(server.path(path))
            .json(body)
            .send()
            .expect("an answer")
    };
    assert_eq!(post("/mutate", &create).status(), 200);
    let count = json!({"query": "MATCH (p:Person) RETURN p.name AS name"});
    let answer: Value = post("/query", &count).json().expect("JSON");
    assert_eq!(answer["rows"], json!([{"name": "Ada"}]));
    assert_eq!(server.get("/schema").status(), 200);
    assert!(server.get("/export").text().expect("text").contains("Ada"));
    for path in [
        "/graphs/people/query",
        "/graphs/people",
        "/admin/config/drift",
        "/",
    ] {
        assert_eq!(server.get(path).status(), 404, "{path}");
    }
    let listed = server.get("/graphs");
    let allow = listed.headers().get("allow");
    let allow = allow.map(|allow| allow.to_str().expect("text").to_owned());
    assert_eq!(
        (listed.status().as_u16(), allow.as_deref()),
        (405, Some(""))
    );
    let problem: Value = post("/graphs", &json!({})).json().expect("JSON");
    assert_eq!(problem["code"], "method_not_allowed");
    let problem: Value = post("/graphs/people/query", &count).json().expect("JSON");
    assert_eq!(problem["code"], "not_found");
    let told = problem["detail"].as_str().expect("text");
    assert!(told.contains("/query, not /graphs/"), "{told}");
    // There is no config file that could be another one.
    let ready: Value = server.get("/readyz").json().expect("JSON");
    assert!(
        ready["ready"] == true && ready.get("config").is_none(),
        "{ready}"
    );
    // The command line has a name for the one graph.
    let ask = |graph: &str| {
        let mut command = crate::program::command();
        command.env("TRELLIS_SERVER", server.path(""));
        let query = "MATCH (p:Person) RETURN p.name AS name";
        let asked = command.args(["query", graph, query]).output();
        asked.expect("it runs")
    };
    let (found, refused) = (ask("."), ask("people"));
    assert!(found.status.success(), "{found:?}");
    assert!(String::from_utf8_lossy(&found.stdout).contains("Ada"));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("its name is `.`"),
        "{told}"
    );
    let document: Value = server.get("/openapi.json").json().expect("JSON");
    assert!(document["paths"]["/query"].is_object());
    assert!(document["components"].get("securitySchemes").is_none());
    // Nothing was written beside the graph.
    assert!(!folder.path().join("data/.trellis").exists());
}

#[test]
fn the_other_sections_of_a_config_file_hold() {
    let folder = with_a_graph();
    let config = folder.path().join("config/trellis.yaml");
    let server = Single::of_config(&config);
    let query = json!({"query": "RETURN 1 AS one"});
    assert_eq!(server.get("/schema").status(), 401);
    // The file says whose the graph is.
    assert_eq!(server.post("/query", &query).status(), 200);
    let stranger = server
        .http
        .post(server.path("/query"))
        .bearer_auth(Who::OtherTenant.token().expect("a token"))
        .json(&query)
        .send();
    assert_eq!(stranger.expect("an answer").status(), 404);
}

/// The entry's own policy, tenant and labels are found by the place, however it is written.
#[test]
fn an_entry_holds_however_its_place_is_written() {
    let folder = with_a_graph();
    let config = folder.path().join("config/trellis.yaml");
    let own = "@id(\"closed\") forbid (principal == User::\"reader\", action, resource);";
    fs::write(folder.path().join("policies/own.cedar"), own).expect("written");
    let text = fs::read_to_string(&config).expect("read")
        + "    policy: { file: ../policies/own.cedar }\n";
    fs::write(&config, text).expect("written");
    std::os::unix::fs::symlink("../data", folder.path().join("config/link")).expect("linked");
    let place = folder.path().join("data/people").display().to_string();
    for spelling in [
        "../data/people".to_owned(),
        "./../data/x/../people/".to_owned(),
        "link/people".to_owned(),
        format!("file://{place}"),
        place,
    ] {
        let options = ServeOptions {
            graph: Some(spelling.clone()),
            ..ServeOptions::new(&config)
        };
        let server = Single::start(options);
        let status = |who: Who| {
            let query = json!({"query": "RETURN 1 AS one"});
            let request = server.http.post(server.path("/query")).json(&query);
            let token = who.token().expect("a token");
            let answer = request.bearer_auth(token).send().expect("an answer");
            answer.status().as_u16()
        };
        for (who, expected) in [
            (Who::Writer, 200),
            (Who::Reader, 404),
            (Who::OtherTenant, 404),
        ] {
            assert_eq!(status(who), expected, "{spelling} {who:?}");
        }
    }
}

fn refused(config: &Path, graph: &str) -> String {
    let options = ServeOptions {
        bind: Some("127.0.0.1:0".to_owned()),
        graph: Some(graph.to_owned()),
        ..ServeOptions::new(config)
    };
    let runtime = Runtime::new().expect("a runtime");
    let error = runtime.block_on(start(options)).expect_err("refused");
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

#[test]
fn a_place_inside_or_around_another_graph_is_refused() {
    let folder = with_a_graph();
    let config = folder.path().join("config/trellis.yaml");
    let inside = folder.path().join("data/people/tables/x");
    fs::create_dir_all(&inside).expect("made");
    for (place, relation) in [("../data/people/tables/x", "inside"), ("../data", "around")] {
        let mark = folder.path().join("config").join(place).join("graph.json");
        fs::copy(folder.path().join("data/people/graph.json"), mark).expect("copied");
        let told = refused(&config, place);
        assert!(
            told.contains("graphs.people.uri")
                && told.contains(&format!("lies {relation} this graph's folder")),
            "{told}"
        );
    }
    let told = refused(&config, ".");
    assert!(told.contains("it is the config file's folder"), "{told}");
}

/// What was deleted stays deleted and can be restored, whatever a server of one graph is pointed at.
#[test]
fn a_deleted_graph_is_not_served_and_its_record_stays() {
    let folder = with_a_graph();
    let config = folder.path().join("config/trellis.yaml");
    let server = Harness::open(folder, false);
    let path = "/graphs/people";
    let gone = Answer::of(server.request(Who::ServerAdmin, Method::DELETE, path));
    assert_eq!(gone.status, 200, "{gone:?}");
    let data = server.folder().join("data");
    let before = server.listing();
    let told = refused(&config, "../data/people");
    assert!(told.contains("trellis graph restore people"), "{told}");
    server.assert_unchanged(&before, "a refused start");
    // Nor from where somebody has moved it.
    fs::rename(data.join("people"), data.join("moved")).expect("moved");
    let told = refused(&config, "../data/moved");
    assert!(told.contains("trellis graph restore people"), "{told}");
    fs::rename(data.join("moved"), data.join("people")).expect("moved");
    let restored = server.post(Who::ServerAdmin, "/graphs/people/restore", &json!({}));
    assert_eq!(restored.status, 200, "{restored:?}");
}

/// A server of one graph that knows it by another id is kept out as well.
#[test]
fn a_graph_that_is_deleted_meanwhile_takes_no_more_commits() {
    let folder = with_a_graph();
    let config = folder.path().join("config/trellis.yaml");
    let declared = fs::read_to_string(&config).expect("read");
    let (begin, _) = declared.split_once("  people:").expect("an entry");
    let undeclared = begin.replace("graphs:\n", "graphs: {}\n");
    fs::write(&config, undeclared).expect("written");
    let options = ServeOptions {
        graph: Some("../data/people".to_owned()),
        unauthenticated: true,
        ..ServeOptions::new(&config)
    };
    let single = Single::start(options);
    let create = |email: &str| {
        let query = format!("CREATE (:Person {{email: '{email}', name: 'x'}})");
        let request = single.http.post(single.path("/mutate"));
        let answer = request.json(&json!({"query": query})).send();
        answer.expect("an answer").status().as_u16()
    };
    assert_eq!(create("one"), 200);
    fs::write(&config, declared.replace("  people:", "  other:")).expect("written");
    let server = Harness::open(folder, false);
    let gone = Answer::of(server.request(Who::ServerAdmin, Method::DELETE, "/graphs/other"));
    assert_eq!(gone.status, 200, "{gone:?}");
    for _ in 0..20 {
        assert_eq!(create("two"), 503);
        std::thread::sleep(Duration::from_millis(50));
    }
    let restored = server.post(Who::ServerAdmin, "/graphs/other/restore", &json!({}));
    assert_eq!(restored.status, 200, "{restored:?}");
    let rows = server.rows("other", "MATCH (p:Person) RETURN p.email");
    assert_eq!(rows, [[json!("one")]]);
}

/// With a config file its other sections can be looked at and read again; without graphs of others being
/// touched.
#[test]
fn drift_is_told_and_a_reload_applies_it() {
    let folder = with_a_graph();
    let config = folder.path().join("config/trellis.yaml");
    let server = Single::of_config(&config);
    let get = |path: &str| -> Value {
        let request = server.http.get(server.path(path));
        let token = Who::ServerAdmin.token().expect("a token");
        let answer = request.bearer_auth(token).send().expect("an answer");
        answer.json().expect("JSON")
    };
    assert_eq!(get("/readyz")["config"]["drifted"], false);
    let document: Value = server.get("/openapi.json").json().expect("JSON");
    assert!(document["paths"]["/admin/config/drift"].is_object());
    let text = fs::read_to_string(&config).expect("read");
    fs::write(&config, text.replace("tenant: acme", "tenant: rival")).expect("written");
    let drift = get("/admin/config/drift");
    assert_eq!(
        drift["changes"][0]["path"], "graphs.people.tenant",
        "{drift}"
    );
    assert_eq!(get("/readyz")["config"]["drifted"], true);
    let query = json!({"query": "RETURN 1 AS one"});
    assert_eq!(server.post("/query", &query).status(), 200);
    let reload = server.http.post(server.path("/admin/config/reload"));
    let token = Who::ServerAdmin.token().expect("a token");
    let reloaded = reload.bearer_auth(token).json(&json!({})).send();
    assert_eq!(reloaded.expect("an answer").status(), 200);
    assert_eq!(
        server.post("/query", &query).status(),
        404,
        "it is another tenant's"
    );
}

#[test]
fn what_is_no_graph_is_refused_at_the_start() {
    let server = Harness::start();
    let runtime = Runtime::new().expect("a runtime");
    for path in ["data", "none"] {
        let path = server.folder().join(path).display().to_string();
        let options = ServeOptions {
            bind: Some("127.0.0.1:0".to_owned()),
            unauthenticated: true,
            ..ServeOptions::single(path)
        };
        let error = runtime.block_on(start(options)).expect_err("refused");
        assert!(format!("{error:?}").contains("NoGraph"), "{error:?}");
    }
}
