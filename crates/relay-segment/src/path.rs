//! Names of segments: made of what they hold, so that whoever compacts the same span writes the same object.

use jiff::Timestamp;
use relay_core::log::line::position_text;
use relay_core::names::{TopicId, TopicName};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;
use relay_core::topic::Retention;

/// The path of a segment, below the store's root. Its date and hour are those of its first entry, in UTC.
pub fn path_of(
    retention: Retention,
    (topic, topic_id): (&TopicName, &TopicId),
    shard: LogShard,
    (first, last): (LogPosition, LogPosition),
) -> String {
    let (date, hour) = date_and_hour(first.at);
    let (first, last) = (position_text(first), position_text(last));
    format!(
        "events/retention={}/topic={topic}/topicid={topic_id}/date={date}/hour={hour}/{first}-{last}-{shard}.jsonl.zst",
        retention.word()
    )
}

/// The retention that a path names.
pub fn retention_of(path: &str) -> Option<Retention> {
    Retention::of_word(path.strip_prefix("events/retention=")?.split('/').next()?)
}

/// Date and hour of a time, in UTC: `2026-11-20` and `21`.
fn date_and_hour(time: Time) -> (String, String) {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    let timestamp = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
    (timestamp.strftime("%Y-%m-%d").to_string(), timestamp.strftime("%H").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_the_segment_holds() {
        let (topic, id) = (TopicName::new("orders").unwrap(), TopicId::new("top_1").unwrap());
        let position = |at, unique| LogPosition { at: Time(at), unique };
        let span = (position(1_795_000_000_123, 7), position(1_795_000_900_000, 9));
        for retention in Retention::ALL {
            assert_eq!(retention_of(&path_of(retention, (&topic, &id), LogShard::ALL[0], span)), Some(retention));
        }
        assert_eq!(
            path_of(Retention::Days7, (&topic, &id), LogShard::ALL[2], span),
            "events/retention=7d/topic=orders/topicid=top_1/date=2026-11-18/hour=11/\
             1795000000123-00000000000000000007-1795000900000-00000000000000000009-2.jsonl.zst"
        );
    }
}
