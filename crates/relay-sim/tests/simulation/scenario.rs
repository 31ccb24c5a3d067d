//! What a seed makes of a world: who publishes what, who subscribes how, what goes wrong, and when.

use relay_core::lane::ResolveAction;
use relay_core::retry::{OnExhausted, OnRejected, RetryPolicy};
use relay_core::subscription::{Endpoint, Mode};
use relay_sim::Shape;
use relay_sim::random::Random;
use relay_sim::schedule::Hazards;
use relay_sim::webhooks::Reaction;
use std::time::Duration;

/// Everything that a run follows, drawn from its seed.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub shape: Shape,
    pub processes: Vec<ProcessPlan>,
    pub hazards: Hazards,
    /// How long things go wrong, in milliseconds.
    pub storm_ms: u64,
    pub topics: u64,
    pub subscriptions: Vec<SubscriptionPlan>,
    pub publishers: Vec<Vec<RequestPlan>>,
    pub actions: Vec<(u64, Action)>,
    /// When all is settled, the dead letters are redriven, and have to be delivered too.
    pub redriven_at_last: bool,
}

#[derive(Clone, Debug)]
pub struct ProcessPlan {
    pub dispatchers: u64,
    pub drainers: u64,
    /// When it is killed as a whole.
    pub restarts: Vec<u64>,
    /// When its clock jumps, and how far it is off from then on.
    pub jumps: Vec<(u64, i64)>,
}

#[derive(Clone, Debug)]
pub struct SubscriptionPlan {
    pub topic: u64,
    pub created_at: u64,
    /// It gets what is in the log already.
    pub from_earliest: bool,
    pub endpoint: Endpoint,
    pub retry: RetryPolicy,
    pub rate_limit: Option<u32>,
    /// How its endpoint reacts, from which time on.
    pub weather: Vec<(u64, Vec<(u32, Reaction)>)>,
    /// Ids of events that it never accepts while the storm lasts.
    pub poison: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct RequestPlan {
    /// How long after the answer to the one before.
    pub after_ms: u64,
    pub topic: u64,
    pub events: Vec<EventPlan>,
    /// It is published again, though it was answered.
    pub repeated: bool,
}

#[derive(Clone, Debug)]
pub struct EventPlan {
    pub id: String,
    /// None: without a partition key.
    pub key: Option<u64>,
}

/// What an operator does. Numbers are those of subscriptions in the scenario.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Pause(usize),
    Resume(usize),
    Resolve(usize, ResolveAction),
    Delete(usize),
    DeleteDeadLetter(usize),
    Redrive(usize),
    Replay(usize),
    CancelReplay(usize),
    Skip(usize),
}

impl Scenario {
    /// The scenario of a seed.
    pub fn draw(random: &mut Random) -> Scenario {
        let storm_ms = random.within(5_000..90_000);
        let topics = 1 + u64::from(random.happens(2_000));
        let keys = random.within(1..5);
        let processes: Vec<_> = (0..random.within(1..3)).map(|_| process(random, storm_ms)).collect();
        let mut number = 0;
        let publishers = (0..random.within(1..3))
            .map(|publisher| publisher_plan(random, publisher, topics, keys, storm_ms, &mut number));
        let publishers: Vec<Vec<RequestPlan>> = publishers.collect();
        let subscriptions: Vec<_> =
            (0..random.within(1..4)).map(|index| subscription(random, index, topics, storm_ms, number)).collect();
        let actions = (0..random.within(0..6)).flat_map(|_| actions(random, storm_ms, subscriptions.len())).collect();
        Scenario {
            shape: if random.happens(7_000) { Shape::Apart } else { Shape::One },
            processes,
            hazards: hazards(random),
            redriven_at_last: random.happens(5_000),
            storm_ms,
            topics,
            subscriptions,
            publishers,
            actions,
        }
    }
}

fn process(random: &mut Random, storm_ms: u64) -> ProcessPlan {
    let times = |random: &mut Random, most| {
        let mut times: Vec<u64> = (0..random.within(0..most)).map(|_| random.within(0..storm_ms)).collect();
        times.sort_unstable();
        times
    };
    let restarts = times(random, 3);
    let jumps = if random.happens(3_000) { times(random, 4) } else { Vec::new() };
    let off_by = |random: &mut Random| {
        let span = if random.happens(2_000) { 600_000 } else { 40_000 };
        i64::try_from(random.within(0..span)).unwrap_or(0) - 20_000
    };
    ProcessPlan {
        dispatchers: random.within(1..3),
        drainers: random.within(1..3),
        restarts,
        jumps: jumps.into_iter().map(|at| (at, off_by(random))).collect(),
    }
}

fn publisher_plan(
    random: &mut Random,
    publisher: u64,
    topics: u64,
    keys: u64,
    storm_ms: u64,
    number: &mut u64,
) -> Vec<RequestPlan> {
    let unordered = if random.happens(3_000) { 3_000 } else { 0 };
    let burst = random.happens(5_000);
    let mut request = |random: &mut Random| {
        let size = if random.happens(3_000) { random.within(2..6) } else { 1 };
        let events = (0..size).map(|_| {
            *number += 1;
            let key = if random.happens(unordered) { None } else { Some(random.within(0..keys)) };
            EventPlan { id: format!("e{publisher}.{number}"), key }
        });
        RequestPlan {
            events: events.collect(),
            after_ms: if burst { random.within(0..50) } else { random.within(0..storm_ms / 6) },
            topic: random.within(0..topics),
            repeated: random.happens(500),
        }
    };
    (0..random.within(2..12)).map(|_| random.branch()).map(|mut random| request(&mut random)).collect()
}

fn subscription(random: &mut Random, index: u64, topics: u64, storm_ms: u64, events: u64) -> SubscriptionPlan {
    let mode = *random.one_of(&[Mode::Structured, Mode::Structured, Mode::Batch, Mode::Binary, Mode::Raw]).unwrap();
    let schedules: [&[u64]; 5] = [&[50], &[200, 1_000], &[1_000, 5_000], &[500, 500, 20_000], &[5_000, 30_000, 60_000]];
    let poison = |random: &mut Random| format!("e{}.{}", random.within(0..2), random.within(1..events + 1));
    SubscriptionPlan {
        topic: random.within(0..topics),
        created_at: if random.happens(7_000) { 0 } else { random.within(0..storm_ms) },
        from_earliest: random.happens(3_000),
        endpoint: Endpoint {
            url: format!("https://sink.example/{index}"),
            headers: Vec::new(),
            timeout_ms: *random.one_of(&[1_000, 1_000, 3_000, 10_000, 30_000]).unwrap(),
            mode,
            max_batch: if mode == Mode::Batch { u16::try_from(random.within(2..6)).unwrap() } else { 1 },
        },
        retry: RetryPolicy {
            schedule_ms: random.one_of(&schedules).unwrap().to_vec(),
            max_age_ms: *random.one_of(&[1_000, 20_000, 300_000, 259_200_000]).unwrap(),
            on_exhausted: *random.one_of(&[OnExhausted::DeadLetter, OnExhausted::Block]).unwrap(),
            on_rejected: *random.one_of(&[OnRejected::Retry, OnRejected::DeadLetter, OnRejected::Block]).unwrap(),
        },
        rate_limit: random.happens(1_500).then(|| u32::try_from(random.within(1..6)).unwrap()),
        weather: weather(random, storm_ms),
        poison: if random.happens(2_000) { vec![poison(random), poison(random)] } else { Vec::new() },
    }
}

fn weather(random: &mut Random, storm_ms: u64) -> Vec<(u64, Vec<(u32, Reaction)>)> {
    let mut at = 0;
    let mut phases = Vec::new();
    while at < storm_ms {
        phases.push((at, phase(random)));
        at += random.within(2_000..40_000);
    }
    phases
}

fn phase(random: &mut Random) -> Vec<(u32, Reaction)> {
    let wait = Duration::from_millis(random.within(500..10_000));
    let slow = Duration::from_millis(random.within(100..4_000));
    let phases: [Vec<(u32, Reaction)>; 10] = [
        vec![(1, Reaction::Accept)],
        vec![(1, Reaction::Accept)],
        vec![(4, Reaction::Accept), (1, Reaction::Status(500)), (1, Reaction::Reset(true))],
        vec![(2, Reaction::Status(500)), (1, Reaction::Refuse), (1, Reaction::Reset(false))],
        vec![(3, Reaction::Hang(false)), (1, Reaction::Hang(true))],
        vec![(2, Reaction::Slow(slow)), (1, Reaction::Accept)],
        vec![(3, Reaction::RetryAfter(429, wait)), (1, Reaction::RetryAfter(503, wait)), (2, Reaction::Accept)],
        vec![(2, Reaction::Status(400)), (3, Reaction::Accept)],
        vec![(1, Reaction::Status(410)), (6, Reaction::Accept)],
        vec![(2, Reaction::Reset(true)), (2, Reaction::Hang(true)), (1, Reaction::Status(302))],
    ];
    random.one_of(&phases).unwrap().clone()
}

/// Something that an operator does, and what follows from it.
fn actions(random: &mut Random, storm_ms: u64, subscriptions: usize) -> Vec<(u64, Action)> {
    let mut actions = vec![action(random, storm_ms, subscriptions)];
    while let Some(&(at, last)) = actions.last()
        && random.happens(2_500)
    {
        let next = match last {
            Action::Pause(which) => Action::Skip(which),
            Action::Skip(which) => *random.one_of(&[Action::Replay(which), Action::Resume(which)]).unwrap(),
            Action::Replay(which) => *random.one_of(&[Action::CancelReplay(which), Action::Resume(which)]).unwrap(),
            _ => break,
        };
        actions.push(((at + random.within(0..10_000)).min(storm_ms), next));
    }
    actions
}

fn action(random: &mut Random, storm_ms: u64, subscriptions: usize) -> (u64, Action) {
    let which = random.index(subscriptions);
    let resolve = *random.one_of(&[ResolveAction::Retry, ResolveAction::Skip, ResolveAction::DeadLetter]).unwrap();
    let action = match random.within(0..34) {
        0..5 => Action::Pause(which),
        5..10 => Action::Resume(which),
        10..14 => Action::Resolve(which, resolve),
        14..16 => Action::Redrive(which),
        16 => Action::DeleteDeadLetter(which),
        17..24 => Action::Replay(which),
        24 => Action::CancelReplay(which),
        25..33 => Action::Skip(which),
        _ => Action::Delete(which),
    };
    (random.within(0..storm_ms), action)
}

/// Some worlds are calm, some have one kind of trouble, some have all of it.
fn hazards(random: &mut Random) -> Hazards {
    let torn_read = *random.one_of(&[0, 5_000, 10_000]).unwrap();
    let base = Hazards { torn_read, short_receive: 3_000, late_receipt: 5_000, ..Hazards::none() };
    let store =
        Hazards { failure: 100, lost_answer: 100, throttled: 50, entry_failure: 500, slow_call: 30, ..base.clone() };
    match random.within(0..8) {
        0 => base,
        1 => Hazards { crash: 100, ..base },
        2 => Hazards { stall: 60, slow_call: 100, hurry: 300, ..base },
        3 => store,
        4 => Hazards {
            lost_wake_up: 3_000,
            repeated_wake_up: 3_000,
            early_wake_up: 3_000,
            stale_index: 5_000,
            crash: 20,
            ..base
        },
        5 => Hazards { stall: 30, crash: 30, lost_answer: 200, unstoppable_request: 5_000, hurry: 100, ..base },
        _ => Hazards {
            crash: 30,
            stall: 15,
            lost_wake_up: 1_000,
            repeated_wake_up: 1_000,
            early_wake_up: 500,
            stale_index: 1_500,
            unstoppable_request: 3_000,
            hurry: 50,
            ..store
        },
    }
}
