//! Counts the instructions of all cases and holds them against those that the repository keeps: a
//! guard of what a notice costs that no noise of a machine moves.
//!
//! `--accept` keeps what was counted instead. Run it from the root of the repository.

mod benches;
mod kept;

use std::{env, fs, process::ExitCode};

use anyhow::{Context as _, bail};

use self::kept::{Counts, Kept};

/// What is kept.
const FILE: &str = "bench/instructions.txt";

fn main() -> anyhow::Result<ExitCode> {
    let accept = match &env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => false,
        [flag] if flag == "--accept" => true,
        _ => bail!("usage: herald-instructions [--accept]"),
    };
    let kept = fs::read_to_string(FILE).with_context(|| format!("{FILE} is not readable"))?;
    let kept = Kept::parse(&kept).with_context(|| format!("{FILE} is not readable"))?;
    let tools = benches::tools()?;
    if !accept && !kept.is_of(env::consts::ARCH) {
        bail!("{FILE} is of another processor: {}, and this is {}", kept.made_with, tools);
    }
    let mut counted = Counts::new();
    for bench in benches::build()? {
        for case in bench.cases()? {
            let count = bench.count(&case)?;
            println!(
                "{:<48} {count:>9}  {}",
                bench.named(&case),
                kept.change(&bench.named(&case), count)
            );
            counted.insert(bench.named(&case), count);
        }
    }
    if accept {
        fs::write(FILE, kept.with(tools, counted).to_string())?;
        println!("{FILE} has these counts now");
        return Ok(ExitCode::SUCCESS);
    }
    let wrong = kept.judge(&counted);
    if wrong.is_empty() {
        println!("none is more than {} % above what {FILE} keeps", kept.tolerance);
        return Ok(ExitCode::SUCCESS);
    }
    for wrong in &wrong {
        eprintln!("{wrong}");
    }
    eprintln!(
        "\nWhere they are spent: callgrind_annotate {}/<case>, here and on the commit before.\n\
         If it is worth that much: make instructions ACCEPT=yes, and say in the commit why.",
        benches::PROFILES
    );
    if kept.made_with != tools {
        eprintln!(
            "The counts were kept with {}, and this is {tools}: that may be why.",
            kept.made_with
        );
    }
    Ok(ExitCode::FAILURE)
}
