//! Whatever the text, there is a plan or a diagnostic: never a panic, never a stack that overflows.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::schema;
use crate::cypher::{compile, limits};
use crate::diagnostic::Code;
use crate::schema::Schema;

/// Longest time that the mutated queries may take in the default run.
const BUDGET: Duration = Duration::from_secs(4);

/// Compiles and checks what must hold of every answer.
fn compiles_or_explains(query: &str) {
    let schema = schema();
    match compile(query, &schema) {
        Ok(plan) => {
            assert!(
                plan.columns.iter().all(|column| column.slot.0 < plan.slots),
                "{query}"
            );
            assert!(!plan.describe(&schema).is_empty(), "{query}");
            super::audit::audit(&plan, &schema, query);
        }
        Err(findings) => {
            assert!(!findings.is_empty(), "an error without a finding: {query}");
            let lines = query.matches('\n').count() + 1;
            for finding in findings {
                assert!(
                    (1..=lines).contains(&finding.line),
                    "{finding} is outside of {query}"
                );
                assert!(
                    finding.column >= 1 && !finding.message.is_empty(),
                    "{finding}: {query}"
                );
            }
        }
    }
}

fn code(query: &str) -> Option<Code> {
    compile(query, &schema())
        .err()
        .map(|findings| findings[0].code)
}

#[test]
fn text_that_is_too_long_is_refused_unread() {
    let query = format!("RETURN '{}'", "x".repeat(limits::MAX_TEXT_BYTES));
    assert_eq!(code(&query), Some(Code::TextTooLong));
    let query = format!("RETURN [1{}]", ",1".repeat(limits::MAX_TOKENS / 2));
    assert_eq!(code(&query), Some(Code::TextTooLong));
}

#[test]
fn depth_is_refused_however_it_is_made() {
    let deep = 9_000;
    let nests = [
        format!("RETURN {}1{}", "(".repeat(deep), ")".repeat(deep)),
        format!("RETURN {}", "[".repeat(deep)),
        format!("RETURN {}1", "NOT ".repeat(deep)),
        format!("RETURN {}1", "- ".repeat(deep)),
        format!("RETURN 1{}", " + 1".repeat(deep)),
        format!("RETURN 1{}", " < 1".repeat(deep)),
        format!("RETURN a{}", ".b".repeat(deep)),
        format!("RETURN a{}", "[0]".repeat(deep)),
        format!("RETURN true{}", " OR true".repeat(deep)),
        format!("RETURN {}1", "CASE WHEN 1, ".repeat(deep / 2)),
        format!("MATCH (n:{}A) RETURN n", "!".repeat(deep)),
        format!("MATCH (n:A{}) RETURN n", "|A".repeat(deep)),
        format!(
            "RETURN {}1{}",
            "(".repeat(190),
            ")+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1".repeat(190)
        ),
        format!(
            "RETURN {}1{}",
            "CASE ".repeat(130),
            " WHEN 1 THEN 1 WHEN 2 THEN 2 END".repeat(130)
        ),
        format!(
            "RETURN {}true{}",
            "(true < ".repeat(60),
            " < true)".repeat(60)
        ),
    ];
    for query in nests {
        assert_eq!(code(&query), Some(Code::NestingTooDeep), "{:.60}", query);
    }
}

/// Types in a ring, each related to the next, so that narrowing a walk removes one type at a time.
fn ring(types: usize) -> Schema {
    let mut text = String::new();
    for number in 0..types {
        let next = (number + 1) % types;
        text += &format!(
            "node N{number} {{ id: I64 @key, p: I64? }}\nedge E{number}: N{number} -> N{next}\n"
        );
    }
    Schema::parse(&text).expect("a valid schema")
}

#[test]
fn a_small_text_on_a_large_schema_is_compiled_or_refused_soon() {
    let schema = ring(3_000);
    let texts = [
        format!("MATCH (a:N0){} RETURN 1", "-->()".repeat(190)),
        format!("MATCH {}(a:N0) RETURN 1", "()-->".repeat(190)),
        format!("MATCH {}() RETURN 1", "()--".repeat(240)),
        format!("MATCH (a:N0){} RETURN 1", "-[*]->()".repeat(110)),
        format!("MATCH (a:N0){} RETURN 1", "-[*2..9]-()".repeat(80)),
        format!("MATCH (n) RETURN [n.p{}] AS x", ", n.p".repeat(190)),
        format!("MATCH (n:!N0{}) RETURN 1", "&!N1".repeat(200)),
        format!("MATCH {}() RETURN 1", "({p: 1})--".repeat(90)),
    ];
    for text in texts {
        assert!(text.len() <= 1 << 10, "{}", text.len());
        let begun = Instant::now();
        let outcome = compile(&text, &schema);
        let took = begun.elapsed();
        println!(
            "{:?} {:.40} {:?}",
            took,
            text,
            outcome.as_ref().err().map(|found| found[0].code)
        );
        if let Err(findings) = outcome {
            let refused = [Code::TextTooLong, Code::NestingTooDeep];
            assert!(refused.contains(&findings[0].code), "{}", findings[0]);
        }
        // Without optimisation, and beside compilers; some 0.2 s otherwise.
        assert!(took < Duration::from_secs(15), "{took:?}: {:.40}", text);
    }
    // What people write compiles whatever the schema.
    for fine in [
        "MATCH (a:N0)-->(b)-->(c)<--(d), (e)-[:E7|E8]->(f) WHERE b.p = f.p RETURN a, d.p",
        "MATCH (a:N0)-[*]->(b:N2999) RETURN count(*) AS n",
        "MATCH (a)-[*1..3]-(b) WHERE a.p = 1 RETURN count(b) AS n",
    ] {
        compile(fine, &schema).expect("it compiles");
    }
}

#[test]
fn copies_of_copies_are_refused() {
    let cases = format!(
        "RETURN {}1{}",
        "CASE ".repeat(40),
        " WHEN 1 THEN 1 WHEN 2 THEN 1 END".repeat(40)
    );
    assert_eq!(code(&cases), Some(Code::NestingTooDeep));
}

#[test]
fn depth_below_the_limits_is_accepted() {
    let nested = limits::MAX_EXPRESSION_DEPTH - 3;
    let fine = [
        format!("RETURN {}1{}", "(".repeat(nested), ")".repeat(nested)),
        format!("RETURN {}true", "NOT ".repeat(nested)),
        format!("RETURN 1{}", " + 1".repeat(nested)),
        format!(
            "MATCH (n:Person) WHERE n.age = 0{} RETURN n",
            " OR n.age = 1".repeat(1_000)
        ),
        "CREATE (:Note {text: 'a'})\n".repeat(1_500),
        format!("RETURN [0{}]", ", 1 + 1".repeat(3_000)),
        format!("RETURN '{}', `x` // {}", "(".repeat(900), "(".repeat(900)).replace(", `x`", ""),
    ];
    for query in fine {
        assert_eq!(code(&query), None, "{:.60}", query);
    }
}

/// The queries of the technology compatibility kit: what stands between triple quotes.
fn kit() -> Option<Vec<String>> {
    let named = std::env::var("TCK_DIR").ok().map(PathBuf::from);
    let beside = [
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/tck"),
        "/root/wt/shared/tck".into(),
    ];
    let folder = named
        .into_iter()
        .chain(beside)
        .find(|folder| folder.is_dir())?;
    let mut queries = Vec::new();
    collect(&folder, &mut queries);
    Some(queries)
}

fn collect(folder: &Path, queries: &mut Vec<String>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, queries);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "feature")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            queries.extend(text.split("\"\"\"").skip(1).step_by(2).map(str::to_owned));
        }
    }
}

#[test]
fn the_compatibility_kit_compiles_or_is_explained() {
    let Some(queries) = kit() else {
        eprintln!("skipped: no folder with the TCK; set TCK_DIR");
        return;
    };
    assert!(
        queries.len() > 1_000,
        "only {} queries were found",
        queries.len()
    );
    queries.iter().for_each(|query| compiles_or_explains(query));
}

#[test]
fn mutated_queries_compile_or_are_explained() {
    let mut queries: Vec<String> = super::QUERIES
        .iter()
        .map(|query| (*query).to_owned())
        .collect();
    queries.extend(kit().unwrap_or_default());
    let seed = std::env::var("TRELLIS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(7);
    println!("TRELLIS_SEED={seed}");
    let mut random = Random(seed);
    let begun = Instant::now();
    while begun.elapsed() < BUDGET {
        let query = random.mutated(&queries);
        compiles_or_explains(&query);
    }
}

/// A small generator of numbers (xorshift), so that a seed gives the same queries everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// A query with a few words dropped, doubled, swapped or taken from another one.
    fn mutated(&mut self, queries: &[String]) -> String {
        let mut words = words(&queries[self.below(queries.len())]);
        let other = words_of(queries, self);
        for _ in 0..=self.below(3) {
            if words.is_empty() {
                break;
            }
            let at = self.below(words.len());
            match self.below(5) {
                0 => drop(words.remove(at)),
                1 => words.insert(at, words[at].clone()),
                2 => {
                    let with = self.below(words.len());
                    words.swap(at, with);
                }
                3 => words[at] = other[self.below(other.len())].clone(),
                _ => words.insert(at, other[self.below(other.len())].clone()),
            }
        }
        words.concat()
    }
}

fn words_of(queries: &[String], random: &mut Random) -> Vec<String> {
    let words = words(&queries[random.below(queries.len())]);
    if words.is_empty() {
        vec!["ñ".to_owned()]
    } else {
        words
    }
}

fn words(query: &str) -> Vec<String> {
    let lexed = open_cypher::lex(query);
    lexed
        .tokens
        .iter()
        .filter_map(|token| token.text(query))
        .map(str::to_owned)
        .collect()
}

/// Each is parsed in a text of its own, as long as what stands before it.
#[test]
fn bare_subqueries_far_down_a_long_text_are_bounded() {
    let blanks = " ".repeat(200 << 10);
    let of = |many: usize| format!("RETURN {blanks}{}", vec!["EXISTS{()}"; many].join(" OR "));
    assert!(compile(&of(20), &schema()).is_ok());
    let findings = compile(&of(500), &schema()).expect_err("too many");
    assert!(
        findings
            .iter()
            .all(|finding| finding.code == Code::TextTooLong),
        "{findings:?}"
    );
}
