//! `${NAME}` in the few values of the config file in which it stands for a variable of the environment:
//! [`KEYS`]. Everywhere else it is text like any other.
//!
//! What is read, shown, compared and edited is always the text as it was written; only who listens, opens
//! a file or looks for a folder asks for the value.

use std::borrow::Cow;

/// Where it is read, dotted.
pub const KEYS: [&str; 5] = [
    "server.bind",
    "server.storage",
    "server.allow_roots",
    "auth.tokens_file",
    "graphs.<id>.uri",
];

const BEGIN: &str = "${";

/// Why a value cannot be had. Never holds one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// It is not set, or to nothing.
    #[error("the environment variable {name} is not set, or empty")]
    Unset {
        /// Its name.
        name: String,
    },
    /// It is not UTF-8.
    #[error("the environment variable {name} is not UTF-8")]
    NotUnicode {
        /// Its name.
        name: String,
    },
    /// No name between the braces, or no end of them.
    #[error(
        "${{ must be followed by the name of an environment variable and a brace: ${{DATA}}; a name has \
         letters, digits and _"
    )]
    Malformed,
}

/// Whether a text has what looks like a variable in it.
#[must_use]
pub fn is_in(written: &str) -> bool {
    written.contains(BEGIN)
}

/// The text with the values of its variables.
///
/// # Errors
/// [`VariableError`] for the first variable that has none.
pub fn expand(written: &str) -> Result<Cow<'_, str>, VariableError> {
    expand_with(written, |name| match std::env::var(name) {
        Ok(value) if !value.trim().is_empty() => Ok(value),
        Ok(_) | Err(std::env::VarError::NotPresent) => Err(VariableError::Unset {
            name: name.to_owned(),
        }),
        Err(std::env::VarError::NotUnicode(_)) => Err(VariableError::NotUnicode {
            name: name.to_owned(),
        }),
    })
}

fn expand_with(
    written: &str,
    mut value: impl FnMut(&str) -> Result<String, VariableError>,
) -> Result<Cow<'_, str>, VariableError> {
    if !is_in(written) {
        return Ok(Cow::Borrowed(written));
    }
    let (mut expanded, mut rest) = (String::new(), written);
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once('}').ok_or(VariableError::Malformed)?;
        let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !begins || !name.chars().all(sound) {
            return Err(VariableError::Malformed);
        }
        expanded.push_str(before);
        expanded.push_str(&value(name)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(Cow::Owned(expanded))
}

/// What is told about a value of the file, with the names of its variables in place of what they stand
/// for.
#[must_use]
pub fn hide(written: &str, told: String) -> String {
    let mut values = Vec::new();
    let _ = expand_with(written, |name| {
        let value = std::env::var(name).unwrap_or_default();
        if !value.is_empty() {
            values.push((value, format!("{BEGIN}{name}}}")));
        }
        Ok(String::new())
    });
    // One value may stand in another.
    values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    values
        .iter()
        .fold(told, |told, (value, name)| told.replace(value, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(written: &str) -> Result<String, VariableError> {
        let value = |name: &str| match name {
            "DATA" => Ok("/srv/data".to_owned()),
            "_2" => Ok("${DATA}".to_owned()),
            _ => Err(VariableError::Unset {
                name: name.to_owned(),
            }),
        };
        expand_with(written, value).map(Cow::into_owned)
    }

    #[test]
    fn names_give_way_to_values_once() {
        for (written, expect) in [
            ("plain", "plain"),
            ("$DATA", "$DATA"),
            ("${DATA}", "/srv/data"),
            ("x/${DATA}/y/${DATA}", "x//srv/data/y//srv/data"),
            ("${_2}", "${DATA}"),
            ("}{${DATA}}", "}{/srv/data}"),
        ] {
            assert_eq!(with(written).as_deref(), Ok(expect), "{written}");
        }
    }

    #[test]
    fn what_has_no_value_is_named() {
        assert_eq!(
            with("a/${NONE}").expect_err("unset").to_string(),
            "the environment variable NONE is not set, or empty"
        );
        for written in [
            "${",
            "${DATA",
            "${}",
            "${A-B}",
            "${1}",
            "${DATA:-x}",
            "${ DATA}",
        ] {
            assert_eq!(with(written), Err(VariableError::Malformed), "{written}");
        }
        let told = VariableError::Malformed.to_string();
        assert!(
            told.starts_with("${ must") && told.contains("${DATA}; "),
            "{told}"
        );
        let unset = expand("${TRELLIS_TEST_OF_A_VARIABLE_THAT_IS_NOT_SET}");
        assert!(matches!(unset, Err(VariableError::Unset { .. })));
    }

    #[test]
    fn what_is_told_has_names_and_no_values() {
        // Cargo sets it for every test.
        let name = std::env::var("CARGO_PKG_NAME").expect("set");
        let told = hide("${CARGO_PKG_NAME}/x", format!("/{name}/x is not a folder"));
        assert_eq!(told, "/${CARGO_PKG_NAME}/x is not a folder");
        // The value of the first stands in that of the second.
        let version = std::env::var("CARGO_PKG_VERSION").expect("set");
        let written = "${CARGO_PKG_VERSION_MAJOR}/${CARGO_PKG_VERSION}";
        assert_eq!(hide(written, version), "${CARGO_PKG_VERSION}");
    }
}
