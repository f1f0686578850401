//! Packages as bytes: the message of `proto/pycontext/context.proto`, and the envelope that it is stored and sent in.
//!
//! Both are written from columns and read into rows, with nothing in between.

mod block;
pub mod change;
pub mod delta;
pub mod envelope;
mod metadata;
pub mod package;
mod proto;
