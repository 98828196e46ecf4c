//! Which of our errors is which of the TCK's: its class, when it comes, and its detail.

use language::diagnostic::Code;

use super::world::{Answer, Failure};
use crate::executor::ExecuteError;
use crate::transaction::WriteError;

/// What went wrong, in one line.
pub(super) fn describe(failure: &Failure) -> String {
    match failure {
        Failure::Compile(findings) => {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            format!("compile error {}", findings.join("; "))
        }
        Failure::Execute(error) => format!("error {error}"),
    }
}

/// Checks `a <class> should be raised at <phase>: <detail>`.
pub(super) fn check(text: &str, outcome: Option<&Result<Answer, Failure>>) -> Result<(), String> {
    let failure = match outcome {
        Some(Err(failure)) => failure,
        Some(Ok(_)) => return Err("no error was raised".to_owned()),
        None => return Err("nothing was executed".to_owned()),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let class = words.get(1).copied().unwrap_or_default();
    let detail = words.last().copied().unwrap_or_default();
    let compile_time = text.contains("compile time");
    let any_time = text.contains("any time");
    let problem = |what: &str| {
        Err(format!(
            "{what} instead of {class}: {detail}: {}",
            describe(failure)
        ))
    };
    match failure {
        Failure::Compile(_) if !compile_time && !any_time => problem("at compile time"),
        Failure::Execute(_) if compile_time => problem("at run time"),
        Failure::Compile(findings) => {
            let fits = findings.iter().any(|finding| {
                finding.code.class() == class && details(finding.code).contains(&detail)
            });
            if fits {
                Ok(())
            } else {
                problem("another error")
            }
        }
        Failure::Execute(error) => {
            let (found, details) = of_execution(error);
            if found == class && details.contains(&detail) {
                Ok(())
            } else {
                problem("another error")
            }
        }
    }
}

/// The TCK's details that a code of ours stands for. Ours says where and what in its message.
fn details(code: Code) -> &'static [&'static str] {
    match code {
        Code::Syntax => &[
            "UnexpectedSyntax",
            "InvalidRelationshipPattern",
            "InvalidUnicodeLiteral",
            "InvalidUnicodeCharacter",
            "InvalidNumberLiteral",
            "InvalidArgumentPassingMode",
            "NoExpressionAlias",
            "NoSingleRelationshipType",
            "RequiresDirectedRelationship",
            "CreatingVarLength",
            "InvalidParameterUse",
            "InvalidDelete",
            "NonConstantExpression",
            "UndefinedVariable",
        ],
        Code::UnknownVariable => &[
            "UndefinedVariable",
            "NoVariablesInScope",
            "NonConstantExpression",
        ],
        Code::UnknownFunction => &["UnknownFunction"],
        Code::UnknownProcedure => &["ProcedureNotFound"],
        Code::DuplicateName => &[
            "VariableAlreadyBound",
            "VariableTypeConflict",
            "ColumnNameConflict",
            "RelationshipUniquenessViolation",
        ],
        Code::TypeMismatch => &[
            "InvalidArgumentType",
            "VariableTypeConflict",
            "InvalidDelete",
            "InvalidPropertyType",
            "NegativeIntegerArgument",
        ],
        Code::WrongArity => &[
            "InvalidNumberOfArguments",
            "MissingParameter",
            "InvalidArgumentPassingMode",
        ],
        Code::MisplacedAggregate => &[
            "InvalidAggregation",
            "NestedAggregation",
            "AmbiguousAggregationExpression",
            "NonConstantExpression",
            "UndefinedVariable",
        ],
        Code::MisplacedClause => &["InvalidClauseComposition", "UnexpectedSyntax"],
        Code::InvalidValue => &[
            "IntegerOverflow",
            "FloatingPointOverflow",
            "NegativeIntegerArgument",
            "NonConstantExpression",
            "CreatingVarLength",
            "NoSingleRelationshipType",
            "RequiresDirectedRelationship",
            "InvalidParameterUse",
            "InvalidNumberLiteral",
            "InvalidRelationshipPattern",
        ],
        Code::UnionColumns => &["DifferentColumnsInUnion"],
        Code::NonConstant => &["NonConstantExpression"],
        _ => &[],
    }
}

fn of_execution(error: &ExecuteError) -> (&'static str, &'static [&'static str]) {
    match error.kind() {
        ExecuteError::Type { .. } => (
            "TypeError",
            &[
                "InvalidArgumentValue",
                "InvalidArgumentType",
                "MapElementAccessByNonString",
                "ListElementAccessByNonInteger",
                "InvalidPropertyType",
            ],
        ),
        ExecuteError::Argument { .. } => (
            "ArgumentError",
            &[
                "NumberOutOfRange",
                "InvalidArgumentType",
                "InvalidArgumentValue",
            ],
        ),
        ExecuteError::Arithmetic { .. } => ("ArithmeticError", &["DivisionByZero"]),
        ExecuteError::MissingParameter { .. } => ("ParameterMissing", &["MissingParameter"]),
        ExecuteError::RowNumber { .. } => (
            "SyntaxError",
            &["NegativeIntegerArgument", "InvalidArgumentType"],
        ),
        ExecuteError::ParameterType { .. } => ("SyntaxError", &["InvalidArgumentType"]),
        ExecuteError::MergeNull { .. } => ("SemanticError", &["MergeReadOwnWrites"]),
        ExecuteError::DeletedElement { .. } => ("EntityNotFound", &["DeletedEntityAccess"]),
        ExecuteError::Write(WriteError::HasRelationships { .. }) => {
            ("ConstraintVerificationFailed", &["DeleteConnectedNode"])
        }
        ExecuteError::Write(WriteError::InvalidValue { .. }) => {
            ("TypeError", &["InvalidPropertyType"])
        }
        ExecuteError::Write(_) => ("ConstraintVerificationFailed", &[]),
        _ => ("", &[]),
    }
}
