//! Rules about the house itself: who may know whom, how long things may get, and what may not be
//! left lying about. They read the sources, so they hold for code that nobody has run yet.

mod boundaries;
mod dependencies;
mod mirror;
mod sizes;
mod sources;
mod unfinished;
