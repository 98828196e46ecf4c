//! Who may do what, and what the others see.

use axum::http::{StatusCode, header};
use serde_json::json;

use super::{Site, check_problem};

#[tokio::test]
async fn a_hidden_graph_and_none_are_the_same() {
    let site = Site::new();
    assert_eq!(
        site.create("hidden", "closed").await.status,
        StatusCode::CREATED
    );
    let query = json!({"query": "MATCH (p:Person) RETURN p"});
    for (route, body) in [
        ("GET /graphs/{}", None),
        ("GET /graphs/{}/schema", None),
        ("GET /graphs/{}/export", None),
        ("POST /graphs/{}/query", Some(query.clone())),
        ("POST /graphs/{}/mutate", Some(query.clone())),
        (
            "POST /graphs/{}/query",
            Some(json!({"query": "x", "branch": "y"})),
        ),
    ] {
        let of = async |name| {
            let answer = site
                .send("reader", &route.replace("{}", name), body.clone())
                .await;
            check_problem(&answer, 404, "graph_not_found");
            let id = answer.body["request_id"].as_str().expect("an id");
            answer.body.to_string().replace(id, "").replace(name, "")
        };
        assert_eq!(of("hidden").await, of("absent").await, "{route}");
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
