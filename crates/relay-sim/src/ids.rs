//! Identifiers that a seed reproduces.

use crate::locked;
use crate::random::Random;
use relay_core::ports::{Clock, Ids};
use std::sync::{Arc, Mutex};

pub(crate) struct SimulatedIds {
    clock: Arc<dyn Clock>,
    random: Mutex<(Random, u64)>,
}

impl SimulatedIds {
    pub fn new(clock: Arc<dyn Clock>, random: Random) -> SimulatedIds {
        SimulatedIds { clock, random: Mutex::new((random, 0)) }
    }
}

impl Ids for SimulatedIds {
    fn random(&self) -> u64 {
        locked(&self.random).0.bits()
    }

    fn secret_bytes(&self, bytes: &mut [u8]) {
        let mut random = locked(&self.random);
        bytes.iter_mut().for_each(|byte| *byte = random.0.bits().to_be_bytes()[0]);
    }

    fn unique(&self) -> String {
        let mut random = locked(&self.random);
        random.1 += 1;
        let (serial, tail) = (random.1, random.0.bits() >> 16);
        format!("{:012x}{serial:08x}{tail:012x}", self.clock.now().0)
    }
}
