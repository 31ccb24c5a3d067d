//! The states found so far: parts that many states share are stored once, and a state is the numbers of its parts.

use crate::state::{Dispatch, Drain, Lane, Message, State, World, dispatch_owner, drain_owner};
use relay_core::lane::OwnerId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

/// Multiply and rotate: fast, and good enough for numbers that we make ourselves.
#[derive(Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        // The high bits are mixed best, and the low ones are used first.
        (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }
    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }
    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// Values by number, found by value.
struct Parts<T> {
    numbers: HashMap<T, u32, BuildHasherDefault<Mix>>,
    values: Vec<T>,
}

impl<T: Clone + Eq + Hash> Parts<T> {
    fn new() -> Parts<T> {
        Parts { numbers: HashMap::default(), values: Vec::new() }
    }

    fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = self.values.len() as u32;
        self.values.push(value.clone());
        self.numbers.insert(value.clone(), number);
        number
    }

    fn value(&self, number: u32) -> &T {
        &self.values[number as usize]
    }
}

/// A state, as the numbers of its parts: world, lanes, dispatchers, drains.
pub(crate) type Packed = [u32; 7];

pub(crate) struct Collection {
    worlds: Parts<World>,
    lanes: Parts<Lane>,
    dispatchers: Parts<Option<Dispatch>>,
    drains: Parts<Option<Rc<Drain>>>,
    states: Vec<Packed>,
    slots: Vec<u32>,
}

impl Collection {
    pub fn new() -> Collection {
        Collection {
            worlds: Parts::new(),
            lanes: Parts::new(),
            dispatchers: Parts::new(),
            drains: Parts::new(),
            states: Vec::new(),
            slots: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.states.len()
    }

    pub fn packed(&self, number: u32) -> Packed {
        self.states[number as usize]
    }

    pub fn state(&self, packed: &Packed) -> State {
        State {
            world: *self.worlds.value(packed[0]),
            lanes: [*self.lanes.value(packed[1]), *self.lanes.value(packed[2])],
            dispatch: [*self.dispatchers.value(packed[3]), *self.dispatchers.value(packed[4])],
            drain: [self.drains.value(packed[5]).clone(), self.drains.value(packed[6]).clone()],
        }
    }

    /// Packs a normal state. Slots of the same kind are interchangeable: they are sorted, and what refers to them is
    /// renamed. `from` is a state that has been packed, for the parts that it shares.
    pub fn pack(&mut self, state: &mut State, from: Option<(&State, &Packed)>) -> Packed {
        let mut packed = [0; 7];
        for slot in 0..2 {
            packed[3 + slot] = match from {
                Some((from, numbers)) if from.dispatch[slot] == state.dispatch[slot] => numbers[3 + slot],
                _ => self.dispatchers.number(&state.dispatch[slot]),
            };
            packed[5 + slot] = match (&state.drain[slot], from) {
                (Some(drain), Some((State { drain: [Some(first), _], .. }, numbers))) if Rc::ptr_eq(drain, first) => {
                    numbers[5]
                }
                (Some(drain), Some((State { drain: [_, Some(second)], .. }, numbers))) if Rc::ptr_eq(drain, second) => {
                    numbers[6]
                }
                (drain, _) => self.drains.number(drain),
            };
        }
        if packed[3] > packed[4] || (packed[3] == packed[4] && refers_first_to_second(state, dispatch_owner)) {
            packed.swap(3, 4);
            state.dispatch.swap(0, 1);
            swap_owners(state, dispatch_owner(0), dispatch_owner(1));
            for message in &mut state.world.queue {
                *message = match *message {
                    Message::InFlight(slot) => Message::InFlight(1 - slot),
                    other => other,
                };
            }
        }
        if packed[5] > packed[6] || (packed[5] == packed[6] && refers_first_to_second(state, drain_owner)) {
            packed.swap(5, 6);
            state.drain.swap(0, 1);
            swap_owners(state, drain_owner(0), drain_owner(1));
        }
        packed[0] = match from {
            Some((from, numbers)) if from.world == state.world => numbers[0],
            _ => self.worlds.number(&state.world),
        };
        for lane in 0..2 {
            packed[1 + lane] = match from {
                Some((from, numbers)) if from.lanes[lane] == state.lanes[lane] => numbers[1 + lane],
                _ => self.lanes.number(&state.lanes[lane]),
            };
        }
        packed
    }

    /// Touches what [`Collection::insert`] will look at: memory answers several questions at once faster than one by one.
    pub fn prefetch(&self, packed: &[Packed]) {
        let mask = self.slots.len().wrapping_sub(1);
        let numbers: u64 =
            packed.iter().filter_map(|packed| self.slots.get(hash(packed) & mask)).map(|slot| u64::from(*slot)).sum();
        std::hint::black_box(numbers);
        let slots = packed.iter().filter_map(|packed| self.slots.get(hash(packed) & mask));
        let parts: u64 =
            slots.filter_map(|slot| self.states.get(*slot as usize)).map(|state| u64::from(state[0])).sum();
        std::hint::black_box(parts);
    }

    /// The state's number, and whether it is new.
    pub fn insert(&mut self, packed: Packed) -> (u32, bool) {
        if (self.states.len() + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash(&packed) & mask;
        loop {
            match self.slots[at] {
                u32::MAX => {
                    let number = self.states.len() as u32;
                    self.slots[at] = number;
                    if self.states.len() == self.states.capacity() {
                        self.states.reserve_exact(self.states.len() / 4 + (1 << 12)); // memory is the limit
                    }
                    self.states.push(packed);
                    return (number, true);
                }
                number if self.states[number as usize] == packed => return (number, false),
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(1 << 12);
        self.slots = vec![u32::MAX; size];
        for (number, state) in self.states.iter().enumerate() {
            let mut at = hash(state) & (size - 1);
            while self.slots[at] != u32::MAX {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = number as u32;
        }
    }
}

fn hash(packed: &Packed) -> usize {
    let mut mix = Mix::default();
    packed.iter().for_each(|part| mix.write_u32(*part));
    mix.finish() as usize
}

/// True if of two actors that know the same, the second is the first to be referred to.
fn refers_first_to_second(state: &State, owner_of: fn(usize) -> OwnerId) -> bool {
    let messages = state.world.queue.iter().filter_map(|message| match message {
        Message::InFlight(slot) => Some(dispatch_owner(usize::from(*slot))),
        _ => None,
    });
    let leases = state.lanes.iter().filter_map(|lane| Some(lane.tenure?.lease?.owner));
    messages.chain(leases).find(|owner| (0..2).any(|slot| *owner == owner_of(slot))) == Some(owner_of(1))
}

fn swap_owners(state: &mut State, one: OwnerId, other: OwnerId) {
    for lease in state.lanes.iter_mut().filter_map(|lane| lane.tenure.as_mut()?.lease.as_mut()) {
        lease.owner = match lease.owner {
            owner if owner == one => other,
            owner if owner == other => one,
            owner => owner,
        };
    }
}
