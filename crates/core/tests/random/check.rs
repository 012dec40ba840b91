//! What must hold for any input, text or bytes. The fuzz targets include this file and the world too.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;

use bellwether_core::EventKind;
use rand::TryRng;

use crate::world::World;

/// What separates the texts of `info` in one input.
const SEPARATOR: &str = "----\n";

/// Steps of one input: enough for a failover, few enough that each input is soon done.
pub(crate) const MAX_STEPS: usize = 300;

/// More than any real answer sequence needs.
const MAX_TEXTS: usize = 64;

/// A source that gives these bytes, then nothing but zeros.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl TryRng for Bytes<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut number = [0; 4];
        self.try_fill_bytes(&mut number)?;
        Ok(u32::from_le_bytes(number))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        // Half of the bits are enough for every choice here, and make the inputs half as long.
        Ok(u64::from(self.try_next_u32()?) << 32)
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        to.fill(0);
        let count = to.len().min(self.0.len());
        let (now, later) = self.0.split_at(count);
        to[..count].copy_from_slice(now);
        self.0 = later;
        Ok(())
    }
}

/// Bytes that say what happens, as a random source would. Gives the kinds of events that came.
pub(crate) fn check_inputs(input: &[u8]) -> BTreeSet<EventKind> {
    let mut world = World::at_random(Bytes(input));
    for _ in 0..MAX_STEPS {
        if world.source().0.is_empty() {
            break;
        }
        world.step();
    }
    world.events().clone()
}

/// Hellos, one in each line.
pub(crate) fn check_hellos(text: &str) -> BTreeSet<EventKind> {
    both_ways(|world| world.hear(text))
}

/// Texts of INFO: what the servers say that are asked, in their turn.
pub(crate) fn check_infos(text: &str) -> BTreeSet<EventKind> {
    let texts: VecDeque<String> = text.split(SEPARATOR).take(MAX_TEXTS).map(str::to_owned).collect();
    both_ways(|world| world.read(&mut texts.clone()))
}

/// With names allowed, and without.
fn both_ways(run: impl Fn(&mut World<Bytes<'static>>)) -> BTreeSet<EventKind> {
    let mut events = BTreeSet::new();
    for resolve_hostnames in [false, true] {
        let mut world = World::well(Bytes(&[]), resolve_hostnames);
        run(&mut world);
        events.extend(world.events());
    }
    events
}
