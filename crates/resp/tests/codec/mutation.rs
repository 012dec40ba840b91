//! A bounded fuzz run in every test run: inputs of the corpus, mutated and spliced by a seeded generator.
//! Any finding reproduces from the seed and the round that the failure names.

use crate::{
    check::{check_replies, check_requests},
    corpus,
};

const SEED: u64 = 0x6265_6c6c_7765_7468;

/// Per direction; together a few seconds in a debug build.
const ROUNDS: u64 = 100_000;

/// Longest mutated input: beyond the limits that the checks set, so that these are reached.
const MAX_INPUT_BYTES: usize = 900;

/// What mutations insert: the protocol's own words reach deeper than random bytes.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r",
    b"\n",
    b"*1\r\n",
    b"*3\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"$5\r\n",
    b"$?\r\n",
    b"%1\r\n",
    b"~2\r\n",
    b">2\r\n",
    b"|1\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",1.5\r\n",
    b"(12\r\n",
    b"=5\r\ntxt:a\r\n",
    b"!3\r\nERR\r\n",
    b":1\r\n",
    b"+OK\r\n",
    b"-ERR x\r\n",
    b"\"",
    b"'",
    b"\\x41",
    b"\\",
    b" ",
    b"\0",
    b"\xff",
    b"POST ",
    b"9223372036854775807",
    b"2147483648",
    b"536870913",
    b"00",
    b"-",
];

#[test]
fn mutated_requests() {
    run("request", check_requests);
}

#[test]
fn mutated_replies() {
    run("reply", check_replies);
}

#[test]
fn every_kept_input_holds() {
    for (name, input) in corpus::load("request") {
        hold(check_requests, &input, || name.clone());
    }
    for (name, input) in corpus::load("reply") {
        hold(check_replies, &input, || name.clone());
    }
}

fn run(direction: &str, check: fn(&[u8])) {
    let seeds: Vec<Vec<u8>> = corpus::load(direction)
        .into_iter()
        .map(|(_, input)| input)
        .collect();
    for round in 0..ROUNDS {
        let mut random = Random(SEED ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let input = mutate(&seeds, &mut random);
        hold(check, &input, || format!("round {round} of seed {SEED:#x}"));
    }
}

/// Runs `check` and says which input it failed on.
fn hold(check: fn(&[u8]), input: &[u8], name: impl Fn() -> String) {
    let result = std::panic::catch_unwind(|| check(input));
    assert!(result.is_ok(), "{}: {}", name(), input.escape_ascii());
}

fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(6) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(20)).min(input.len());
        match random.below(7) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
            3 => drop(input.splice(at..end, WORDS[random.below(WORDS.len())].iter().copied())),
            4 => {
                let copy = input[at..end].to_vec();
                drop(input.splice(at..at, copy));
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                drop(input.splice(at..at, other[from..].iter().copied()));
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    input.truncate(MAX_INPUT_BYTES);
    input
}

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
