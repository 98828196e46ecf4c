//! What was measured: shown as it is found, kept for the JSON, compared with its bar at the end.

use serde_json::{Map, Value as Json, json};

use crate::statistics::Samples;

/// How a figure is held against its bar.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// Shown without a judgement.
    None,
}

/// One line of the table.
#[derive(Clone, Debug)]
struct Figure {
    what: String,
    measured: String,
    against: String,
    /// What the bar is about: a ratio, or a number with the unit in `what`.
    value: f64,
    bar: Bar,
}

impl Figure {
    fn verdict(&self) -> &'static str {
        match self.bar {
            Bar::AtMost(bar) if self.value <= bar => "reached",
            Bar::AtLeast(bar) if self.value >= bar => "reached",
            Bar::AtMost(_) | Bar::AtLeast(_) => "missed",
            Bar::None => "",
        }
    }

    fn bar(&self) -> String {
        match self.bar {
            Bar::AtMost(bar) => format!("<= {bar}"),
            Bar::AtLeast(bar) => format!(">= {bar}"),
            Bar::None => String::new(),
        }
    }
}

/// Everything that one run found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    skipped: Vec<(String, String)>,
    raw: Map<String, Json>,
}

impl Report {
    /// A figure: what was measured, what it is held against, and the value that the bar is about.
    pub(crate) fn figure(
        &mut self,
        what: &str,
        measured: impl Into<String>,
        against: impl Into<String>,
        value: f64,
        bar: Bar,
    ) {
        let figure = Figure {
            what: what.to_owned(),
            measured: measured.into(),
            against: against.into(),
            value,
            bar,
        };
        eprintln!(
            "  {what}: {} against {}: {} {} {}",
            figure.measured,
            figure.against,
            number(value),
            figure.bar(),
            figure.verdict()
        );
        self.figures.push(figure);
    }

    /// Something that could not be measured, and why.
    pub(crate) fn skip(&mut self, what: &str, why: impl std::fmt::Display) {
        eprintln!("  {what}: skipped: {why}");
        self.skipped.push((what.to_owned(), why.to_string()));
    }

    /// Samples as they are.
    pub(crate) fn samples(&mut self, name: &str, samples: &Samples) {
        self.raw(name, samples.to_json());
    }

    /// Anything as it is.
    pub(crate) fn raw(&mut self, name: &str, value: Json) {
        self.raw.insert(name.to_owned(), value);
    }

    /// What each request took of the server.
    pub(crate) fn usage(&mut self, what: &str, each: Json) {
        let number = |name: &str| each[name].as_f64().unwrap_or(f64::NAN);
        let running = number("running_us");
        let shown = format!(
            "{running:.0} us on a core, {:.0} us ready but waiting for one",
            number("waiting_for_a_core_us")
        );
        let against = format!("{:.1} times on a core", number("times_on_a_core"));
        let name = format!("{what}: the server's threads, us");
        self.figure(&name, shown, against, running, Bar::None);
        self.raw(&format!("usage: {what}"), each);
    }

    /// The table, as Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| what | measured | against | value | bar | |\n| --- | --- | --- | --- | --- | --- |\n",
        );
        for figure in &self.figures {
            text += &format!(
                "| {} | {} | {} | {} | {} | {} |\n",
                figure.what,
                figure.measured,
                figure.against,
                number(figure.value),
                figure.bar(),
                figure.verdict()
            );
        }
        for (what, why) in &self.skipped {
            text += &format!("| {what} | skipped: {why} | | | | |\n");
        }
        text
    }

    /// Everything, with where it was measured.
    pub(crate) fn json(&self, machine: &Json) -> Json {
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|figure| {
                json!({"what": figure.what, "measured": figure.measured, "against": figure.against,
                       "value": figure.value, "bar": figure.bar(), "verdict": figure.verdict()})
            })
            .collect();
        let skipped: Vec<_> = self
            .skipped
            .iter()
            .map(|(what, why)| json!({"what": what, "why": why}))
            .collect();
        json!({"machine": machine, "figures": figures, "skipped": skipped, "raw": self.raw})
    }
}

/// With as many digits as say something.
fn number(value: f64) -> String {
    if value.is_nan() {
        "-".to_owned()
    } else if value.abs() < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// A time, from milliseconds.
pub(crate) fn ms(value: f64) -> String {
    match value {
        value if value < 0.1 => format!("{:.2} us", value * 1e3),
        value if value < 10.0 => format!("{value:.3} ms"),
        value if value < 1e3 => format!("{value:.1} ms"),
        value => format!("{:.2} s", value / 1e3),
    }
}
