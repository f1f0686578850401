//! The extension module `pycontext._core`: converts, detaches, maps errors. What it calls is in `pycontext-core`.

#![allow(clippy::needless_pass_by_value, reason = "PyO3 hands extracted arguments over by value")]

mod arrays;
mod arrow;
mod batch;
mod block;
mod chat;
mod class;
mod columns;
mod cost;
mod count;
mod documents;
mod error;
mod escape;
mod fallen;
mod field;
mod frames;
mod gather;
mod hash;
mod job;
mod json;
mod lines;
mod memory;
mod policy;
mod prune;
mod ranks;
mod rows;
mod selection;
mod shorten;
mod state;
mod table;
mod text;
#[cfg(feature = "tokenizers")]
mod tokenizer_file;
mod wire;
mod zstd_file;

use pyo3::prelude::*;

/// Rust core of pycontext; use the names of the package `pycontext` instead.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::arrays::{
        effective_scores, matches, scores, search, set_scores, timestamps, token_counts, types,
    };
    #[pymodule_export]
    use super::block::{check_block, check_id};
    #[pymodule_export]
    use super::columns::Columns;
    #[pymodule_export]
    use super::cost::{fill_costs, set_counts, total_cost, uncounted};
    #[pymodule_export]
    use super::count::{count_tokens, count_tokens_batch, count_within, prefix_counts, vocabulary};
    #[pymodule_export]
    use super::documents::{sketch_bands, sketch_fallen, sketch_lines, sketch_pairs};
    #[pymodule_export]
    use super::escape::{escape, header, unescape};
    #[pymodule_export]
    use super::fallen::{Fallen, cut, cut_duplicates, sizes};
    #[pymodule_export]
    use super::frames::{Batch, Batches, Sessions, prune_batch, read_blocks, write_blocks};
    #[pymodule_export]
    use super::gather::{gather, ids};
    #[pymodule_export]
    use super::hash::{block_hashes, content_hash, exact_hashes};
    #[pymodule_export]
    use super::job::{Job, bounds, no_sums};
    #[pymodule_export]
    use super::json::json_size;
    #[pymodule_export]
    use super::lines::prune_lines;
    #[pymodule_export]
    use super::memory::memory_bytes;
    #[pymodule_export]
    use super::policy::Policy;
    #[pymodule_export]
    use super::prune::{prune, turns};
    #[pymodule_export]
    use super::ranks::RankFile;
    #[pymodule_export]
    use super::rows::Rows;
    #[pymodule_export]
    use super::selection::Selection;
    #[pymodule_export]
    use super::shorten::{repack, stub};
    #[cfg(feature = "tokenizers")]
    #[pymodule_export]
    use super::tokenizer_file::TokenizerFile;
    #[pymodule_export]
    use super::wire::{
        check_sizes, close_envelope, compress, decode, decode_change, decode_delta, decompress,
        encode, encode_change, encode_delta, envelop, open_envelope, write_envelope,
    };
    #[pymodule_export]
    use super::zstd_file::{ZstdFile, zstd_frame};

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python has for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
