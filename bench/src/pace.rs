//! How fast the machine is just now: on rented ones a neighbour can halve it from one minute to the next, and a figure says
//! nothing without that.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

/// Numbers that are sorted: as much as stays in a processor's own cache.
const NUMBERS: usize = 50_000;

/// The milliseconds that a fixed piece of work takes, done by as many threads as a small machine has cores.
pub(crate) fn now_ms() -> f64 {
    const CORES: usize = 2;
    let times: Vec<f64> = thread::scope(|scope| {
        let workers: Vec<_> = (0..CORES).map(|_| scope.spawn(work_ms)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(f64::INFINITY)).collect()
    });
    times.iter().sum::<f64>() / CORES as f64
}

fn work_ms() -> f64 {
    const ROUNDS: u32 = 10;
    let began = Instant::now();
    for round in 0..ROUNDS {
        let mut seed = u64::from(round) + 1;
        let mut numbers: Vec<u64> = std::iter::repeat_with(|| next(&mut seed)).take(NUMBERS).collect();
        numbers.sort_unstable();
        black_box(&numbers);
    }
    began.elapsed().as_secs_f64() * 1_000.0
}

/// Xorshift: the same numbers everywhere.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}
