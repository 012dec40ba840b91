//! Whatever happens, one id of a history at one offset stands for the same entries, and once all is well again
//! the replicas catch up. Goal: no order of crashes, freezes and commands breaks replication itself.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;

const SERVERS: u16 = 4;
const SEEDS: u64 = 60;
const STEPS: usize = 300;

struct Chaos {
    net: Net,
    rng: Xoshiro256PlusPlus,
    down: BTreeMap<u16, Remains>,
    writes: u32,
}

impl Chaos {
    fn step(&mut self) {
        let number = self.rng.random_range(1..=SERVERS);
        let other = self.rng.random_range(1..=SERVERS);
        let Some(server) = self.net.servers.get_mut(&number) else {
            if let Some(mut remains) = self.down.remove(&number) {
                if self.rng.random_bool(0.2) {
                    remains = remains.without_data();
                }
                self.net.restart(small(number), Some(remains));
            }
            return;
        };
        match self.rng.random_range(0..30) {
            0 => {
                let remains = self.net.crash(number);
                self.net.frozen.remove(&number);
                self.down.insert(number, remains);
            }
            1 => {
                self.net.frozen.insert(number);
            }
            2 | 3 => self.net.thaw(number),
            4 => server.save(),
            5 => {
                let busy = self.rng.random_bool(0.3);
                self.net
                    .with(number, |server, now, acts| server.set_busy(now, busy, acts));
            }
            6 => self.order(number, follow(None)),
            7 => self.order(number, follow(Some(other))),
            8 => {
                // Most often there is sense in it: else hardly any replica would ever be in step.
                let primary = self
                    .net
                    .servers
                    .iter()
                    .find(|(_, s)| s.is_primary())
                    .map(|(p, _)| *p);
                self.order(number, follow(primary.filter(|primary| *primary != number)));
            }
            9 | 10 => {
                let replica = server
                    .replicas
                    .values()
                    .next()
                    .map(|replica| replica.listens.port());
                let to = replica.unwrap_or(other);
                let to = (at(to).ip().to_string(), to);
                self.order(
                    number,
                    Command::HandOver {
                        to,
                        timeout_ms: 2_000,
                        pause_ms: 2_000,
                    },
                );
            }
            11 => self.order(number, Command::Release),
            12 => self.order(number, Command::ScriptKill),
            13..=19 => {
                let conn = self.net.connect(number, false);
                self.writes += 1;
                self.net.send(conn, Message::Write(WriteId(self.writes)));
            }
            _ => {
                let time = Duration::from_millis(self.rng.random_range(1..3_000));
                self.net.run(time);
            }
        }
    }

    fn order(&mut self, number: u16, command: Command) {
        let conn = self.net.connect(number, true);
        self.net
            .send(conn, Message::Commands(vec![(RequestId(1), command)]));
    }

    fn heal(&mut self) {
        for (number, remains) in std::mem::take(&mut self.down) {
            self.net.restart(small(number), Some(remains));
        }
        self.net.frozen.clear();
        self.net.settle();
        for number in 1..=SERVERS {
            self.net
                .with(number, |server, now, acts| server.set_busy(now, false, acts));
        }
        self.net.run(secs(60));
        for number in (1..=SERVERS).rev() {
            self.order(number, follow((number > 1).then_some(1)));
        }
        self.net.run(secs(60));
    }
}

fn small(number: u16) -> ServerSpec {
    ServerSpec {
        backlog: 10,
        repl_timeout: secs(5),
        ping_period: secs(1),
        ..spec(number, (number > 1).then_some(1))
    }
}

fn check(servers: &BTreeMap<u16, Server>, seed: u64, step: usize) {
    for (a, first) in servers {
        for (b, second) in servers.range(a + 1..) {
            if first.replid() == second.replid() && first.base() == second.base() {
                let common = first.entries().len().min(second.entries().len());
                assert_eq!(
                    first.entries()[..common],
                    second.entries()[..common],
                    "{a} and {b} differ in seed {seed} at step {step}"
                );
            }
        }
    }
}

#[test]
fn one_history_is_one_history() {
    let (mut partial, mut handed_over) = (0, 0);
    for seed in 0..SEEDS {
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut chaos = Chaos {
            net: Net::default(),
            rng,
            down: BTreeMap::new(),
            writes: 0,
        };
        for number in 1..=SERVERS {
            chaos.net.start(small(number));
        }
        for step in 0..STEPS {
            chaos.step();
            check(&chaos.net.servers, seed, step);
        }
        chaos.heal();
        check(&chaos.net.servers, seed, STEPS);
        for (number, server) in chaos.net.servers.range(2..) {
            assert!(server.link_up(), "{number} is not up in seed {seed}: {server:?}");
            assert_eq!(server.replid(), chaos.net[1].replid());
            assert_eq!(
                server.entries(),
                chaos.net[1].entries(),
                "{number} in seed {seed}"
            );
        }
        for stats in chaos.net.servers.values().map(Server::stats) {
            partial += stats.sync_partial;
            handed_over += stats.hand_overs_done;
        }
    }
    assert!(partial > 100, "only {partial} partial synchronizations");
    assert!(handed_over > 15, "only {handed_over} hand-overs");
}
