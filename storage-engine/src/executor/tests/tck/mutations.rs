//! The kit's queries, broken: whatever a text has become, it is answered with rows or one of our errors,
//! without a panic, and within a second of the processor's time. That is measured in whatever profile the
//! tests are built in, mostly without optimisation, so it is stricter than a second of a server.
//! `TRELLIS_CASES` says how many (with `--long` 100,000); the seed is printed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use super::feature;
use super::world::{Failure, World};

/// The processor's time for one query: from its text to its last row, or to its error.
const PATIENCE: Duration = Duration::from_secs(1);
/// What each statement is given, of the clock's time.
const LIMIT: Duration = Duration::from_millis(500);

/// What this thread has had of the processor: a machine with other things to do hangs nobody.
fn computed() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds on the processor"))
}

/// SplitMix64: the same cases for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or_default()
    }
}

fn queries(paths: &[PathBuf]) -> Vec<String> {
    let texts = paths
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("a feature file"));
    let scenarios = texts.flat_map(|text| feature::read(&text));
    let steps = scenarios.flat_map(|scenario| scenario.steps);
    let mut queries: Vec<String> = steps.filter_map(|step| step.document).collect();
    queries.sort();
    queries.dedup();
    queries
}

/// Words, numbers and signs, with the spaces behind them.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut previous = ' ';
    for character in text.chars() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let same = (word(character) && word(previous)) || character.is_whitespace();
        match pieces.last_mut() {
            Some(last) if same => last.push(character),
            _ => pieces.push(character.to_string()),
        }
        previous = character;
    }
    pieces
}

fn broken(queries: &[String], random: &mut Random) -> String {
    let pick = |random: &mut Random| pieces(&queries[random.below(queries.len())]);
    let mut text = pick(random);
    for _ in 0..=random.below(3) {
        let other = pick(random);
        let at = random.below(text.len());
        match random.below(5) {
            0 if text.len() > 1 => {
                text.remove(at);
            }
            1 => text.insert(at, other[random.below(other.len())].clone()),
            2 => text[at].clone_from(&other[random.below(other.len())]),
            3 => {
                let with = random.below(text.len());
                text.swap(at, with);
            }
            _ => {
                text.truncate(at + 1);
                text.extend_from_slice(&other[random.below(other.len())..]);
            }
        }
    }
    text.concat()
}

#[test]
fn broken_queries_are_answered() {
    let root = super::folder();
    let mut paths = Vec::new();
    super::files(&root.join("features"), &mut paths);
    if paths.is_empty() {
        println!("skipped: there is no TCK in {}", root.display());
        return;
    }
    let queries = queries(&paths);
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let long = std::env::var_os("TRELLIS_LONG").is_some();
    let count = if long {
        100_000
    } else {
        number("TRELLIS_CASES").unwrap_or(1_500).min(1_500)
    };
    let seed = number("TRELLIS_SEED").unwrap_or(7);
    println!("{count} cases from the seed {seed} (TRELLIS_SEED)");
    let mut random = Random(seed);
    let mut world = World::new();
    let (mut refused, mut longest) = (0, Duration::ZERO);
    for case in 0..count {
        // A graph that only grows would make every statement slower.
        if case % 50 == 0 {
            world = World::new();
            let _made = world.run("CREATE (a:A {num: 1})-[:T]->(b:B {name: 'b'})-[:U]->(a)");
        }
        let text = broken(&queries, &mut random);
        let began = computed();
        let run = AssertUnwindSafe(|| world.run_within(&text, LIMIT));
        let Ok(answered) = catch_unwind(run) else {
            panic!("case {case} panics:\n{text}")
        };
        let taken = computed() - began;
        longest = longest.max(taken);
        assert!(taken < PATIENCE, "case {case} took {taken:?}:\n{text}");
        if let Err(failure) = answered {
            assert!(
                is_told(&failure, &text),
                "case {case} says nothing:\n{text}"
            );
            refused += 1;
        }
    }
    println!("{refused} were refused; the longest took {longest:?}");
    assert!((1..count).contains(&refused), "some are right, some wrong");
}

/// Whether an error says what is wrong, and where in the text that is.
fn is_told(failure: &Failure, text: &str) -> bool {
    match failure {
        Failure::Compile(findings) => {
            let lines = text.lines().count().max(1);
            let told = |it: &language::Diagnostic| {
                !it.message.is_empty() && (1..=lines + 1).contains(&it.line) && it.column > 0
            };
            !findings.is_empty() && findings.iter().all(told)
        }
        Failure::Execute(error) => !error.to_string().is_empty(),
    }
}
