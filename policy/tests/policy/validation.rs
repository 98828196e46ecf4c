//! What is wrong with a policy file, and where.

use std::fs;

use insta::assert_snapshot;
use policy::{MAX_POLICY_BYTES, PolicyDocument, PolicyError, PolicySource};

use crate::fixture::{document, example, policies};

fn parse(text: &str) -> Result<PolicyDocument, PolicyError> {
    PolicyDocument::parse(PolicySource {
        name: "a.cedar".to_owned(),
        text: text.to_owned(),
    })
}

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn what_is_not_cedar() {
    assert_snapshot!(error("permit (principal, action, resource)\n\nforbid (principal, action, resource);"), @r#"
policy file `a.cedar` is not Cedar:
a.cedar:3:8: unexpected token `(`: expected `{`
"#);
    assert_snapshot!(error("// one\npermit (principal, action, resource);\n  permitt (principal, action, resource);"), @r#"
policy file `a.cedar` is not Cedar:
a.cedar:3:3: invalid policy effect: permitt; effect must be either `permit` or `forbid`
"#);
    assert_snapshot!(error("permit (principal, action, resource) when { \"ö\" = 1 };"), @r#"
policy file `a.cedar` is not Cedar:
a.cedar:1:45: '=' is not a valid operator in Cedar; try using '==' instead
"#);
    assert_snapshot!(error("permit (user, action, resource);"), @r#"
policy file `a.cedar` is not Cedar:
a.cedar:1:9: found an invalid variable in the policy scope: user; policy scopes must contain a `principal`, `action`, and `resource` element in that order
"#);
}

#[test]
fn what_does_not_fit_the_schema() {
    assert_snapshot!(error("permit (\n  principal,\n  action == Action::\"quer\",\n  resource\n);"), @r#"
policy file `a.cedar` does not fit the schema of Trellis:
a.cedar:3:13: unrecognized action `Action::"quer"` (in a.cedar#1); did you mean `Action::"query"`?
"#);
    assert_snapshot!(error("@id(\"team\")\npermit (principal is Usr, action, resource);"), @r#"
policy file `a.cedar` does not fit the schema of Trellis:
a.cedar:2:22: unrecognized entity type `Usr` (in a.cedar#team); did you mean `User`?
"#);
    assert_snapshot!(error("permit (principal, action, resource)\nwhen { principal.tenant == \"acme\" };"), @r#"
policy file `a.cedar` does not fit the schema of Trellis:
a.cedar:2:8: unable to guarantee safety of access to optional attribute `tenant` on entity type `Service`, and 1 more of the kind here (in a.cedar#1); try testing for the attribute's presence with `e has tenant && ..`
"#);
    assert_snapshot!(error("permit (principal, action, resource)\nwhen { principal.getTag(\"team\").values.contains(\"x\") };"), @r#"
policy file `a.cedar` does not fit the schema of Trellis:
a.cedar:2:8: unable to guarantee safety of access to tag `"team"` on entity type `Service`, and 1 more of the kind here (in a.cedar#1); try testing for the tag's presence with `.hasTag("team") && ..`
"#);
    assert_snapshot!(error("permit (principal, action, resource)\nwhen { context.time > 5 };"), @r#"
policy file `a.cedar` does not fit the schema of Trellis:
a.cedar:2:8: unexpected type: expected Long but saw datetime (in a.cedar#1)
"#);
    assert_snapshot!(error("permit (principal, action == Action::\"graph_show\", resource)\nwhen { Graph::\"alpha\" has tenant };"), @r#"
policy file `a.cedar` does not fit the schema of Trellis:
a.cedar:2:8: entity literals cannot be dereferenced at any level (in a.cedar#1)
"#);
}

#[test]
fn every_problem_is_found_at_once_in_the_order_of_the_file() {
    assert_snapshot!(
        error(
            "@id(\"one\") permit (principal, action, resource) when { context.drafts };\n\
             @id(\"one\") permit (principal, action, resource);\n\
             permit (principal == ?principal, action, resource);\n\
             permit (principal, action == Action::\"load\", resource) when { resource.size > 3 };"
        ),
        @r#"
policy file `a.cedar` does not fit the schema of Trellis:
a.cedar:1:56: attribute `drafts` in context for Action::"audit_read" not found, and 23 more of the kind here (in a.cedar#one); did you mean `draft`?
a.cedar:2:1: another policy of this file, at 1:1, has the id `one` too (in a.cedar#one)
a.cedar:3:1: this is a template (it has `?principal` or `?resource`), which nothing here would fill; write a policy for a group instead
a.cedar:4:63: attribute `size` on entity type `Graph` not found (in a.cedar#4); did you mean `tenant`?
"#
    );
}

#[test]
fn the_summary_quotes_nothing() {
    let error = parse("permit (principal, action, resource)\nwhen { principal.tops3cret };")
        .expect_err("unknown");
    assert!(error.to_string().contains("tops3cret"));
    assert_snapshot!(error.summary(), @r#"the policy file does not fit the schema of Trellis; problems at line:column 2:8"#);
    let error = parse("tops3cret: 3").expect_err("not Cedar");
    assert!(!error.summary().contains("tops3cret"));
}

#[test]
fn warnings_are_apart() {
    let warned = |text: &str| {
        parse(text)
            .expect("valid")
            .warnings()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(warned("permit (principal, action, resource);"), "");
    assert_snapshot!(warned(""), @r#"1:1: there is no policy in this file, so nothing is permitted by it"#);
    assert_snapshot!(warned("permit (principal, action, resource);\npermit (principal, action == Action::\"graph_list\", resource is Graph);"), @r#"2:1: policy is impossible: the policy expression evaluates to false for all valid requests, and 1 more of the kind here (in a.cedar#2)"#);
}

#[test]
fn ids_come_from_the_annotation_or_the_place_in_the_file() {
    let mut text = String::from("@id(\"first\") permit (principal, action, resource);\n");
    text.push_str(&"permit (principal, action, resource);\n".repeat(11));
    let document = document("dir/a.cedar", &text);
    let ids = document.policy_ids();
    assert_eq!(
        (
            ids.len(),
            ids[0].as_str(),
            ids[1].as_str(),
            ids[11].as_str()
        ),
        (12, "dir/a.cedar#first", "dir/a.cedar#2", "dir/a.cedar#12")
    );
}

#[test]
fn a_file_has_a_size_limit() {
    let text = "// filler\n".repeat(MAX_POLICY_BYTES / 10 + 1);
    let error = parse(&text).expect_err("too large");
    assert_eq!(
        error.to_string(),
        format!(
            "policy file `a.cedar` has {} bytes; at most 1048576 are allowed",
            text.len()
        )
    );
}

#[test]
fn every_file_in_the_folder_is_valid_without_a_warning_and_every_policy_named() {
    let mut files = 0;
    for entry in fs::read_dir(policies()).expect("the folder of the policies") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_none_or(|extension| extension != "cedar")
        {
            continue;
        }
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a plain name")
            .to_owned();
        let document = example(&name);
        assert_eq!(document.warnings(), [], "{name}");
        for id in document.policy_ids() {
            let (_, label) = id.rsplit_once('#').expect("name#id");
            assert!(label.parse::<usize>().is_err(), "{id} needs an @id");
        }
        files += 1;
    }
    assert_eq!(files, 5);
}

/// Cedar alone overflows the stack on these, which no handler can catch.
#[test]
fn depth_and_length_are_refused_or_read_but_never_a_crash() {
    let shapes = [
        ("(", "true", ")"),
        ("[", "1", "]"),
        ("!(", "true", ")"),
        ("{a: ", "1", "}"),
        ("true && (", "true", ")"),
        ("if true then (", "true", ") else 2"),
        ("if (", "true", ") then true else false"),
        ("if context.draft then 1 else (", "2", ")"),
        ("context.draft || (", "true", ")"),
        ("context.draft && (", "true", ") || context.draft"),
        ("!(principal has tenant && ", "true", ")"),
        ("true && ", "true", ""),
        ("1 + ", "1", ""),
        ("if true then true else ", "true", ""),
        ("", "principal", ".a"),
        ("", "principal", "[\"a\"]"),
        ("", "principal.a", "(1)"),
        ("-", "1", ""),
        ("1 * ", "1", ""),
        ("principal in ", "principal", ""),
    ];
    for (open, inner, close) in shapes {
        for depth in [12, 20, 31, 150, 300, 490, 1_000, 20_000] {
            let condition = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            let parsed = parse(&format!(
                "permit (principal, action, resource) when {{ {condition} == 1 }};"
            ));
            let refused = matches!(parsed, Err(PolicyError::TooComplex { .. }));
            assert!(
                refused || depth < 20_000 || parsed.is_err(),
                "{open} {depth}"
            );
        }
    }
    // All limits nearly reached at once.
    let chain = "true && ".repeat(440);
    let ifs = "if true then true else ".repeat(12);
    let condition = format!("{}{chain}({ifs}true){}", "(".repeat(29), ")".repeat(29));
    let text = format!("permit (principal, action, resource) when {{ {condition} }};");
    if let Err(error) = parse(&text) {
        panic!("{error}");
    }
}
