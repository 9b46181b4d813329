//! RTMP without sockets: bytes in, events and bytes out. No tokio, no disk, no clock.
//!
//! Reading order: [`chunk`] (bytes to messages), [`clock`] (32-bit to 64-bit time), [`session`]
//! (messages to events, events to answers), [`publisher`] (the other end, for the demonstration
//! and the tests). What we send is built by `rml_rtmp`; what we receive never reaches it after
//! the handshake: its reader panics on interleaved chunks and its AMF0 decoder on deep nesting.

mod aggregate;
pub mod chunk;
pub mod clock;
mod command;
mod enhanced;
mod handshake;
pub mod publisher;
mod reply;
pub mod session;
mod timing;

/// Message type ids (RTMP 1.0 section 7.1; 1 and 2 are handled by [`chunk`]).
mod type_id {
    pub(super) const USER_CONTROL: u8 = 4;
    pub(super) const WINDOW_ACK_SIZE: u8 = 5;
    pub(super) const AUDIO: u8 = 8;
    pub(super) const VIDEO: u8 = 9;
    pub(super) const DATA_AMF3: u8 = 15;
    pub(super) const COMMAND_AMF3: u8 = 17;
    pub(super) const DATA_AMF0: u8 = 18;
    pub(super) const COMMAND_AMF0: u8 = 20;
    pub(super) const AGGREGATE: u8 = 22;
}
