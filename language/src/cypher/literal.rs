//! Constants: numbers with their limits, text.

use open_cypher::ast::{IntegerLiteral, IntegerRadix, Literal, LiteralKind};

use crate::diagnostic::{Code, Span};
use crate::plan::{Expr, ExprKind, Type};
use crate::value::Value;

use super::compiler::{Checked, Compiler};
use super::parse::span;

impl Compiler<'_> {
    /// A constant; `negative` when a minus stands before it, which only then belongs to it: the
    /// smallest integer has no positive counterpart.
    pub(super) fn literal(&self, literal: &Literal, negative: Option<Span>) -> Checked<Expr> {
        let place = span(literal.span);
        let place = negative.map_or(place, |minus| Span::new(minus.start, place.end));
        let (value, value_type) = match &literal.kind {
            LiteralKind::Null => (Value::Null, Type::Null),
            LiteralKind::Boolean(value) => (Value::Bool(*value), Type::Boolean),
            LiteralKind::String(text) => {
                let written = self.text.get(place.start..place.end).unwrap_or_default();
                let value = match written.contains("\\U") {
                    true => unescaped(written),
                    false => None,
                };
                (
                    Value::string(value.as_ref().unwrap_or(&text.value)),
                    Type::String,
                )
            }
            LiteralKind::Integer(integer) => {
                let Some(value) = integer_value(integer, negative.is_some()) else {
                    let message = format!(
                        "the integer {} does not fit into 64 bits",
                        self.source(place)
                    );
                    return self.fail(Code::InvalidValue, place, message);
                };
                (Value::Int(value), Type::Integer)
            }
            LiteralKind::Float(float) => {
                let named = float.text.starts_with(|first: char| first.is_alphabetic());
                match float.text.parse::<f64>() {
                    Ok(value) if named || value.is_finite() => {
                        let value = if negative.is_some() { -value } else { value };
                        (Value::Float(value), Type::Float)
                    }
                    Ok(_) => {
                        let message = format!("the float {} is too large", self.source(place));
                        return self.fail(Code::InvalidValue, place, message);
                    }
                    Err(_) => {
                        let message = format!("{} is not a number", self.source(place));
                        return self.fail(Code::Syntax, place, message);
                    }
                }
            }
            _ => return self.unsupported(place, "this kind of literal"),
        };
        Ok(Expr {
            kind: ExprKind::Literal(value),
            value_type,
            span: place,
        })
    }
}

fn integer_value(integer: &IntegerLiteral, negative: bool) -> Option<i64> {
    let (digits, radix) = match integer.radix {
        IntegerRadix::Hexadecimal => (integer.text.get(2..)?, 16),
        IntegerRadix::Octal => (
            integer
                .text
                .strip_prefix("0o")
                .or_else(|| integer.text.get(1..))?,
            8,
        ),
        _ => (integer.text.as_str(), 10),
    };
    let digits = digits.replace('_', "");
    let signed = if negative {
        format!("-{digits}")
    } else {
        digits
    };
    i64::from_str_radix(&signed, radix).ok()
}

/// What a text with `\U` means, which has eight hexadecimal digits behind it; the parser reads six.
/// `None` for anything that it does not know.
fn unescaped(written: &str) -> Option<String> {
    let quote = written.chars().next()?;
    let inside = written.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut text = String::with_capacity(inside.len());
    let mut rest = inside.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            text.push(next);
            continue;
        }
        let digits = match rest.next()? {
            'n' => {
                text.push('\n');
                continue;
            }
            't' => {
                text.push('\t');
                continue;
            }
            'r' => {
                text.push('\r');
                continue;
            }
            'b' => {
                text.push('\u{8}');
                continue;
            }
            'f' => {
                text.push('\u{c}');
                continue;
            }
            'u' => 4,
            'U' => 8,
            other @ ('\\' | '/' | '\'' | '"' | '`') => {
                text.push(other);
                continue;
            }
            _ => return None,
        };
        let code: String = rest.by_ref().take(digits).collect();
        if code.chars().count() != digits {
            return None;
        }
        text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
    }
    Some(text)
}
