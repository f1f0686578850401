//! Conversations by the million: each one cut to the budget by the kernel, none of them ever an object of anybody's.
//!
//! `lines` takes JSON lines from bytes to bytes: `json` walks over the text, `message` makes rows of what it finds, and
//! what stays is copied as it came. `frame` does the same to Arrow's columns, whose cells `cell` reads, `sorted` to tables
//! with a block a row, and `table` makes sets of blocks of these. `job` asks the kernel, and `tally` sums up what became of all.

mod cell;
mod frame;
mod job;
mod json;
mod lines;
mod message;
mod sorted;
mod table;
mod tally;

pub use frame::{Frame, prune_frame};
pub use job::{Asked, Job, Overflow};
pub use lines::{Part, Problem, prune_lines, sketch_lines};
pub use sorted::Sorted;
pub use table::{read_blocks, write_blocks};
pub use tally::{BOUNDS, LARGEST, Large, Tally, bucket};
