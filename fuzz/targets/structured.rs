//! Packages as somebody may have made them, and what becomes of their bytes.
#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::structured(bytes));
