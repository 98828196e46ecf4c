//! Function calls: which function, how many arguments, of which types, and what comes out.

use std::collections::BTreeSet;

use open_cypher::ast::{Expr as Syntax, ExprKind as SyntaxKind, FunctionInvocation, SetQuantifier};

use crate::diagnostic::{Code, Span};
use crate::plan::{Aggregate, AggregateFunction, Expr, ExprKind, Type};
use crate::schema::TypeId;

use super::compiler::{Checked, Compiler, all};
use super::functions::{self, FUNCTIONS, Function, Signature};
use super::parse::span;
use super::{types, walk};

/// The aggregates: name, what it is, and what it does.
pub(super) const AGGREGATES: &[(&str, AggregateFunction, &str)] = &[
    (
        "count",
        AggregateFunction::Count,
        "Number of rows, `count(*)`, or of values that are not null.",
    ),
    (
        "sum",
        AggregateFunction::Sum,
        "Sum of numbers or durations; 0 over nothing.",
    ),
    (
        "avg",
        AggregateFunction::Avg,
        "Average of numbers or durations; null over nothing.",
    ),
    (
        "min",
        AggregateFunction::Min,
        "Smallest value; null over nothing.",
    ),
    (
        "max",
        AggregateFunction::Max,
        "Largest value; null over nothing.",
    ),
    (
        "collect",
        AggregateFunction::Collect,
        "A list of the values that are not null.",
    ),
    (
        "stDev",
        AggregateFunction::StDev,
        "Standard deviation of a sample.",
    ),
    (
        "stDevP",
        AggregateFunction::StDevP,
        "Standard deviation of everything.",
    ),
    (
        "percentileCont",
        AggregateFunction::PercentileCont,
        "A percentile, between two values where it falls there.",
    ),
    (
        "percentileDisc",
        AggregateFunction::PercentileDisc,
        "The value at a percentile.",
    ),
];

/// Functions that users of other systems know. Naming them is kinder than "unknown".
pub(super) const NOT_YET: &[&str] = &[
    "point",
    "distance",
    "point.distance",
    "normalize",
    "shortestpath",
    "allshortestpaths",
];

impl Compiler<'_> {
    /// A call of a function or an aggregate.
    pub(super) fn call(&mut self, call: &FunctionInvocation, place: Span) -> Checked<Expr> {
        let name: Vec<&str> = call
            .name
            .parts
            .iter()
            .map(|part| part.kind.text.as_str())
            .collect();
        let name = name.join(".");
        let lower = name.to_lowercase();
        let aggregate = AGGREGATES
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(&name));
        if let Some((name, function, _)) = aggregate {
            return self.aggregate(name, *function, call, place);
        }
        if lower == "exists"
            && let [argument] = call.arguments.as_slice()
            && let Some(test) = self.exists(argument, place)
        {
            return test;
        }
        let Some(signature) = functions::named(&name) else {
            return self.unknown_function(&name, &lower, span(call.name.span));
        };
        if let Some(quantifier) = &call.quantifier {
            let message = format!(
                "DISTINCT and ALL belong to aggregates; {} is none",
                signature.name
            );
            return self.fail(Code::Syntax, span(quantifier.span), message);
        }
        let given = call.arguments.len();
        if given < signature.min || given > signature.max() {
            let message = format!(
                "{}() takes {}, not {given}",
                signature.name,
                arity(signature)
            );
            return self.fail(Code::WrongArity, place, message);
        }
        let arguments = all(call
            .arguments
            .iter()
            .map(|argument| self.expression(argument)))?;
        // In an open graph wrong bounds are an error of the row that has them.
        if self.open.is_none() || signature.function != Function::Range {
            self.accepted(signature, &arguments)?;
        }
        let value_type = match &signature.result {
            Some(result) => result.clone(),
            None => self.result(signature.function, &arguments),
        };
        self.read_by(signature.function, &arguments);
        let kind = ExprKind::Call {
            function: signature.function,
            arguments,
        };
        Ok(Expr {
            kind,
            value_type,
            span: place,
        })
    }

    /// `exists(n.name)` and `exists((a)-->(b))`; `None` for anything else.
    fn exists(&mut self, argument: &Syntax, place: Span) -> Option<Checked<Expr>> {
        if let SyntaxKind::Pattern(pattern) = &argument.kind {
            return Some(self.pattern_predicate(pattern, place));
        }
        is_property(argument).then(|| {
            let operand = Box::new(self.expression(argument)?);
            let kind = ExprKind::IsNull {
                operand,
                negated: true,
            };
            Ok(Expr {
                kind,
                value_type: Type::Boolean,
                span: place,
            })
        })
    }

    fn unknown_function(&self, name: &str, lower: &str, place: Span) -> Checked<Expr> {
        if NOT_YET.contains(&lower) {
            return self.unsupported(place, &format!("the function {name}()"));
        }
        let known = FUNCTIONS
            .iter()
            .map(|known| known.name)
            .filter(|name| !name.starts_with('_'))
            .chain(AGGREGATES.iter().map(|(name, ..)| *name));
        let finding = self.finding(
            Code::UnknownFunction,
            place,
            format!("there is no function {name}()"),
        );
        Err(vec![finding.suggest(name, known)])
    }

    fn aggregate(
        &mut self,
        name: &str,
        function: AggregateFunction,
        call: &FunctionInvocation,
        place: Span,
    ) -> Checked<Expr> {
        let percentile = matches!(
            function,
            AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc
        );
        let (argument, parameter) = match (call.arguments.as_slice(), percentile) {
            ([argument], false) => (argument, None),
            ([argument, parameter], true) => (argument, Some(parameter)),
            (given, _) => {
                let wanted = if percentile {
                    "2 arguments"
                } else {
                    "1 argument"
                };
                let message = format!("{name}() takes {wanted}, not {}", given.len());
                return self.fail(Code::WrongArity, place, message);
            }
        };
        if self.aggregates.is_none() {
            let message = format!(
                "{name}() may not stand here: aggregates stand in WITH and RETURN, outside of each other"
            );
            return self.fail(Code::MisplacedAggregate, place, message);
        }
        let distinct =
            matches!(&call.quantifier, Some(given) if given.kind == SetQuantifier::Distinct);
        let star = matches!(argument.kind, SyntaxKind::Wildcard);
        if star && (function != AggregateFunction::Count || distinct) {
            return self.fail(
                Code::Syntax,
                span(argument.span),
                "`*` stands only in count(*)",
            );
        }
        let argument = match star {
            true => None,
            false => Some(self.without_aggregates(|compiler| compiler.expression(argument))?),
        };
        let parameter = parameter
            .map(|parameter| {
                let parameter =
                    self.without_aggregates(|compiler| compiler.expression(parameter))?;
                self.require(&parameter, &Type::Number, "a percentile")?;
                Checked::Ok(parameter)
            })
            .transpose()?;
        if let Some(random) = argument.as_ref().filter(|argument| is_random(argument)) {
            let message = "a random value in an aggregate is not defined: put it in a WITH before";
            return self.fail(Code::NonConstant, random.span, message);
        }
        let value_type = self.aggregated(name, function, argument.as_ref())?;
        let slot = self.aggregate_slot(Aggregate {
            function,
            distinct,
            argument,
            parameter,
            slot: self.next_slot(),
        });
        self.names.insert(slot, self.source(place).into());
        Ok(Expr {
            kind: ExprKind::Variable(slot),
            value_type,
            span: place,
        })
    }

    fn aggregated(
        &mut self,
        name: &str,
        function: AggregateFunction,
        argument: Option<&Expr>,
    ) -> Checked<Type> {
        let Some(argument) = argument else {
            return Ok(Type::Integer);
        };
        Ok(match function {
            AggregateFunction::Count => Type::Integer,
            AggregateFunction::Min | AggregateFunction::Max => argument.value_type.clone(),
            AggregateFunction::Collect => Type::List(Box::new(argument.value_type.clone())),
            AggregateFunction::Sum | AggregateFunction::Avg => {
                if argument.value_type == Type::Duration {
                    return Ok(Type::Duration);
                }
                self.numbers(name, argument)?;
                match (function, &argument.value_type) {
                    (_, Type::Any) if self.open.is_some() => Type::Any,
                    (AggregateFunction::Avg, _) | (_, Type::Float) => Type::Float,
                    (_, Type::Integer) => Type::Integer,
                    _ => Type::Number,
                }
            }
            AggregateFunction::PercentileDisc => {
                self.numbers(name, argument)?;
                argument.value_type.clone()
            }
            AggregateFunction::StDev
            | AggregateFunction::StDevP
            | AggregateFunction::PercentileCont => {
                self.numbers(name, argument)?;
                Type::Float
            }
        })
    }

    fn numbers(&mut self, name: &str, argument: &Expr) -> Checked<()> {
        self.require(
            argument,
            &Type::Number,
            &format!("the argument of {name}()"),
        )
    }

    /// The same aggregate twice is computed once; so `ORDER BY count(*)` finds the projected one.
    fn aggregate_slot(&mut self, new: Aggregate) -> crate::plan::Slot {
        let same = |known: &Option<Expr>, new: &Option<Expr>| match (known, new) {
            (Some(known), Some(new)) => walk::same(known, new),
            (None, None) => true,
            _ => false,
        };
        let known = self.aggregates.iter().flatten().find(|known| {
            known.function == new.function
                && known.distinct == new.distinct
                && same(&known.argument, &new.argument)
                && same(&known.parameter, &new.parameter)
        });
        if let Some(known) = known {
            return known.slot;
        }
        let slot = self.new_slot();
        self.aggregates
            .get_or_insert_default()
            .push(Aggregate { slot, ..new });
        slot
    }

    /// What is looked at beyond what the arguments already count for.
    fn read_by(&mut self, function: Function, arguments: &[Expr]) {
        let Some(argument) = arguments.first() else {
            return;
        };
        let types = self.graph_types(&argument.value_type);
        match function {
            Function::Id | Function::ElementId => self.read_keys(&types),
            Function::Keys | Function::Properties => self.read_whole(&types),
            Function::StartNode | Function::EndNode => {
                let ends = self.ends(&types, function == Function::StartNode);
                self.read_types(&ends);
            }
            _ => {}
        }
    }

    fn ends(&self, edges: &BTreeSet<TypeId>, source: bool) -> BTreeSet<TypeId> {
        edges
            .iter()
            .filter_map(|edge| self.schema.edge_type(*edge))
            .map(|edge| if source { edge.source } else { edge.target })
            .collect()
    }

    fn accepted(&mut self, signature: &Signature, arguments: &[Expr]) -> Checked<()> {
        let checks = arguments.iter().enumerate().map(|(index, argument)| {
            let wanted = signature.wanted(index);
            if let [only] = wanted.as_slice() {
                self.ask(argument, only);
            }
            if wanted.is_empty()
                || wanted
                    .iter()
                    .any(|wanted| types::fits(&argument.value_type, wanted))
            {
                return Ok(());
            }
            let message = format!(
                "{}() takes {} here, not {}",
                signature.name,
                signature.takes(index),
                types::name(&argument.value_type)
            );
            self.fail(Code::TypeMismatch, argument.span, message)
        });
        all(checks.collect::<Vec<_>>()).map(|_| ())
    }

    /// The result of a function where it depends on the arguments.
    fn result(&mut self, function: Function, arguments: &[Expr]) -> Type {
        let first = arguments
            .first()
            .map_or(Type::Null, |argument| argument.value_type.clone());
        match function {
            Function::Id => self.identity(&first),
            Function::Labels
            | Function::Keys
            | Function::Split
            | Function::WithLabels
            | Function::WithoutLabels => Type::List(Box::new(Type::String)),
            Function::Range => Type::List(Box::new(Type::Integer)),
            Function::StartNode | Function::EndNode => {
                let edges = if types::is_open(&first) {
                    self.hidden.clone()
                } else {
                    self.graph_types(&first)
                };
                let ends = self.ends(&edges, function == Function::StartNode);
                self.read_types(&ends);
                Type::Node(ends)
            }
            Function::Nodes => {
                let nodes = self.path_types.iter().copied();
                let nodes = nodes.filter(|id| self.schema.node_type(*id).is_some());
                Type::List(Box::new(Type::Node(nodes.collect())))
            }
            Function::Relationships => {
                let edges = self.path_types.iter().copied();
                let edges = edges.filter(|id| self.schema.edge_type(*id).is_some());
                Type::List(Box::new(Type::Relationship(edges.collect())))
            }
            Function::Head | Function::Last if !types::is_open(&first) => types::element(&first),
            Function::Tail | Function::Reverse => first,
            Function::Abs if types::is_number(&first) => first,
            Function::Abs => Type::Number,
            Function::Coalesce => {
                let parts: Vec<Type> = arguments
                    .iter()
                    .map(|argument| argument.value_type.clone())
                    .collect();
                self.join(&parts)
            }
            _ => Type::Any,
        }
    }

    /// The type of `id(n)`: that of the key when all possible types agree on it.
    fn identity(&self, argument: &Type) -> Type {
        let (Type::Node(types) | Type::Relationship(types)) = argument else {
            return Type::Any;
        };
        let identities = types
            .iter()
            .map(|type_id| match self.schema.node_type(*type_id) {
                Some(node_type) => match node_type.key.as_slice() {
                    [] => Type::String,
                    [key] => node_type
                        .properties
                        .iter()
                        .find(|property| property.id == *key)
                        .map_or(Type::Any, |property| {
                            types::of_property(&property.value_type)
                        }),
                    _ => Type::List(Box::new(Type::Any)),
                },
                None => Type::String,
            });
        identities
            .reduce(|a, b| types::join(&a, &b))
            .unwrap_or(Type::Any)
    }
}

fn arity(signature: &Signature) -> String {
    let count = |count: usize| {
        if count == 1 {
            "1 argument".to_owned()
        } else {
            format!("{count} arguments")
        }
    };
    match (signature.min, signature.max()) {
        (min, max) if min == max => count(min),
        (min, usize::MAX) => format!("at least {}", count(min)),
        (min, max) => format!("{min} to {}", count(max)),
    }
}

fn is_random(expr: &Expr) -> bool {
    walk::any(
        expr,
        &mut |part| matches!(&part.kind, ExprKind::Call { function, .. } if function.is_random()),
    )
}

fn is_property(syntax: &Syntax) -> bool {
    match &syntax.kind {
        SyntaxKind::Property { .. } => true,
        SyntaxKind::Parenthesized(inner) => is_property(inner),
        _ => false,
    }
}
