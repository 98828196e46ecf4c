//! `GET /healthz`.

use crate::harness::{Harness, Who};

#[test]
fn everybody_may_ask() {
    let server = Harness::start();
    for who in Who::ALL {
        let answer = server.get(who, "/healthz");
        assert_eq!(
            (answer.status, answer.body["status"].as_str()),
            (200, Some("ok")),
            "{who:?}"
        );
    }
}
