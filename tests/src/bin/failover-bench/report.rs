//! The table of medians, and the same as JSON.

use anyhow::{Context, Result};
use bellwether_tests::machine::Machine;
use serde_json::json;

use crate::contender::Contender;
use crate::measure::{Fault, Run, Setup};
use crate::planned::{Order, Planned};

/// A figure: its label, and where a run keeps it.
type Figure = (&'static str, fn(&Run) -> Option<f64>);

const FIGURES: [Figure; 5] = [
    ("+sdown, first", |run| run.sdown_ms),
    ("+odown, first", |run| run.odown_ms),
    ("write accepted elsewhere", |run| run.write_ms),
    ("+switch-master, first", |run| run.first_switch_ms),
    ("+switch-master, last", |run| run.last_switch_ms),
];

/// Smallest, middle and largest value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { min, median, max })
    }
}

/// What was measured on, and how.
pub(crate) fn heading(machine: &Machine, setup: &Setup) -> String {
    format!(
        "machine: {}, {} cores, {} MiB, {}\nservers: {}\ncoordinators: {}\n\
         fleet: {} coordinators (quorum {}), 1 primary, {} replicas, down-after {} ms, failover-timeout {} ms\n\
         every run on a fresh fleet, the programs in turn; all figures in ms from the fault",
        machine.cpu,
        machine.cores,
        machine.memory_mib,
        machine.kernel,
        machine.redis,
        machine.bellwether,
        setup.coordinators,
        setup.coordinators / 2 + 1,
        setup.replicas,
        setup.down_after_ms,
        setup.failover_timeout_ms,
    )
}

/// One scenario as text: per figure min, median, max of each program, the median beyond down-after, and how many times as
/// long as each of the others the first one takes.
pub(crate) fn table(scenario: Fault, contenders: &[Contender], runs: &[Run], setup: &Setup) -> String {
    let mut text = format!("{}\n{:26}", scenario.name(), "");
    for contender in contenders {
        text.push_str(&format!("{:^39}", contender.name()));
    }
    let others = contenders.get(1..).unwrap_or_default();
    for other in others {
        text.push_str(&format!("{:>20}", other.name()));
    }
    text.push_str(&format!("\n{:26}", "ms from the fault to"));
    for _ in contenders {
        text.push_str(&format!(
            "{:>8} {:>8} {:>8} {:>9}   ",
            "min", "median", "max", "over"
        ));
    }
    for _ in others {
        text.push_str(&format!("{:>11} {:>8}", "x median", "x over"));
    }
    text.push('\n');
    for (label, figure) in FIGURES {
        let spreads = contenders.iter().map(|each| spread(*each, runs, figure));
        let spreads: Vec<Option<Spread>> = spreads.collect();
        text.push_str(&format!("{label:26}"));
        for spread in &spreads {
            text.push_str(&columns(*spread, setup));
        }
        if let [first, others @ ..] = &spreads[..] {
            others
                .iter()
                .for_each(|other| text.push_str(&ratios(*first, *other, setup)));
        }
        text.push('\n');
    }
    for contender in contenders {
        text.push_str(&remarks(*contender, runs));
    }
    text
}

fn ratios(first: Option<Spread>, other: Option<Spread>, setup: &Setup) -> String {
    let (Some(first), Some(other)) = (first, other) else {
        return format!("{:>11} {:>8}", "-", "-");
    };
    let over = |spread: Spread| spread.median - down_after(setup);
    format!(
        "{:>11} {:>8}",
        ratio(first.median, other.median),
        ratio(over(first), over(other))
    )
}

/// A planned switch as text: per order min, median and max of each figure, and how many times as much the first one takes.
pub(crate) fn planned_table(orders: &[Order], runs: &[Planned]) -> String {
    let mut text = format!("planned\n{:40}", "");
    for label in ["longest gap, ms", "writes lost", "+switch-master, ms"] {
        text.push_str(&format!("{label:^28}"));
    }
    text.push_str(&format!("   ratio\n{:40}", "order"));
    for _ in 0..3 {
        text.push_str(&format!("{:>8} {:>8} {:>8}  ", "min", "median", "max"));
    }
    text.push_str("     gap   runs\n");
    let spread = |order: Order, figure: fn(&Planned) -> f64| {
        let runs = runs.iter().filter(|run| run.order == order);
        Spread::of(runs.map(figure).collect())
    };
    for order in orders.iter().copied() {
        text.push_str(&format!("{:40}", order.name()));
        let figures: [fn(&Planned) -> f64; 3] =
            [|run| run.gap_ms, |run| f64::from(run.lost), |run| run.switch_ms];
        for figure in figures {
            text.push_str(&match spread(order, figure) {
                Some(Spread { min, median, max }) => format!("{min:>8.1} {median:>8.1} {max:>8.1}  "),
                None => format!("{:>8} {:>8} {:>8}  ", "-", "-", "-"),
            });
        }
        let first = orders.first().and_then(|first| spread(*first, |run| run.gap_ms));
        let here = spread(order, |run| run.gap_ms);
        let shown = first
            .zip(here)
            .map(|(first, here)| ratio(first.median, here.median));
        let count = runs.iter().filter(|run| run.order == order).count();
        text.push_str(&format!(
            "{:>8} {count:>6}\n",
            shown.unwrap_or_else(|| "-".to_owned())
        ));
    }
    text
}

/// Everything measured, with the machine and the setup.
pub(crate) fn json(machine: &Machine, setup: &Setup, runs: &[Run], planned: &[Planned]) -> Result<String> {
    let all = json!({ "machine": machine, "setup": setup, "runs": runs, "planned": planned });
    serde_json::to_string_pretty(&all).context("writing the runs as JSON")
}

fn columns(spread: Option<Spread>, setup: &Setup) -> String {
    match spread {
        Some(Spread { min, median, max }) => {
            let over = median - down_after(setup);
            format!("{min:>8.0} {median:>8.0} {max:>8.0} {over:>+9.0}   ")
        }
        None => format!("{:>8} {:>8} {:>8} {:>9}   ", "never", "-", "-", "-"),
    }
}

/// Counts what the spreads hide: moments that never came, leaders killed too late to matter.
fn remarks(contender: Contender, runs: &[Run]) -> String {
    let of_kind = || runs.iter().filter(|run| run.program == contender.name());
    let count = of_kind().count();
    let lacking = of_kind().filter(|run| !run.is_whole()).count();
    let late = of_kind().filter(|run| run.leader_too_late).count();
    let mut text = format!("{}: {count} runs", contender.name());
    if lacking > 0 {
        text.push_str(&format!(", {lacking} without all of these"));
    }
    if late > 0 {
        text.push_str(&format!(
            ", in {late} the leader had promoted before it could be killed"
        ));
    }
    text.push('\n');
    text
}

fn spread(contender: Contender, runs: &[Run], figure: fn(&Run) -> Option<f64>) -> Option<Spread> {
    Spread::of(
        runs.iter()
            .filter(|run| run.program == contender.name())
            .filter_map(figure)
            .collect(),
    )
}

/// How many times as long the reference takes. Nothing sensible can be said of figures that are not above zero.
fn ratio(reference: f64, ours: f64) -> String {
    if reference > 0.0 && ours > 0.0 {
        format!("{:.1}x", reference / ours)
    } else {
        "-".to_owned()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of a setting are far below 2^52"
)]
fn down_after(setup: &Setup) -> f64 {
    setup.down_after_ms as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_of_an_even_number() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!(
            spread,
            Some(Spread {
                min: 1.0,
                median: 2.5,
                max: 4.0
            })
        );
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn a_ratio_of_nothing_is_not_told() {
        assert_eq!(ratio(2290.0, 45.8), "50.0x");
        assert_eq!(ratio(390.0, -3.0), "-");
    }
}
