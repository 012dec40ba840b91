//! The same bytes to a real sentinel, of Redis or of Valkey, and to `bellwether`: the same bytes must come back.
//!
//! `tests/golden/*.txt` hold the requests, `differences.txt` every difference that is allowed, with its reason, and
//! `valkey.txt` those that only Valkey needs. What is not allowed fails, and so does an allowance that nothing needed. The
//! tables in `docs/compatibility.md` are made from those lists; `BELLWETHER_TESTS_WRITE=1` writes them anew.
//!
//! Only what must differ is made equal before the comparison: ids, ports, times, versions ([`mask`]).
#![expect(clippy::print_stdout, reason = "what was compared is part of the result")]

mod allowed;
mod document;
mod events;
mod mask;
mod pair;
mod table;
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use bellwether_tests::{Kind, wait_for};

use allowed::{Allowed, Difference};
use mask::Mask;
use pair::{Pairs, Servers};
use table::{Case, Form};
use wire::Reply;

/// How long both sides get to find out the same: INFO comes every ten seconds, hellos every two.
const SAME_LIMIT: Duration = Duration::from_secs(30);

#[test]
fn replies_are_the_same_bytes_as_those_of_the_reference() -> Result<()> {
    compare_with(Kind::RedisSentinel)
}

#[test]
fn replies_are_the_same_bytes_as_those_of_valkey() -> Result<()> {
    compare_with(Kind::ValkeySentinel)
}

/// Sends all cases to this reference and to us.
fn compare_with(reference: Kind) -> Result<()> {
    let mut allowed = Allowed::read_for(reference)?;
    allowed.keep(|entry| !entry.is_about_events());
    let cases = table::read_all()?;
    let mut pairs = Pairs::with(reference);
    let mut tally = Tally::default();
    let mut differences = Vec::new();
    for case in &cases {
        let servers = pairs.get(case.servers)?;
        for &form in case.forms() {
            differences.extend(compare(servers, (case, form), &allowed, &mut tally)?);
        }
    }
    let catalogue = catalogue(pairs.get("plain")?, &allowed, &mut differences, &mut tally)?;
    let covered: BTreeSet<String> = cases.iter().flat_map(Case::command_names).collect();
    let missed: Vec<&String> = catalogue.iter().filter(|name| !covered.contains(*name)).collect();
    let report = allowed.judge(&differences);
    println!(
        "compared with {}: {} commands of the reference, {} cases, {} exchanges, {} replies, {} different errors",
        pairs.reference_version()?,
        catalogue.len(),
        cases.len(),
        tally.exchanges,
        tally.replies,
        tally.errors.len(),
    );
    println!("{report}");
    ensure!(missed.is_empty(), "commands without a case: {missed:?}");
    report.into_result()
}

/// What was compared.
#[derive(Default)]
struct Tally {
    exchanges: usize,
    replies: usize,
    errors: BTreeSet<String>,
    /// Something that takes both a while was not the same in the end.
    is_late: bool,
}

impl Tally {
    fn count(&mut self, replies: &[Reply]) {
        self.exchanges += 1;
        self.replies += replies.len();
        let errors = replies.iter().filter_map(Reply::error);
        self.errors.extend(errors.map(str::to_owned));
    }
}

/// Sends a case to both and compares what comes back.
fn compare(
    servers: &Servers,
    (case, form): (&Case, Form),
    allowed: &Allowed,
    tally: &mut Tally,
) -> Result<Vec<Difference>> {
    let bytes = case.bytes(form, servers);
    let mask = Mask::new(servers, case);
    let look = || -> Result<(Vec<Reply>, Vec<Difference>)> {
        let theirs = mask.all(wire::exchange(servers.reference.port(), &bytes, case.closes)?);
        let ours = mask.all(wire::exchange(servers.bellwether.port(), &bytes, case.closes)?);
        let differences = allowed::differences(case, form, &theirs, &ours);
        Ok((theirs, differences))
    };
    let (replies, differences) = if case.eventually {
        let mut last = None;
        // Whoever has not found out by then will not with another case either.
        let limit = if tally.is_late { Duration::ZERO } else { SAME_LIMIT };
        let same = wait_for(&case.text, limit, || {
            let (replies, differences) = look()?;
            let is_same = differences.iter().all(|difference| allowed.covers(difference));
            last = Some((replies, differences));
            ensure!(is_same, "not yet");
            Ok(())
        });
        tally.is_late |= same.is_err();
        match (same, last) {
            (_, Some(last)) => last,
            (Err(error), None) => return Err(error),
            (Ok(()), None) => (Vec::new(), Vec::new()),
        }
    } else {
        look()?
    };
    tally.count(&replies);
    Ok(differences)
}

/// Compares what `COMMAND INFO` says of each command that the reference lists. Gives their names.
fn catalogue(
    servers: &Servers,
    allowed: &Allowed,
    differences: &mut Vec<Difference>,
    tally: &mut Tally,
) -> Result<BTreeSet<String>> {
    let names: Vec<String> = servers.reference.ask(&["COMMAND", "LIST"])?;
    for name in &names {
        // Containers would repeat what is asked for each subcommand.
        if names.iter().any(|other| other.starts_with(&format!("{name}|"))) {
            continue;
        }
        let case = Case::plain(&format!("COMMAND INFO {name}"));
        for form in [Form::Multibulk2, Form::Multibulk3] {
            differences.extend(compare(servers, (&case, form), allowed, tally)?);
        }
    }
    Ok(names.into_iter().collect())
}
