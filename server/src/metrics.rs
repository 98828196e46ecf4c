//! What is counted, and its text for Prometheus.
//!
//! Labels come from closed sets: routes as they are mounted, methods that are known, status codes. No
//! graph, tenant or principal is a label, so that nobody's names make series.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds.
const BOUNDS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// Of a request: how it was sent and how it was answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    method: &'static str,
    status: u16,
}

/// Latencies of one kind of request.
#[derive(Default)]
struct Histogram {
    /// One per bound, and one for what is over the last.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// What the server has counted since it started.
#[derive(Default)]
pub(crate) struct Metrics {
    /// By route.
    requests: RwLock<BTreeMap<String, BTreeMap<Kind, Histogram>>>,
}

impl Metrics {
    /// A request was answered.
    pub(crate) fn answered(&self, route: &str, method: &str, status: u16, latency: Duration) {
        let kind = Kind {
            method: known(method),
            status,
        };
        {
            let requests = self.requests.read().unwrap_or_else(PoisonError::into_inner);
            let known = requests.get(route).and_then(|kinds| kinds.get(&kind));
            if let Some(histogram) = known {
                return histogram.add(latency);
            }
        }
        let mut requests = self
            .requests
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let kinds = requests.entry(route.to_owned()).or_default();
        kinds.entry(kind).or_default().add(latency);
    }

    /// The text for Prometheus of what was counted here.
    pub(crate) fn write(&self, out: &mut String) {
        const NAME: &str = "trellis_http_request_duration_seconds";
        heading(out, NAME, "histogram", "How long requests took, by route.");
        let requests = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        for (route, kinds) in requests.iter() {
            for (kind, histogram) in kinds {
                let Kind { method, status } = kind;
                let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
                histogram.write(NAME, &labels, out);
            }
        }
    }
}

impl Histogram {
    fn add(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn write(&self, name: &str, labels: &str, out: &mut String) {
        let mut count = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            let bound = BOUNDS.get(index).map_or_else(
                || "+Inf".to_owned(),
                |bound| (*bound as f64 / 1e6).to_string(),
            );
            line(
                out,
                &format!("{name}_bucket"),
                &format!("{labels},le=\"{bound}\""),
                count,
            );
        }
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        line(out, &format!("{name}_sum"), labels, seconds);
        line(out, &format!("{name}_count"), labels, count);
    }
}

/// What precedes the lines of a metric.
pub(crate) fn heading(out: &mut String, name: &str, kind: &str, help: &str) {
    // Infallible: the target is a String.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One line; `labels` without their braces.
pub(crate) fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    // Infallible: the target is a String.
    let _ = match labels {
        "" => writeln!(out, "{name} {value}"),
        labels => writeln!(out, "{name}{{{labels}}} {value}"),
    };
}

/// A method as a label: anybody may invent one.
fn known(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_in_buckets() {
        let metrics = Metrics::default();
        for (method, micros) in [("GET", 100), ("GET", 101), ("BREW", 60_000_000)] {
            metrics.answered("/graphs", method, 200, Duration::from_micros(micros));
        }
        let mut text = String::new();
        metrics.write(&mut text);
        for expected in [
            "duration_seconds_bucket{route=\"/graphs\",method=\"GET\",status=\"200\",le=\"0.0001\"} 1\n",
            "duration_seconds_bucket{route=\"/graphs\",method=\"GET\",status=\"200\",le=\"0.00025\"} 2\n",
            "duration_seconds_count{route=\"/graphs\",method=\"GET\",status=\"200\"} 2\n",
            "duration_seconds_sum{route=\"/graphs\",method=\"GET\",status=\"200\"} 0.000201\n",
            "method=\"other\",status=\"200\",le=\"30\"} 0\n",
            "method=\"other\",status=\"200\",le=\"+Inf\"} 1\n",
        ] {
            assert!(text.contains(expected), "{expected}{text}");
        }
    }
}
