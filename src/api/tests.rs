//! The API as clients see it: signed requests through the router, on every database.

mod audit;
mod bounds;
mod callbacks;
mod client;
mod domains;
mod explain;
mod explain_push;
mod gateway;
mod guide;
mod legacy;
mod limits;
mod names;
mod recordings;
mod tasks;
