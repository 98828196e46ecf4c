//! From what is presented to a principal.

use std::collections::BTreeSet;

use policy::{AttributeValue, Groups, PrincipalKind, TokenError, TokenFile, Tokens, new_token};

/// SHA-256 of `secret-a` and of `secret-b`, from `sha256sum`.
const A: &str = "8766b9cb08e6040b704f1e3ee1e186efccf2635b1d2634d6525333007e6aeae1";
const B: &str = "ff492ef788c89b555e6f738b33d2422f57dbb6656af2402155672c5f123a90af";

fn file(text: &str) -> TokenFile {
    serde_json::from_str(&text.replace("$A", A).replace("$B", B)).expect("a tokens file")
}

fn groups(text: &str) -> Groups {
    serde_json::from_str(text).expect("groups")
}

#[test]
fn an_entry_becomes_a_principal_with_the_groups_of_both_files() {
    let file = file(
        r#"{
            "alice": {"sha256": "$A", "groups": ["staff"], "tenant": "acme",
                      "attributes": {"level": 3, "team": "sales", "on_call": true, "areas": ["x", "y"]}},
            "indexer": {"sha256": "$B", "kind": "service", "scopes": ["read"]}
        }"#,
    );
    let groups = groups(r#"{"admins": ["alice"], "bots": ["indexer"], "others": ["carol"]}"#);
    let tokens = Tokens::from_file(file, &groups).expect("valid");

    let alice = tokens.authenticate("secret-a").expect("alice");
    assert_eq!(
        (alice.id.as_str(), alice.kind),
        ("alice", PrincipalKind::User)
    );
    assert_eq!(
        alice.groups,
        BTreeSet::from(["admins".to_owned(), "staff".to_owned()])
    );
    assert_eq!(alice.tenant.as_deref(), Some("acme"));
    assert_eq!(alice.attributes["level"], AttributeValue::Number(3));
    assert_eq!(
        alice.attributes["team"],
        AttributeValue::Text("sales".to_owned())
    );
    assert_eq!(alice.attributes["on_call"], AttributeValue::Flag(true));
    assert_eq!(
        alice.attributes["areas"],
        AttributeValue::List(vec!["x".to_owned(), "y".to_owned()])
    );
    assert_eq!(alice.scopes, None);

    let indexer = tokens.authenticate("secret-b").expect("the indexer");
    assert_eq!(
        (indexer.id.as_str(), indexer.kind),
        ("indexer", PrincipalKind::Service)
    );
    assert_eq!(indexer.groups, BTreeSet::from(["bots".to_owned()]));
    assert_eq!(indexer.scopes.as_deref(), Some(&["read".to_owned()][..]));

    for wrong in ["", "secret-c", "secret-a ", "SECRET-A", A] {
        assert!(tokens.authenticate(wrong).is_none(), "{wrong:?}");
    }
}

#[test]
fn plain_tokens_and_the_file_go_together() {
    let groups = groups(r#"{"admins": ["bob"]}"#);
    let plain = Tokens::from_plain_json(r#"{"bob": "secret-b"}"#, &groups).expect("valid");
    let tokens = Tokens::from_file(file(r#"{"alice": {"sha256": "$A"}}"#), &groups)
        .expect("valid")
        .merge(plain)
        .expect("different");
    assert_eq!(tokens.authenticate("secret-a").expect("alice").id, "alice");
    let bob = tokens.authenticate("secret-b").expect("bob");
    assert_eq!(
        (bob.id.as_str(), bob.groups.contains("admins")),
        ("bob", true)
    );
    assert!(Tokens::default().authenticate("").is_none());
}

#[test]
fn what_is_wrong_is_named_and_no_secret_is() {
    let cases = [
        (
            r#"{"alice": {"sha256": "abc"}}"#,
            "the `sha256` of principal `alice` must be the SHA-256 of its token as 64 hexadecimal digits; this has 3 characters",
        ),
        (
            r#"{"alice": {"sha256": "trl_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}"#,
            "the `sha256` of principal `alice` must be the SHA-256 of its token as 64 hexadecimal digits; this has 64 characters, not all of them hexadecimal digits",
        ),
        (
            r#"{"alice": {"sha256": "$A"}, "bob": {"sha256": "$A"}}"#,
            "principals `alice` and `bob` have the same token",
        ),
        (
            r#"{"": {"sha256": "$A"}}"#,
            "`` cannot name a principal: 1 to 256 bytes without control characters",
        ),
        (
            r#"{"a\nb": {"sha256": "$A"}}"#,
            "`a\\nb` cannot name a principal: 1 to 256 bytes without control characters",
        ),
        (
            r#"{" ": {"sha256": "$A"}}"#,
            "` ` cannot name a principal: 1 to 256 bytes without control characters",
        ),
        // The digest of nothing: a header without a token would do.
        (
            r#"{"alice": {"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}"#,
            "the token of principal `alice` is empty or has blanks or other than printable ASCII characters",
        ),
        (
            r#"{"alice": {"sha256": "$A", "scopes": []}}"#,
            "the token of principal `alice` is limited to no scope at all: leave `scopes` out, or name some",
        ),
        (
            r#"{"anonymous": {"sha256": "$A"}}"#,
            "the principal `anonymous` is reserved for a server without authentication, and may have no token",
        ),
    ];
    for (text, expected) in cases {
        let errors = Tokens::from_file(file(text), &Groups::default()).expect_err(text);
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told, [expected]);
    }
}

#[test]
fn every_wrong_entry_is_told() {
    let text = r#"{"a": {"sha256": "1"}, "b": {"sha256": "$A"}, "c": {"sha256": "$A"}, "": {"sha256": "$B"}}"#;
    let errors = Tokens::from_file(file(text), &Groups::default()).expect_err(text);
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn a_tokens_file_of_another_form_is_refused() {
    let cases = [
        (
            r#"{"alice": {"sha256": "$A", "group": ["x"]}}"#,
            "unknown field `group`, expected one of `sha256`, `kind`, `groups`, `tenant`, `attributes`, `scopes`",
        ),
        (r#"{"alice": {}}"#, "missing field `sha256`"),
        (
            r#"{"alice": {"sha256": "$A", "kind": "robot"}}"#,
            "unknown variant `robot`, expected `user` or `service`",
        ),
        (
            r#"{"alice": {"sha256": "$A", "attributes": {"level": 1.5}}}"#,
            "expected a text, a whole number, true or false, or a list of texts",
        ),
        (
            r#"{"alice": {"sha256": "$A", "attributes": {"level": 9223372036854775808}}}"#,
            "9223372036854775808 does not fit a 64-bit signed number",
        ),
        (
            r#"{"alice": {"sha256": "$A"}, "alice": {"sha256": "$B"}}"#,
            "principal `alice` has two entries",
        ),
        ("[]", "expected a map with one entry for each principal"),
    ];
    for (text, expected) in cases {
        let error = serde_json::from_str::<TokenFile>(text)
            .expect_err(text)
            .to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn one_principal_in_both_places_is_an_error_that_names_both() {
    let from_file = Tokens::from_file(file(r#"{"alice": {"sha256": "$A"}}"#), &Groups::default())
        .expect("valid");
    for (plain, expected) in [
        (
            r#"{"alice": "secret-b"}"#,
            "principal `alice` has a token in the tokens file and another in TRELLIS_TOKENS_JSON",
        ),
        (
            r#"{"bob": "secret-a"}"#,
            "principals `alice` and `bob` have the same token",
        ),
    ] {
        let plain = Tokens::from_plain_json(plain, &Groups::default()).expect("valid");
        assert_eq!(
            from_file
                .clone()
                .merge(plain)
                .expect_err("twice")
                .to_string(),
            expected
        );
    }
}

#[test]
fn errors_about_plain_tokens_quote_none() {
    for text in [
        r#""tops3cret""#,
        r#"{"alice": "tops3cret", "alice": "tops3cret"}"#,
        r#"{"alice": tops3cret}"#,
        r#"{"alice": ["tops3cret"]}"#,
        r#"{"alice": "tops3cret""#,
        r#"{"alice": "tops3cret "}"#,
        r#"{"alice": "tops3cré"}"#,
    ] {
        let error = Tokens::from_plain_json(text, &Groups::default()).expect_err(text);
        assert!(
            !format!("{error} {error:?}").contains("tops3c"),
            "{error:?}"
        );
    }
}

#[test]
fn nothing_prints_a_secret() {
    let file = file(r#"{"alice": {"sha256": "$A"}}"#);
    let entry = file.0["alice"].clone();
    let printed = format!(
        "{file:?} {entry:?} {:?}",
        Tokens::from_file(file.clone(), &Groups::default())
    );
    assert!(printed.contains("alice"));
    assert!(!printed.contains(&A[..8]), "{printed}");
    assert!(!printed.to_lowercase().contains("digest"), "{printed}");
}

#[test]
fn a_new_token_is_random_and_its_digest_opens_the_door() {
    let (token, sha256) = new_token().expect("random bytes");
    let (other, _) = new_token().expect("random bytes");
    assert_ne!(token, other);
    assert!(
        token.starts_with("trl_") && token.len() == 4 + 64,
        "{token}"
    );
    let tokens = Tokens::from_file(
        file(&format!(
            r#"{{"alice": {{"sha256": "{}"}}}}"#,
            sha256.to_uppercase()
        )),
        &Groups::default(),
    )
    .expect("valid");
    assert!(tokens.authenticate(&token).is_some());
    assert!(tokens.authenticate(&other).is_none());
}

#[test]
fn each_of_many_tokens_stands_for_its_own_principal() {
    let plain = (0..5_000).map(|index| (format!("p{index}"), format!("token-{index}")));
    let tokens = Tokens::from_plain(plain, &Groups::default()).expect("sound");
    for index in 0..5_000 {
        let found = tokens.authenticate(&format!("token-{index}"));
        assert_eq!(found.expect("known").id, format!("p{index}"));
    }
    for unknown in ["token-5000", "", "token-", "p1"] {
        assert!(tokens.authenticate(unknown).is_none(), "{unknown}");
    }
    let again = [("other".to_owned(), "token-4999".to_owned())];
    let again = Tokens::from_plain(again, &Groups::default()).expect("sound");
    let error = tokens.merge(again).expect_err("one token for two");
    assert_eq!(
        error,
        TokenError::DuplicateToken {
            first: "p4999".to_owned(),
            second: "other".to_owned(),
        }
    );
}
