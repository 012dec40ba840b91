//! Plays a scenario on a stage: the meaning of every step, the same wherever it is played.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Act, Cast, Cue, Play, Role, Scenario, Stage, Step, Told, What, Who};

/// All is settled when nobody has told anything for this long: longer than a period of pings and questions, so that
/// what follows from the last step has shown itself.
const QUIET: Duration = Duration::from_millis(1_300);
/// How long a step may wait. A return from a cut takes some ten seconds at most; twice that leaves room for a slow
/// machine.
const LIMIT: Duration = Duration::from_secs(40);

/// A play that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {text:?}: {what}")]
pub struct PlayError {
    /// The number of the line.
    pub line: usize,
    /// Its words.
    pub text: String,
    /// What went wrong.
    pub what: String,
}

/// Plays a scenario to its end.
///
/// # Errors
/// When the stage breaks, a wait is too long, an act does not fit, or an expectation does not hold.
pub fn play<S: Stage>(scenario: &Scenario, stage: &mut S) -> Result<Play, PlayError> {
    let mut player = Player {
        cast: scenario.cast,
        stage,
        stopped: BTreeSet::new(),
        cuts: BTreeSet::new(),
        leader: None,
        disturbance: None,
        heard: 0,
        mark: 0,
        waits: true,
        forgotten: vec![0; scenario.cast.coordinators],
    };
    let mut begin = None;
    for step in &scenario.steps {
        player.step(&step.what).map_err(|what| player.error(step, what))?;
        begin.get_or_insert_with(|| player.stage.told().len());
    }
    player.look_for_disturbance();
    Ok(Play {
        told: player.stage.told()[begin.unwrap_or(0)..].to_vec(),
        leader: player.leader,
        disturbance: player.disturbance,
    })
}

struct Player<'a, S> {
    cast: Cast,
    stage: &'a mut S,
    /// Who is crashed or paused.
    stopped: BTreeSet<Who>,
    cuts: BTreeSet<(Who, Who)>,
    leader: Option<usize>,
    disturbance: Option<Told>,
    /// How many events were looked at for disturbances.
    heard: usize,
    /// Events from here on count for waits: from the first act after the last wait.
    mark: usize,
    /// The last step has waited for something.
    waits: bool,
    /// Where the present life of each coordinator begins among the events.
    forgotten: Vec<usize>,
}

impl<S: Stage> Player<'_, S> {
    fn error(&mut self, step: &Step, what: String) -> PlayError {
        PlayError {
            line: step.line,
            text: step.text.clone(),
            what,
        }
    }

    fn step(&mut self, what: &What) -> Result<(), String> {
        match what {
            What::Settle => self.settle(),
            What::Do(act) => {
                if std::mem::take(&mut self.waits) {
                    self.mark = self.stage.told().len();
                    self.stage.idle().map_err(|error| format!("{error:#}"))?;
                }
                self.act(act)
            }
            What::Wait(cue, tellers) => self.wait(cue, tellers),
            What::When(cue, act) => {
                let teller = self.until(|player| {
                    let told = &player.stage.told()[player.mark..];
                    let found = told.iter().find(|told| cue.is_met_by(told));
                    found
                        .map(|told| told.by)
                        .ok_or_else(|| format!("nobody has told {}", cue.event))
                })?;
                self.leader = Some(teller);
                self.act(act)
            }
            What::Expect(wanted) => self.expect(*wanted),
        }
    }

    /// Calls `look` until it finds what it looks for.
    fn until<T>(&mut self, mut look: impl FnMut(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.waits = true;
        let deadline = self.stage.now() + LIMIT;
        loop {
            match look(self) {
                Ok(found) => return Ok(found),
                Err(status) if self.stage.now() >= deadline => {
                    return Err(format!("waited {LIMIT:?}; {status}"));
                }
                Err(_) => self.stage.pass().map_err(|error| format!("{error:#}"))?,
            }
        }
    }

    fn wait(&mut self, cue: &Cue, tellers: &[usize]) -> Result<(), String> {
        self.until(|player| {
            let awaited: Vec<usize> = if tellers.is_empty() {
                player.running_coordinators()
            } else {
                tellers.to_vec()
            };
            let told = &player.stage.told()[player.mark..];
            let missing = awaited
                .iter()
                .find(|n| !told.iter().any(|told| told.by == **n && cue.is_met_by(told)));
            match missing {
                None => Ok(()),
                Some(n) => Err(format!("s{} has not told {}", n + 1, cue.event)),
            }
        })
    }

    /// Looks at what was told while everybody was in their present state.
    fn look_for_disturbance(&mut self) {
        let told = self.stage.told();
        let new = &told[self.heard..];
        self.heard = told.len();
        let odd = new
            .iter()
            .find(|told| told.event == "+sdown" && !self.should_be_down(told.by).contains(told.subject()));
        self.disturbance = self.disturbance.take().or_else(|| odd.cloned());
    }

    fn act(&mut self, act: &Act) -> Result<(), String> {
        let act = self.resolve(act)?;
        self.look_for_disturbance();
        match &act {
            Act::Crash(who) => {
                self.must_run(*who)?;
                self.stopped.insert(*who);
            }
            Act::Pause(who) => {
                self.must_run(*who)?;
                self.stopped.insert(*who);
            }
            Act::Restart(who, _) | Act::Resume(who) => {
                if !self.stopped.remove(who) {
                    return Err(format!("{who} runs already"));
                }
            }
            Act::Cut(pairs) => self.cuts.extend(pairs),
            Act::Heal => self.cuts.clear(),
            Act::Failover(who, _) => self.must_run(*who)?,
        }
        self.stage.act(&act).map_err(|error| format!("{error:#}"))?;
        if let Act::Crash(Who::Coordinator(n)) = act {
            self.forgotten[n] = self.stage.told().len();
        }
        Ok(())
    }

    fn must_run(&self, who: Who) -> Result<(), String> {
        if self.stopped.contains(&who) {
            return Err(format!("{who} does not run"));
        }
        Ok(())
    }

    /// The act with the name of the leader in it.
    fn resolve(&self, act: &Act) -> Result<Act, String> {
        let leader = self.leader;
        let name = |who: Who| match who {
            Who::Leader => leader
                .map(Who::Coordinator)
                .ok_or_else(|| "nobody is the leader".to_owned()),
            who => Ok(who),
        };
        Ok(match act {
            Act::Crash(who) => Act::Crash(name(*who)?),
            Act::Restart(who, empty) => Act::Restart(name(*who)?, *empty),
            Act::Pause(who) => Act::Pause(name(*who)?),
            Act::Resume(who) => Act::Resume(name(*who)?),
            Act::Failover(who, coordinated) => Act::Failover(name(*who)?, *coordinated),
            Act::Cut(pairs) => {
                let named = pairs.iter().map(|(from, to)| Ok((name(*from)?, name(*to)?)));
                Act::Cut(named.collect::<Result<_, String>>()?)
            }
            Act::Heal => Act::Heal,
        })
    }

    fn settle(&mut self) -> Result<(), String> {
        let mut quiet_since = None;
        let mut heard = 0;
        self.until(|player| {
            let now = player.stage.now();
            let told = player.stage.told().len();
            if told != heard {
                heard = told;
                quiet_since = None;
            }
            if let Err(unrest) = player.look_around() {
                quiet_since = None;
                return Err(unrest);
            }
            if now.saturating_sub(*quiet_since.get_or_insert(now)) < QUIET {
                return Err("all is well, but not for long enough".to_owned());
            }
            Ok(())
        })
    }

    /// Whether everybody who runs and can be reached is as they should be, and seen so by everybody.
    fn look_around(&mut self) -> Result<(), String> {
        let told = self.stage.told();
        let running = self.running_coordinators();
        for n in &running {
            let seen = down(*n, &told[self.forgotten[*n]..]);
            let wanted = self.should_be_down(*n);
            if seen != wanted {
                return Err(format!("s{} sees {seen:?} down and not {wanted:?}", n + 1));
            }
        }
        let mut primary = None;
        for n in running {
            let view = self.stage.view(n).map_err(|error| format!("{error:#}"))?;
            if (view.replicas, view.peers) != (self.cast.servers - 1, self.cast.coordinators - 1) {
                return Err(format!("s{} does not know all: {view:?}", n + 1));
            }
            if self.is_cut(Who::Coordinator(n)) {
                continue;
            }
            if *primary.get_or_insert(view.primary) != view.primary {
                return Err(format!("s{} names {:?} as the primary", n + 1, view.primary));
            }
        }
        let primary = primary.flatten().ok_or("nobody names a primary")?;
        for n in 0..self.cast.servers {
            let who = Who::Server(n);
            if self.stopped.contains(&who) || self.is_cut(who) {
                continue;
            }
            let role = self.stage.role(n).map_err(|error| format!("{error:#}"))?;
            let wanted = if n == primary {
                Role::Primary
            } else {
                Role::Replica(Some(primary), true)
            };
            // A replica cannot be in touch with a primary that does not run.
            let excused = self.stopped.contains(&Who::Server(primary)) || self.is_cut(Who::Server(primary));
            if role != wanted && !excused {
                return Err(format!("{who} is {role:?} and not {wanted:?}"));
            }
        }
        Ok(())
    }

    fn expect(&mut self, wanted: Option<usize>) -> Result<(), String> {
        for n in self.running_coordinators() {
            if self.is_cut(Who::Coordinator(n)) {
                continue;
            }
            let view = self.stage.view(n).map_err(|error| format!("{error:#}"))?;
            let holds = match wanted {
                None => view.primary.is_some_and(|primary| primary != 0),
                Some(_) => view.primary == wanted,
            };
            if !holds {
                let named = view.primary.map(|primary| Who::Server(primary).to_string());
                return Err(format!("s{} names {named:?}", n + 1));
            }
        }
        Ok(())
    }

    fn running_coordinators(&self) -> Vec<usize> {
        (0..self.cast.coordinators)
            .filter(|n| !self.stopped.contains(&Who::Coordinator(*n)))
            .collect()
    }

    fn is_cut(&self, who: Who) -> bool {
        self.cuts.iter().any(|(from, to)| *from == who || *to == who)
    }

    /// Who does not answer a coordinator.
    fn should_be_down(&self, n: usize) -> BTreeSet<String> {
        let own = Who::Coordinator(n);
        let others = self.cast.all().filter(|who| *who != own);
        others
            .filter(|who| {
                self.stopped.contains(who)
                    || self.cuts.contains(&(own, *who))
                    || self.cuts.contains(&(*who, own))
            })
            .map(|who| who.to_string())
            .collect()
    }
}

impl Cue {
    fn is_met_by(&self, told: &Told) -> bool {
        told.event == self.event && self.subject.is_none_or(|who| told.subject() == who.to_string())
    }
}

/// Whom a coordinator has told to be down and not up again, whatever role they had.
fn down(coordinator: usize, told: &[Told]) -> BTreeSet<String> {
    let mut down = BTreeSet::new();
    for told in told.iter().filter(|told| told.by == coordinator) {
        match told.event.as_str() {
            "+sdown" => {
                down.insert(told.subject().to_owned());
            }
            "-sdown" => {
                down.remove(told.subject());
            }
            _ => {}
        }
    }
    down
}
