//! The model against reality: each file of `tests/scenarios` is played with real servers and in the simulated world,
//! and the coordinators must tell the same. Needs root, for machines that can be cut off.
//!
//! What both tell is compared as [`Portrait`]s: for each coordinator and subject the whole sequence of events with all
//! their words. Chance plays a part in either world, so each real sequence must be one that the simulator tells with one
//! of the first [`SEEDS`] seeds.
//!
//! A play in which a machine with too much to do made somebody seem down who ran is repeated.
//!
//! `BELLWETHER_SCENARIO` names one file to play alone, without its ending, and shows all that was told.

#![expect(
    clippy::print_stderr,
    reason = "how many plays it took is worth to be seen, and what was told in one that was asked for"
)]

mod real;

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use bellwether_sim::scenario::{Play, Portrait, Repertoire, Scenario, Stage, Told, play, rehearse};

use real::Real;

/// In how many ways chance may fall out in the simulator until one is what really happened.
const SEEDS: u64 = 400;
/// How often a file is played at most. Only a play in which somebody who ran was seen down is repeated: the machine had
/// too much to do.
const TRIES: u32 = 3;
/// Plays at the same time. They wait more than they work.
const AT_ONCE: usize = 4;

#[test]
fn the_simulator_and_real_servers_tell_the_same() -> Result<()> {
    let files = files()?;
    let next = Mutex::new(files.iter());
    let failures = Mutex::new(String::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(file) = next.lock().ok().and_then(|mut next| next.next()) else {
                        return;
                    };
                    // Each play is on a network of its own, which its thread never leaves.
                    let played = thread::scope(|scope| scope.spawn(|| compare(file)).join());
                    let failed = match played {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => format!("{error:#}"),
                        Err(_) => "it panicked".to_owned(),
                    };
                    if let Ok(mut failures) = failures.lock() {
                        // Writing to a String cannot fail.
                        let _ = writeln!(failures, "\n=== {}\n{failed}", file.display());
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(|poison| poison.into_inner());
    ensure!(failures.is_empty(), "{failures}");
    Ok(())
}

fn files() -> Result<Vec<PathBuf>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let wanted = env::var("BELLWETHER_SCENARIO").ok();
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let is_wanted = wanted
            .as_deref()
            .is_none_or(|wanted| path.file_stem().is_some_and(|stem| stem == wanted));
        if is_wanted && path.extension().is_some_and(|ending| ending == "txt") {
            files.push(path);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "no scenario in {}", dir.display());
    Ok(files)
}

/// Plays a file in both worlds.
fn compare(file: &Path) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let scenario = Scenario::parse(&name, &text)?;
    let mut tries = 1;
    loop {
        let played = play_really(&scenario)?;
        match rehearse_until(&scenario, &played)? {
            Ok(plays) => {
                eprintln!("{name}: the simulator tells the same in {plays} plays");
                return Ok(());
            }
            Err(difference) => match played.disturbance {
                Some(told) if tries < TRIES => {
                    tries += 1;
                    eprintln!(
                        "{name}: once more, since s{} told {told:?} of one that ran",
                        told.by + 1
                    );
                }
                _ => bail!("{difference}"),
            },
        }
    }
}

fn play_really(scenario: &Scenario) -> Result<Play> {
    let mut stage = Real::start(scenario.cast)?;
    let played = play(scenario, &mut stage);
    stage.check_logs()?;
    match played {
        Ok(played) => {
            if env::var_os("BELLWETHER_SCENARIO").is_some() {
                eprintln!("{}", timeline(&played.told));
            }
            Ok(played)
        }
        Err(error) => bail!("really: {error}\n{}{}", timeline(stage.told()), stage.logs()),
    }
}

/// Plays in the simulator until all that really happened was told there. Gives the number of plays, or the difference.
fn rehearse_until(scenario: &Scenario, played: &Play) -> Result<Result<u64, String>> {
    let reality = Portrait::of(scenario, played);
    let mut repertoire = Repertoire::default();
    for seed in 0..SEEDS {
        let rehearsed = rehearse(scenario, seed).with_context(|| format!("in the simulator, seed {seed}"))?;
        repertoire.add(Portrait::of(scenario, &rehearsed));
        if repertoire.unknown(&reality).is_empty() {
            return Ok(Ok(seed + 1));
        }
    }
    let mut text = format!("{SEEDS} plays in the simulator never tell what really happened:\n");
    for sequence in repertoire.unknown(&reality) {
        text.push_str(&repertoire.difference(&sequence));
    }
    text.push_str(&format!("all that was told:\n{}", timeline(&played.told)));
    Ok(Err(text))
}

fn timeline(told: &[Told]) -> String {
    let mut text = String::new();
    for told in told {
        let words = told.words.join(" ");
        let seconds = told.at.as_secs_f64();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{seconds:8.3} s{} {} {words}", told.by + 1, told.event);
    }
    text
}
