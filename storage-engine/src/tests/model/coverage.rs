//! What the lives had in them, so that a test that tries little is noticed.

use std::collections::BTreeMap;
use std::sync::Mutex;

static NOTED: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Something happened in a life.
pub(super) fn note(what: impl Into<String>) {
    let mut noted = NOTED.lock().expect("sound");
    *noted.entry(what.into()).or_default() += 1;
}

/// What hundred lives have for certain.
const USUAL: [&str; 22] = [
    "write",
    "repeated",
    "write unknown",
    "load Append",
    "load Merge",
    "load Overwrite",
    "load refused",
    "fold",
    "during a fold",
    "fold failed",
    "load Lines",
    "load Parquet",
    "load Csv",
    "load Arrow",
    "collected",
    "close",
    "evicted",
    "write failed",
    "past",
    "past gone",
    "follow",
    "power cut",
];

/// Tells what there was, and misses what there must be in so many lives.
pub(super) fn tell(lives: u64) {
    let noted = NOTED.lock().expect("sound");
    println!("{lives} lives: {noted:?}");
    let missing: Vec<_> = USUAL
        .iter()
        .filter(|it| !noted.contains_key(**it))
        .collect();
    assert!(lives < 100 || missing.is_empty(), "no life had {missing:?}");
}
