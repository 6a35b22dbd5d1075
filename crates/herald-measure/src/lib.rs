//! Measures hot pieces: by the clock, and by counted instructions.
//!
//! A piece is written once, as a [`Case`] in `benches/` of the crate that it belongs to. That program,
//! run by `cargo bench`, has [Criterion](https://docs.rs/criterion) time its cases. `--cases` lists
//! those that may be counted, and `--count CASE TIMES` does one of them so many times and nothing
//! else: what `herald-instructions` runs under valgrind.
//!
//! ```no_run
//! use herald_measure::{Case, run};
//!
//! run(vec![Case::new("parse", || {
//!     let text = "17".to_owned();
//!     move || text.parse::<u32>()
//! })]);
//! ```

use std::hint::black_box;

use criterion::Criterion;

/// A hot piece, named, and how to make it ready.
pub struct Case {
    name: &'static str,
    counts: bool,
    ready: Box<dyn Fn() -> Operation>,
}

type Operation = Box<dyn FnMut()>;

impl Case {
    /// `ready` makes what is measured; what that needs and has beside it is not measured.
    pub fn new<F, T>(name: &'static str, ready: impl Fn() -> F + 'static) -> Self
    where
        F: FnMut() -> T + 'static,
    {
        let ready = move || -> Operation {
            let mut operation = ready();
            Box::new(move || {
                black_box(operation());
            })
        };
        Self { name, counts: true, ready: Box::new(ready) }
    }

    /// Is timed and not counted: something beside it works as long as it takes, so that it is never the
    /// same number of instructions twice.
    #[must_use]
    pub fn only_timed(self) -> Self {
        Self { counts: false, ..self }
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The body of a bench's `main`.
///
/// # Panics
/// When it is told to count what is not there.
pub fn run(cases: Vec<Case>) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--cases", ..] => {
            cases.iter().filter(|case| case.counts).for_each(|case| println!("{}", case.name));
        }
        ["--count", name, times, ..] => {
            let case = cases.iter().find(|case| case.name == name).expect("a case of this name");
            let mut operation = (case.ready)();
            for _ in 0..times.parse::<u64>().expect("how often") {
                operation();
            }
        }
        _ => time(cases),
    }
}

fn time(cases: Vec<Case>) {
    let mut criterion = Criterion::default().configure_from_args();
    for Case { name, ready, .. } in cases {
        criterion.bench_function(name, |bencher| bencher.iter(ready()));
    }
    criterion.final_summary();
}
