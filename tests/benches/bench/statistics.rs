//! Numbers out of samples.

use serde_json::{Value as Json, json};

/// Samples of one thing, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<u64>);

impl Samples {
    pub(crate) fn add(&mut self, nanos: u64) {
        self.0.push(nanos);
    }

    pub(crate) fn extend(&mut self, others: impl IntoIterator<Item = u64>) {
        self.0.extend(others);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The sample that so many of a hundred are not above, in milliseconds; NaN without samples.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(f64::NAN, |nanos| millis(*nanos))
    }

    pub(crate) fn p50(&self) -> f64 {
        self.percentile(50)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.percentile(99)
    }

    pub(crate) fn to_json(&self) -> Json {
        json!({"n": self.len(), "p50_ms": self.p50(), "p90_ms": self.percentile(90), "p99_ms": self.p99(), "max_ms": self.percentile(100)})
    }
}

/// The middle one; NaN without any.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a benchmark of months would lose a nanosecond"
)]
pub(crate) fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
