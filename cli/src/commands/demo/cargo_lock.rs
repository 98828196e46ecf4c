//! `trellis demo cargo-lock`: every crate a node, every dependency a relationship.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input;

/// Arguments of `trellis demo cargo-lock`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The `Cargo.lock`, `-` for standard input
    file: PathBuf,
}

/// What is read of a `Cargo.lock`.
#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Package>,
}

/// One `[[package]]`.
#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    /// `name`, `name version` or `name version (source)`: as much as is needed to be unique.
    #[serde(default)]
    dependencies: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let text = input::read(&arguments.file)?;
    let invalid = |message: String| Failure::File {
        action: "use",
        path: arguments.file.clone(),
        source: io::Error::new(io::ErrorKind::InvalidData, message),
    };
    let lock: Lock = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    let records = records(&lock).map_err(invalid)?;
    let mut output = BufWriter::new(io::stdout().lock());
    records
        .iter()
        .try_for_each(|record| writeln!(output, "{record}"))
        .and_then(|()| output.flush())
        .map_err(Failure::output)
}

/// The nodes, then the relationships, as `load` takes them.
fn records(lock: &Lock) -> Result<Vec<Value>, String> {
    let mut known: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in &lock.package {
        known.entry(&package.name).or_default().push(package);
    }
    let mut records: Vec<_> = lock
        .package
        .iter()
        .map(|package| node(package, &known))
        .collect();
    for package in &lock.package {
        let from = identity(package, &known);
        for dependency in &package.dependencies {
            let to = find(dependency, &known).ok_or_else(|| {
                format!("{from} depends on `{dependency}`, which is not one package of the file")
            })?;
            records.push(json!({"edge": "DependsOn", "from": from, "to": identity(to, &known)}));
        }
    }
    Ok(records)
}

fn node(package: &Package, known: &BTreeMap<&str, Vec<&Package>>) -> Value {
    json!({"type": "Crate", "data": {
        "id": identity(package, known),
        "name": package.name,
        "version": package.version,
        "source": package.source,
        "checksum": package.checksum,
    }})
}

/// `name@version`, and the source where the same version comes from two places.
fn identity(package: &Package, known: &BTreeMap<&str, Vec<&Package>>) -> String {
    let same = known
        .get(package.name.as_str())
        .into_iter()
        .flatten()
        .filter(|other| other.version == package.version)
        .count();
    let Package {
        name,
        version,
        source,
        ..
    } = package;
    match source {
        Some(source) if same > 1 => format!("{name}@{version} ({source})"),
        _ => format!("{name}@{version}"),
    }
}

/// The one package that a dependency means.
fn find<'a>(dependency: &str, known: &BTreeMap<&str, Vec<&'a Package>>) -> Option<&'a Package> {
    let mut words = dependency.splitn(3, ' ');
    let candidates = known.get(words.next()?)?;
    let (version, source) = (words.next(), words.next());
    let source = source.map(|text| text.trim_start_matches('(').trim_end_matches(')'));
    let mut found = candidates.iter().filter(|package| {
        version.is_none_or(|version| package.version == version)
            && source.is_none_or(|source| package.source.as_deref() == Some(source))
    });
    let first = found.next()?;
    found.next().is_none().then_some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(text: &str) -> Result<Vec<String>, String> {
        let lock: Lock = toml::from_str(text).map_err(|error| error.to_string())?;
        let short = |record: &Value| match record.get("edge") {
            Some(_) => format!("{} -> {}", record["from"], record["to"]),
            None => record["data"]["id"].to_string(),
        };
        Ok(records(&lock)?
            .iter()
            .map(short)
            .map(|text| text.replace('"', ""))
            .collect())
    }

    #[test]
    fn dependencies_are_found_by_as_much_as_is_written() {
        let text = r#"
            version = 4
            [[package]]
            name = "app"
            version = "0.1.0"
            dependencies = ["once", "twice 1.0.0", "twice 2.0.0", "forked 1.0.0 (git+b)"]
            [[package]]
            name = "once"
            version = "3.0.0"
            source = "registry"
            checksum = "00"
            [[package]]
            name = "twice"
            version = "1.0.0"
            [[package]]
            name = "twice"
            version = "2.0.0"
            [[package]]
            name = "forked"
            version = "1.0.0"
            source = "registry"
            [[package]]
            name = "forked"
            version = "1.0.0"
            source = "git+b"
        "#;
        let expected = [
            "app@0.1.0",
            "once@3.0.0",
            "twice@1.0.0",
            "twice@2.0.0",
            "forked@1.0.0 (registry)",
            "forked@1.0.0 (git+b)",
            "app@0.1.0 -> once@3.0.0",
            "app@0.1.0 -> twice@1.0.0",
            "app@0.1.0 -> twice@2.0.0",
            "app@0.1.0 -> forked@1.0.0 (git+b)",
        ];
        assert_eq!(converted(text).expect("a lock file"), expected);
    }

    #[test]
    fn what_cannot_be_resolved_is_an_error_and_not_a_missing_edge() {
        let package = |name, version, more| {
            format!("[[package]]\nname='{name}'\nversion='{version}'\n{more}\n")
        };
        let ambiguous = package("a", "1.0.0", "dependencies=['b']")
            + &package("b", "1.0.0", "")
            + &package("b", "2.0.0", "");
        let missing = package("a", "1.0.0", "dependencies=['c']");
        for text in [ambiguous, missing] {
            let error = converted(&text).expect_err("not resolvable");
            assert!(error.starts_with("a@1.0.0 depends on"), "{error}");
        }
        assert!(converted("package = 3").is_err());
    }
}
