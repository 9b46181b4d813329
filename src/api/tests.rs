//! The API as clients see it: signed requests through the router, on every database.

mod actions;
mod client;
mod gateway;
mod tasks;
