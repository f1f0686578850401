//! Many texts at once, by several threads.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::scratch::Scratch;
use super::{Counter, Encoding};

/// Bytes of text that a thread takes at once.
const JOB: usize = 128 << 10;

/// Bytes of text from which one more thread pays.
const SHARE: usize = 1 << 20;

/// What threads that ended had for counting, for those that come. It is only ever tried: a process that was forked
/// while another thread held it goes on without.
static SPARE: [Mutex<Vec<Scratch>>; Encoding::ALL.len()] = [const { Mutex::new(Vec::new()) }; 2];

/// How many threads so many bytes are worth on this machine.
#[must_use]
pub fn threads_for(bytes: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    (bytes / SHARE).clamp(1, cores)
}

/// The tokens of each text, counted by up to so many threads.
#[must_use]
pub fn count_all<T: AsRef<str> + Sync>(
    encoding: Encoding,
    texts: &[T],
    threads: usize,
) -> Vec<u32> {
    if threads <= 1 {
        return texts.iter().map(|text| encoding.count(text.as_ref())).collect();
    }
    let mut counts = vec![0; texts.len()];
    let jobs = Mutex::new(jobs(texts, &mut counts).into_iter());
    let work = || {
        loop {
            // Nothing panics while it is held.
            let Some((texts, counts)) = jobs.lock().unwrap_or_else(PoisonError::into_inner).next()
            else {
                return;
            };
            for (text, count) in texts.iter().zip(counts) {
                *count = encoding.count(text.as_ref());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                encoding.exchange(take(encoding));
                work();
                give(encoding, encoding.exchange(None));
            });
        }
        work();
    });
    counts
}

type Job<'a, T> = (&'a [T], &'a mut [u32]);

/// Parts of about the same number of bytes.
fn jobs<'a, T: AsRef<str>>(mut texts: &'a [T], mut counts: &'a mut [u32]) -> Vec<Job<'a, T>> {
    let mut jobs = Vec::new();
    while !texts.is_empty() {
        let mut bytes = 0;
        let mut more = |text: &T| {
            let goes_on = bytes < JOB;
            bytes += text.as_ref().len() + 1;
            goes_on
        };
        let length = texts.iter().take_while(|text| more(text)).count();
        let (now, later) = texts.split_at(length);
        let (out, rest) = counts.split_at_mut(length);
        jobs.push((now, out));
        (texts, counts) = (later, rest);
    }
    jobs
}

fn take(encoding: Encoding) -> Option<Scratch> {
    SPARE[encoding as usize].try_lock().ok()?.pop()
}

fn give(encoding: Encoding, scratch: Option<Scratch>) {
    let most = thread::available_parallelism().map_or(1, NonZero::get);
    if let (Ok(mut spare), Some(scratch)) = (SPARE[encoding as usize].try_lock(), scratch)
        && spare.len() < most
    {
        spare.push(scratch);
    }
}
