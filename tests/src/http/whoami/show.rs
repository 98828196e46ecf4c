//! `GET /whoami`.

use serde_json::json;

use crate::harness::{Harness, Setup, Who};

#[test]
fn it_tells_the_principal_and_a_bad_token_is_never_anonymous() {
    let server = Harness::start();
    let answer = server.get(Who::Writer, "/whoami");
    assert_eq!(answer.body["principal"], "writer", "{answer:?}");
    assert_eq!(answer.body["kind"], "user");
    assert_eq!(answer.body["groups"], json!(["writers"]));
    for who in [Who::Nobody, Who::Stranger] {
        server
            .get(who, "/whoami")
            .assert_problem(401, "unauthenticated");
    }
}

#[test]
fn an_open_server_takes_everybody_for_anonymous() {
    let server = Setup {
        unauthenticated: true,
        ..Setup::default()
    }
    .start();
    let answer = server.get(Who::Nobody, "/whoami");
    assert_eq!(
        (&answer.body["principal"], &answer.body["kind"]),
        (&json!("anonymous"), &json!("anonymous"))
    );
}
