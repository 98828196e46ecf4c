//! Who may do what, and what the others see.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::json;

use super::{Answer, Site, check_problem};

/// Everything that an answer says, without the id of the request and the name that was asked for.
fn said(answer: &Answer, name: &str) -> String {
    let id = answer.headers["x-request-id"].to_str().expect("text");
    let all = format!("{} {:?} {}", answer.status, answer.headers, answer.body);
    let decoded = name.replace("%69", "i").replace("%62", "b");
    all.replace(id, "").replace(name, "").replace(&decoded, "")
}

#[tokio::test]
async fn a_hidden_graph_and_none_are_the_same() {
    let site = Site::new();
    assert_eq!(
        site.create("hidden", "closed").await.status,
        StatusCode::CREATED
    );
    let query = json!({"query": "MATCH (p:Person) RETURN p"});
    let wrong = json!({"query": "x", "branch": "y"});
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for rest in [
            "", "/", "/schema", "/export", "/query", "/mutate", "/load", "/nothing",
        ] {
            for body in [None, Some(query.clone()), Some(wrong.clone())] {
                let of = async |name: &str| {
                    let route = format!("{method} /graphs/{name}{rest}");
                    let answer = site.send("reader", &route, body.clone()).await;
                    assert!(answer.status.is_client_error(), "{route}");
                    if method != "HEAD" {
                        let code = answer.body["code"].as_str().expect("a code");
                        check_problem(&answer, answer.status.as_u16(), code);
                    }
                    said(&answer, name)
                };
                for (hidden, absent) in [("hidden", "absent"), ("h%69dden", "a%62sent")] {
                    let (hidden, absent) = (of(hidden).await, of(absent).await);
                    assert_eq!(hidden, absent, "{method} {rest}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_path_names_a_graph_in_any_case_and_encoding() {
    let site = Site::new();
    assert_eq!(
        site.create("Alpha", "open").await.status,
        StatusCode::CREATED
    );
    for name in ["Alpha", "ALPHA", "alpha", "%41lph%61"] {
        let shown = site
            .send("reader", &format!("GET /graphs/{name}"), None)
            .await;
        assert_eq!(shown.body["graph_id"], "Alpha", "{name}: {}", shown.body);
    }
    for name in [
        "alpha%00",
        "%ff",
        "alpha%2Fschema",
        "..",
        "admin",
        "alpha%20",
        &"a".repeat(5000),
    ] {
        let shown = site
            .send("reader", &format!("GET /graphs/{name}"), None)
            .await;
        check_problem(&shown, 404, "graph_not_found");
    }
}

/// Who makes graphs learns neither which others there are nor what lies outside the roots.
#[tokio::test]
async fn the_refusal_of_a_create_names_nothing_of_others() {
    let site = Site::new();
    let outside = tempfile::tempdir().expect("a folder");
    std::fs::write(outside.path().join("file"), "secret").expect("written");
    assert_eq!(
        site.create("Hidden", "closed").await.status,
        StatusCode::CREATED
    );
    let ask = async |body: serde_json::Value| {
        let mut body = body;
        body["schema"] = json!({"source": super::SCHEMA});
        site.send("maker", "POST /graphs", Some(body)).await
    };
    for (body, status, code) in [
        (json!({"graph_id": "hidden"}), 409, "graph_exists"),
        (
            json!({"graph_id": "b", "uri": "data/Hidden"}),
            409,
            "uri_in_use",
        ),
        (
            json!({"graph_id": "b", "uri": "data/Hidden/log"}),
            409,
            "uri_in_use",
        ),
        (
            json!({"graph_id": "b", "uri": "data/Hidden/graph.json/x"}),
            400,
            "invalid_uri",
        ),
    ] {
        let answer = ask(body.clone()).await;
        check_problem(&answer, status, code);
        let detail = answer.body["detail"].as_str().expect("text");
        let told = detail.replace(body["uri"].as_str().unwrap_or("-"), "");
        assert!(!told.contains("Hidden"), "{detail}");
        assert!(
            !told.contains(site.folder.path().to_str().expect("UTF-8")),
            "{detail}"
        );
    }
    let path = |name: &str| outside.path().join(name).display().to_string();
    let mut seen = std::collections::BTreeSet::new();
    for name in ["file", "file/x", "absent", "absent/x", ""] {
        let asked = path(name);
        for body in [
            json!({"graph_id": "b", "uri": asked}),
            json!({"graph_id": "b", "policy": {"file": asked}}),
        ] {
            let answer = ask(body).await;
            check_problem(&answer, 400, "invalid_uri");
            let detail = answer.body["detail"].as_str().expect("text");
            seen.insert(detail.replace(&asked, "").replace("the policy file ", ""));
        }
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test]
async fn readiness_counts_what_may_be_seen() {
    let site = Site::new();
    for (graph_id, tenant) in [("a", "open"), ("b", "closed"), ("c", "closed")] {
        assert_eq!(
            site.create(graph_id, tenant).await.status,
            StatusCode::CREATED
        );
    }
    for (who, count) in [("reader", 1), ("nobody", 0), ("root", 3)] {
        let ready = site.send(who, "GET /readyz", None).await;
        assert_eq!(ready.body["graphs"]["registered"], count, "{who}");
    }
}

#[tokio::test]
async fn every_form_of_credential_is_one_or_refused() {
    let site = Site::new();
    let of = async |values: &[&str]| {
        let mut request = Request::get("/whoami");
        for value in values {
            request = request.header(header::AUTHORIZATION, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        super::answer(&site.router, request).await
    };
    for fine in [
        "Bearer root",
        "bearer root",
        "BEARER   root",
        "Bearer root ",
    ] {
        assert_eq!(of(&[fine]).await.body["principal"], "root", "{fine}");
    }
    let long = format!("Bearer {}", "a".repeat(100_000));
    for wrong in [
        &[][..],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["root"],
        &["Basic cm9vdA=="],
        &["Bearer root root"],
        &["Bearer ROOT"],
        &["Bearer\troot"],
        &["Bearer root", "Bearer root"],
        &["Bearer root", "Basic x"],
        &["Bearer root, Bearer root"],
        &[&long],
    ] {
        let answer = of(wrong).await;
        check_problem(&answer, 401, "unauthenticated");
        let challenge = &answer.headers[header::WWW_AUTHENTICATE];
        assert!(challenge.to_str().expect("text").starts_with("Bearer"));
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_is_told_with_those_that_are() {
    let site = Site::new();
    for (route, allow) in [
        ("DELETE /graphs", "GET,HEAD,POST"),
        ("OPTIONS /graphs", "GET,HEAD,POST"),
        ("GET /graphs/x/query", "POST"),
        ("HEAD /graphs/x/query", "POST"),
        ("POST /graphs/x", "DELETE,GET,HEAD,PATCH"),
    ] {
        let answer = site.send("reader", route, None).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{route}");
        let mut allowed: Vec<_> = answer.headers[header::ALLOW]
            .to_str()
            .expect("text")
            .split(',')
            .map(str::trim)
            .collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{route}");
    }
}

#[tokio::test]
async fn credentials_and_policy_decide() {
    let site = Site::new();
    assert_eq!(
        site.create("alpha", "open").await.status,
        StatusCode::CREATED
    );
    let missing = site.send("", "GET /graphs", None).await;
    check_problem(&missing, 401, "unauthenticated");
    assert!(
        missing.headers[header::WWW_AUTHENTICATE]
            .to_str()
            .expect("text")
            .starts_with("Bearer")
    );
    check_problem(
        &site.send("guessed", "GET /graphs", None).await,
        401,
        "unauthenticated",
    );
    check_problem(
        &site.send("guessed", "GET /readyz", None).await,
        401,
        "unauthenticated",
    );
    let ready = site.send("", "GET /readyz", None).await;
    assert_eq!(ready.body, json!({"ready": true}));
    let forbidden = site.send("nobody", "GET /graphs", None).await;
    check_problem(&forbidden, 403, "forbidden");
    assert!(forbidden.body["decision_id"].is_string());
    let write = json!({"query": "CREATE (:Person {email: 'x'})"});
    let forbidden = site
        .send("reader", "POST /graphs/alpha/mutate", Some(write))
        .await;
    check_problem(&forbidden, 403, "forbidden");
    let whoami = site.send("reader", "GET /whoami", None).await;
    assert_eq!(whoami.body["principal"], "reader");
}

#[tokio::test]
async fn lists_hold_what_may_be_seen_a_page_at_a_time() {
    let site = Site::new();
    for (graph_id, tenant) in [("c", "open"), ("a", "open"), ("b", "closed"), ("d", "open")] {
        assert_eq!(
            site.create(graph_id, tenant).await.status,
            StatusCode::CREATED
        );
    }
    let mut seen = Vec::new();
    let mut path = "GET /graphs?limit=2".to_owned();
    loop {
        let page = site.send("reader", &path, None).await;
        let graphs = page.body["graphs"].as_array().expect("graphs");
        seen.extend(
            graphs
                .iter()
                .map(|graph| graph["graph_id"].as_str().expect("an id").to_owned()),
        );
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        assert_eq!(graphs.len(), 2);
        path = format!("GET /graphs?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["a", "c", "d"]);
    let of_tenant = site.send("root", "GET /graphs?tenant=closed", None).await;
    assert_eq!(of_tenant.body["graphs"][0]["graph_id"], "b");
    for bad in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=%20",
        "unknown=1",
    ] {
        let answer = site
            .send("reader", &format!("GET /graphs?{bad}"), None)
            .await;
        check_problem(&answer, 400, "invalid_request");
    }
}
