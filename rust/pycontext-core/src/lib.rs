//! Token counts, block columns and the packing kernel of pycontext.
//!
//! Nothing here knows of Python, reads a clock or draws a random number that reaches a result. The walk of one block:
//! [`columns::Columns::push`] takes it in, [`cost::cost`] says what it costs as rendered, [`prune::prune`] decides
//! about it and [`selection::Selection`] says why.

pub mod batch;
pub mod columns;
pub mod cost;
pub mod count;
pub mod decay;
pub mod dedup;
pub mod draft;
pub mod error;
pub mod evidence;
pub mod hash;
pub mod index;
pub mod kind;
pub mod limits;
pub mod near;
mod pack;
pub mod policy;
pub mod provider;
pub mod prune;
pub mod render;
pub mod row;
pub mod score;
pub mod selection;
pub mod shorten;
pub mod slice;
pub mod stored;
pub mod texts;
mod twin;
mod unit;
pub mod wire;
pub mod words;

pub use unit::Broken;
