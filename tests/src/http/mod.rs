//! The tests of each operation, in the folders and files of `server/src/http`.

mod config;
mod export;
mod graphs;
mod health;
mod load;
mod metrics;
mod mutate;
mod openapi;
mod query;
mod ready;
mod schema;
mod whoami;
