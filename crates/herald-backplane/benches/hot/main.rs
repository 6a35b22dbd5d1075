//! What a notice costs on its way through the backplane: to and from Redis, and embedded.

mod embedded;
mod redis;
mod samples;

fn main() {
    herald_measure::run(redis::cases().into_iter().chain(embedded::cases()).collect());
}
