//! A corpus of orders to measure a log with: the same for the same seed, wherever it is made. Each order is JSON of
//! [`ORDER_BYTES`] and differs from the others where orders do: numbers, customers, addresses, lines, amounts, references
//! and a remark, so that it compresses as orders do and not as padding does.

use std::fmt::Write;

/// Bytes of each order.
pub const ORDER_BYTES: usize = 1_024;
/// Customers are of so many sizes, each with as many orders as any other and twice as many customers as the one before:
/// the first customer alone has one order in 17, each of the last 65,536 has one in 1.1 million.
const SIZES: u32 = 17;

/// Orders by number.
#[derive(Clone, Copy, Debug)]
pub struct Corpus {
    seed: u64,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Identifies it.
    pub id: String,
    /// Who gave it: its partition key.
    pub customer: u32,
    /// All of it.
    pub json: String,
}

/// The partition key of a customer.
#[must_use]
pub fn partition_key(customer: u32) -> String {
    format!("customer-{customer:06}")
}

/// The first customer of a size, from the largest: size 0 is one customer, size 16 are 65,536.
#[must_use]
pub fn first_of_size(size: u32) -> u32 {
    (1 << size.min(SIZES - 1)) - 1
}

impl Corpus {
    /// The corpus of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Corpus {
        Corpus { seed }
    }

    fn dice(&self, number: u64) -> Dice {
        let mut dice = Dice(self.seed ^ number.wrapping_mul(0xA24B_AED4_963E_E407));
        // Neighbours begin close to each other.
        dice.roll();
        dice
    }

    /// Who gave the order of a number.
    #[must_use]
    pub fn customer(&self, number: u64) -> u32 {
        customer(&mut self.dice(number))
    }

    /// The order of a number.
    #[must_use]
    pub fn order(&self, number: u64) -> Order {
        let mut dice = self.dice(number);
        let customer = customer(&mut dice);
        let id = uuid(&mut dice);
        let mut json = String::with_capacity(ORDER_BYTES + 128);
        // Writing to a text cannot fail.
        let _ = head(&mut json, &mut dice, &id, number, customer).and_then(|()| lines(&mut json, &mut dice));
        remark(&mut json, &mut dice);
        Order { id, customer, json }
    }
}

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0, less than `end`.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(end)) >> 64) as u64
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }
}

fn customer(dice: &mut Dice) -> u32 {
    let size = dice.below(u64::from(SIZES)) as u32;
    first_of_size(size) + dice.below(1 << size) as u32
}

fn uuid(dice: &mut Dice) -> String {
    let (high, low) = (dice.roll(), dice.roll());
    let (version, variant) = (high & !0xF000 | 0x4000, low & !(0b11 << 62) | 0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        version >> 32,
        version >> 16 & 0xFFFF,
        version & 0xFFFF,
        variant >> 48,
        variant & 0xFFFF_FFFF_FFFF
    )
}

/// Who ordered, when, and where it goes.
fn head(json: &mut String, dice: &mut Dice, id: &str, number: u64, customer: u32) -> std::fmt::Result {
    // What is known of a customer is the same in all orders.
    let mut own = Dice(u64::from(customer).wrapping_mul(0xD6E8_FEB8_6659_FD93));
    own.roll();
    let (first, last) = (own.one_of(&FIRST_NAMES), own.one_of(&LAST_NAMES));
    let (city, country) = (own.one_of(&CITIES), own.one_of(&COUNTRIES));
    let millis = number * 37 % 86_400_000 + dice.below(37);
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    write!(
        json,
        r#"{{"orderId":"{id}","number":{},"placedAt":"2026-11-20T{hours:02}:{minutes:02}:{:02}.{:03}Z","#,
        4_000_000_000 + number,
        millis / 1000 % 60,
        millis % 1000
    )?;
    write!(json, r#""status":"{}","channel":"{}","#, dice.one_of(&STATUSES), dice.one_of(&CHANNELS))?;
    write!(json, r#""customer":{{"id":"{}","name":"{first} {last}","#, partition_key(customer))?;
    write!(
        json,
        r#""email":"{}.{}{}@example.com","phone":"+{} {:09}"}},"#,
        first.to_lowercase(),
        last.to_lowercase(),
        own.below(1000),
        own.below(70) + 20,
        own.below(1_000_000_000)
    )?;
    write!(
        json,
        r#""shipTo":{{"street":"{} {}","postalCode":"{:05}","city":"{city}","country":"{country}","method":"{}"}},"#,
        own.one_of(&STREETS),
        own.below(200) + 1,
        own.below(100_000),
        dice.one_of(&METHODS)
    )
}

/// What was ordered, what it costs, and how it was paid.
fn lines(json: &mut String, dice: &mut Dice) -> std::fmt::Result {
    json.push_str(r#""lines":["#);
    let mut total = 0;
    for line in 0..=dice.below(3) {
        // A few products are bought more than others.
        let product = dice.below(100) * dice.below(100);
        let price = Dice(product).below(20_000) + 99;
        let quantity = dice.below(3) + 1;
        total += price * quantity;
        let comma = if line == 0 { "" } else { "," };
        write!(
            json,
            r#"{comma}{{"sku":"SKU-{product:05}","quantity":{quantity},"unitPrice":{},"total":{}}}"#,
            Amount(price),
            Amount(price * quantity)
        )?;
    }
    let (tax, shipping) = (total * 19 / 100, dice.below(4) * 245);
    write!(
        json,
        r#"],"totals":{{"currency":"EUR","net":{},"tax":{},"shipping":{},"gross":{}}},"#,
        Amount(total),
        Amount(tax),
        Amount(shipping),
        Amount(total + tax + shipping)
    )?;
    write!(
        json,
        r#""payment":{{"method":"{}","reference":"{:016x}{:016x}"}},"#,
        dice.one_of(&PAYMENTS),
        dice.roll(),
        dice.roll()
    )
}

/// Words, up to the order's length.
fn remark(json: &mut String, dice: &mut Dice) {
    json.push_str(r#""remark":""#);
    while json.len() < ORDER_BYTES {
        json.push_str(dice.one_of(&WORDS));
        json.push(' ');
    }
    json.truncate(ORDER_BYTES - 2);
    json.push_str("\"}");
}

/// Cents.
struct Amount(u64);

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

const STATUSES: [&str; 5] = ["placed", "paid", "packed", "shipped", "returned"];
const CHANNELS: [&str; 4] = ["web", "app", "store", "phone"];
const METHODS: [&str; 3] = ["standard", "express", "pickup"];
const PAYMENTS: [&str; 4] = ["card", "transfer", "invoice", "wallet"];
const COUNTRIES: [&str; 8] = ["AT", "BE", "CH", "DE", "ES", "FR", "IT", "NL"];
const FIRST_NAMES: [&str; 24] = [
    "Ada", "Ben", "Carla", "David", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jonas", "Klara", "Luca", "Mira", "Noah",
    "Olga", "Paul", "Rosa", "Samir", "Thea", "Umar", "Vera", "Wim", "Yara", "Zeno",
];
const LAST_NAMES: [&str; 24] = [
    "Abel", "Bauer", "Conti", "Dubois", "Engel", "Ferrari", "Garcia", "Huber", "Ivanov", "Jansen", "Keller", "Lang",
    "Moreau", "Novak", "Okafor", "Peeters", "Rossi", "Schmid", "Tanaka", "Urban", "Vogel", "Weber", "Yilmaz",
    "Ziegler",
];
const CITIES: [&str; 16] = [
    "Amsterdam",
    "Barcelona",
    "Basel",
    "Berlin",
    "Bologna",
    "Bruges",
    "Geneva",
    "Graz",
    "Hamburg",
    "Lille",
    "Lyon",
    "Madrid",
    "Milan",
    "Munich",
    "Utrecht",
    "Vienna",
];
const STREETS: [&str; 12] = [
    "Station Road",
    "Mill Lane",
    "Harbour Street",
    "Market Square",
    "Church Street",
    "Garden Way",
    "School Lane",
    "Bridge Street",
    "Park Avenue",
    "High Street",
    "Forest Road",
    "Lake View",
];
const WORDS: [&str; 64] = [
    "please",
    "leave",
    "the",
    "parcel",
    "with",
    "our",
    "neighbour",
    "if",
    "nobody",
    "answers",
    "door",
    "ring",
    "twice",
    "second",
    "floor",
    "behind",
    "garage",
    "call",
    "before",
    "delivery",
    "gift",
    "wrap",
    "in",
    "blue",
    "paper",
    "no",
    "invoice",
    "inside",
    "fragile",
    "handle",
    "carefully",
    "after",
    "six",
    "only",
    "weekdays",
    "and",
    "not",
    "on",
    "monday",
    "key",
    "under",
    "mat",
    "dog",
    "is",
    "friendly",
    "beware",
    "of",
    "stairs",
    "code",
    "for",
    "gate",
    "side",
    "entrance",
    "left",
    "right",
    "reception",
    "desk",
    "thank",
    "you",
    "very",
    "much",
    "regards",
    "urgent",
    "replacement",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn orders_are_json_of_one_length_and_of_the_customer_they_say() {
        let corpus = Corpus::new(1);
        let mut ids = HashSet::new();
        for number in 0..5_000 {
            let order = corpus.order(number);
            assert_eq!(order.json.len(), ORDER_BYTES);
            let json: Value = serde_json::from_str(&order.json).unwrap();
            assert_eq!(json["orderId"], order.id.as_str());
            assert_eq!(json["customer"]["id"], partition_key(order.customer));
            assert!(json["lines"].as_array().unwrap().len() <= 3 && json["remark"].as_str().unwrap().len() > 20);
            assert_eq!(corpus.customer(number), order.customer);
            assert!(ids.insert(order.id));
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_orders_and_another_one_others() {
        assert_eq!(Corpus::new(1).order(7), Corpus::new(1).order(7));
        assert_ne!(Corpus::new(1).order(7), Corpus::new(2).order(7));
        // On every machine, in every version: figures are compared.
        let first = Corpus::new(1).order(0);
        assert_eq!((first.id.as_str(), first.customer), ("71c18690-ee42-490b-b1bb-54d8d101b5b9", 8072));
        assert!(
            first.json.contains("\"gross\":759.96}") && first.json.ends_with(" of call the l\"}"),
            "{}",
            first.json
        );
    }

    #[test]
    fn few_customers_have_many_orders_and_many_have_few() {
        let corpus = Corpus::new(1);
        let mut orders: HashMap<u32, u32> = HashMap::new();
        (0..200_000).for_each(|number| *orders.entry(corpus.customer(number)).or_default() += 1);
        let largest = orders[&first_of_size(0)];
        assert!((10_000..14_000).contains(&largest), "{largest}");
        let usual = orders[&first_of_size(8)];
        assert!((20..80).contains(&usual), "{usual}");
        assert!(orders.len() > 20_000 && orders.keys().all(|customer| *customer < 1 << SIZES));
    }
}
