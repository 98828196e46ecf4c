//! One file per command: its arguments, and what it does with them.

mod completions;
mod config;
mod demo;
mod doctor;
mod export;
mod graph;
mod load;
mod mutate;
mod policy;
mod query;
mod repair;
mod schema;
mod serve;
mod token;
mod whoami;

use clap::Subcommand;

use crate::client::{Client, Connection};
use crate::failure::Failure;

/// What can be done.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the server until it is told to stop
    Serve(serve::Arguments),
    /// Create, change, delete and restore graphs, and see which there are
    #[command(subcommand)]
    Graph(graph::Command),
    /// Load a file into a graph: all of it in one commit, or nothing
    Load(load::Arguments),
    /// Ask a graph a question in Cypher
    Query(query::Arguments),
    /// Change a graph with Cypher
    Mutate(mutate::Arguments),
    /// Write a graph, or one type of it, as what `load` takes back
    Export(export::Arguments),
    /// See what a graph may contain
    #[command(subcommand)]
    Schema(schema::Command),
    /// Make credentials
    #[command(subcommand)]
    Token(token::Command),
    /// Check a configuration, see what was changed in it, apply it
    #[command(subcommand)]
    Config(config::Command),
    /// Check policies without a server
    #[command(subcommand)]
    Policy(policy::Command),
    /// Examine a graph's folder, or a config file and all that it names, without a server; change nothing
    Doctor(doctor::Arguments),
    /// Make a damaged graph's folder open again, after a copy of what is changed
    Repair(repair::Arguments),
    /// Say who the credential stands for
    Whoami(whoami::Arguments),
    /// Print the completions of a shell
    Completions(completions::Arguments),
    /// What `./dev demo` needs
    #[command(subcommand, hide = true)]
    Demo(demo::Command),
}

impl Command {
    /// Does it.
    pub(crate) fn run(self, connection: &Connection) -> Result<(), Failure> {
        let client = || Client::new(connection);
        match self {
            Self::Serve(arguments) => serve::run(arguments),
            Self::Graph(command) => command.run(&client()?),
            Self::Load(arguments) => load::run(&arguments, &client()?),
            Self::Query(arguments) => query::run(&arguments, &client()?),
            Self::Mutate(arguments) => mutate::run(arguments, &client()?),
            Self::Export(arguments) => export::run(&arguments, &client()?),
            Self::Schema(command) => command.run(&client()?),
            Self::Token(command) => command.run(),
            Self::Config(command) => command.run(connection),
            Self::Policy(command) => command.run(),
            Self::Doctor(arguments) => doctor::run(&arguments),
            Self::Repair(arguments) => repair::run(&arguments),
            Self::Whoami(arguments) => whoami::run(&arguments, &client()?),
            Self::Completions(arguments) => completions::run(&arguments),
            Self::Demo(command) => command.run(),
        }
    }
}
