//! The executor against real graphs: cases with their expected tables, and random queries against
//! a naive evaluator.

mod behaviour;
mod cases;
mod counting;
mod explain;
mod graph;
mod lookups;
mod naive;
mod naive_value;
mod nested;
mod parallel;
mod query;
mod random;
mod render;
mod streamed;
mod subqueries;
mod tck;
mod temporal;
