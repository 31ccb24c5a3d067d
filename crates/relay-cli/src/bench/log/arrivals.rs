//! What of the corpus has arrived at a webhook: checked for order, losses and repeats as it comes.

use crate::load::corpus::partition_key;
use crate::load::stopwatch::Nanos;
use memchr::memmem;
use relay_core::sequence::Sequence;

/// The books of one webhook that gets single events in the structured form.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    customers: Vec<Customer>,
    pub count: u64,
    pub out_of_order: u64,
    pub duplicates: u64,
    /// Deliveries of nothing that is in the corpus.
    pub strangers: u64,
    pub first: Option<Nanos>,
    pub last: Nanos,
}

/// What has arrived of one customer, and what should.
#[derive(Clone, Debug, Default)]
struct Customer {
    expected: u32,
    count: u32,
    last: Option<Sequence>,
}

impl Arrivals {
    /// Nothing yet, of the orders of these customers.
    pub fn expected(customers: impl Iterator<Item = u32>) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for customer in customers {
            let at = customer as usize;
            if arrivals.customers.len() <= at {
                arrivals.customers.resize(at + 1, Customer::default());
            }
            arrivals.customers[at].expected += 1;
        }
        arrivals
    }

    /// How many there should be.
    pub fn wanted(&self) -> u64 {
        self.customers.iter().map(|customer| u64::from(customer.expected)).sum()
    }

    /// How many have not arrived.
    pub fn missing(&self) -> u64 {
        let missing = |customer: &Customer| u64::from(customer.expected.saturating_sub(customer.count));
        self.customers.iter().map(missing).sum()
    }

    /// Enters one delivery.
    pub fn enter(&mut self, body: &[u8], now: Nanos) {
        let known = customer_of(body).zip(sequence_of(body));
        let Some((customer, sequence)) = known.and_then(|(at, sequence)| Some((self.customers.get_mut(at)?, sequence)))
        else {
            self.strangers += 1;
            return;
        };
        match customer.last {
            Some(last) if sequence == last => self.duplicates += 1,
            Some(last) if sequence < last => self.out_of_order += 1,
            _ => {
                customer.last = Some(sequence);
                customer.count += 1;
                self.count += 1;
                self.first.get_or_insert(now);
                self.last = now;
            }
        }
    }
}

/// The value of an attribute, which the broker writes before the data.
fn attribute<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let start = memmem::find(body, name.as_bytes())? + name.len();
    let length = memchr::memchr(b'"', &body[start..])?;
    std::str::from_utf8(&body[start..start + length]).ok()
}

fn customer_of(body: &[u8]) -> Option<usize> {
    let key = attribute(body, "\"partitionkey\":\"")?;
    let number = key.rsplit('-').next()?.parse().ok()?;
    (key == partition_key(number)).then_some(number as usize)
}

fn sequence_of(body: &[u8]) -> Option<Sequence> {
    attribute(body, "\"sequence\":\"")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::sequence::PackSequence;

    fn body(customer: &str, number: u128) -> Vec<u8> {
        let sequence = PackSequence { era: 1, number }.event(0);
        let text = format!(r#"{{"id":"1","partitionkey":"{customer}","sequence":"{sequence}","data":{{"a":1}}}}"#);
        text.into_bytes()
    }

    #[test]
    fn gaps_repeats_and_what_comes_late_are_told_apart() {
        let mut arrivals = Arrivals::expected([2, 2, 2, 5].into_iter());
        assert_eq!((arrivals.wanted(), arrivals.missing()), (4, 4));
        for (customer, number) in [(2, 10), (2, 12), (2, 12), (2, 11)] {
            arrivals.enter(&body(&partition_key(customer), number), number as Nanos);
        }
        assert_eq!((arrivals.count, arrivals.duplicates, arrivals.out_of_order), (2, 1, 1));
        assert_eq!((arrivals.missing(), arrivals.first, arrivals.last), (2, Some(10), 12));
    }

    #[test]
    fn what_is_not_of_the_corpus_is_counted_apart() {
        let mut arrivals = Arrivals::expected([2].into_iter());
        for key in ["tail-2", "customer-2", "customer-000007", ""] {
            arrivals.enter(&body(key, 1), 1);
        }
        arrivals.enter(b"{}", 1);
        assert_eq!((arrivals.strangers, arrivals.count, arrivals.missing()), (5, 0, 1));
    }
}
