//! Topics.

use super::subscriptions::bury;
use super::{Refused, WRITE_TRIES};
use crate::limits::NAME_RESERVED_FOR;
use crate::names::{SubscriptionId, TopicId, TopicName};
use crate::ports::{Expect, PortError, Ports};
use crate::topic::{Retention, Topic};
use std::sync::Arc;

/// Subscriptions looked at between two reads.
const PAGE: usize = 100;

/// What a topic's owner decides.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicSettings {
    /// What it is for.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// How long accepted events are kept.
    pub retention: Retention,
    /// Largest event that is accepted, in bytes.
    pub max_event_bytes: u32,
}

impl TopicSettings {
    fn of(topic: &Topic) -> TopicSettings {
        TopicSettings {
            description: topic.description.clone(),
            owner: topic.owner.clone(),
            retention: topic.retention,
            max_event_bytes: topic.max_event_bytes,
        }
    }

    fn apply(self, topic: Topic) -> Topic {
        Topic {
            description: self.description,
            owner: self.owner,
            retention: self.retention,
            max_event_bytes: self.max_event_bytes,
            ..topic
        }
    }
}

/// A topic by name.
///
/// # Errors
/// If there is none, or it cannot be read.
pub async fn topic(ports: &Ports, name: &TopicName) -> Result<Arc<Topic>, Refused> {
    let stored = ports.registry.topic(name).await?.filter(|topic| topic.deleted_at.is_none());
    stored.ok_or_else(|| Refused::TopicNotFound(name.clone()))
}

/// Topics by name, after a name.
///
/// # Errors
/// If they cannot be read.
pub async fn list_topics(ports: &Ports, after: Option<&TopicName>, limit: usize) -> Result<Vec<Arc<Topic>>, PortError> {
    ports.registry.topics(after, limit).await
}

/// Writes a topic's settings, as `settings` makes them of the topic as it is (none: there is none yet). Answers the
/// topic, and whether it was created. Settings that change nothing write nothing.
///
/// # Errors
/// What `settings` refuses; if the name is the broker's or not free; if it cannot be written.
pub async fn write_topic<E: From<Refused>>(
    ports: &Ports,
    name: &TopicName,
    settings: impl Fn(Option<&Topic>) -> Result<TopicSettings, E>,
) -> Result<(Topic, bool), E> {
    if name.is_reserved() {
        return Err(Refused::ReservedName.into());
    }
    for _ in 0..WRITE_TRIES {
        let now = ports.clock.now();
        let stored = ports.registry.topic(name).await.map_err(Refused::from)?;
        let present = stored.as_deref().filter(|topic| topic.deleted_at.is_none());
        let wanted = settings(present)?;
        let (next, expect) = match present {
            Some(topic) if TopicSettings::of(topic) == wanted => return Ok((topic.clone(), false)),
            Some(topic) => {
                let next = Topic { version: topic.version + 1, updated_at: now, ..wanted.apply(topic.clone()) };
                (next, Expect::Version(topic.version))
            }
            None => {
                if let Some(deleted_at) = stored.as_ref().and_then(|topic| topic.deleted_at)
                    && now.since(deleted_at) < NAME_RESERVED_FOR
                {
                    return Err(Refused::NameInUse(deleted_at + NAME_RESERVED_FOR).into());
                }
                (wanted.apply(Topic::new(new_id(ports)?, name.clone(), now)), Expect::Absent)
            }
        };
        match ports.registry.put_topic(next.clone(), expect).await {
            Ok(()) => return Ok((next, expect == Expect::Absent)),
            Err(PortError::Conflict) => {}
            Err(error) => return Err(Refused::from(error).into()),
        }
    }
    Err(Refused::from(PortError::Conflict).into())
}

/// Deletes a topic, with its subscriptions if `force` says so; `check` may refuse the topic as it is. Answers the
/// subscriptions that went with it, whose lanes are still to be removed.
///
/// Subscriptions go first: a deletion that breaks off leaves a topic that can be deleted again, and no subscription
/// without a topic.
///
/// # Errors
/// What `check` refuses; if there is no such topic, it has subscriptions, or it cannot be written.
pub async fn delete_topic<E: From<Refused>>(
    ports: &Ports,
    name: &TopicName,
    force: bool,
    check: impl Fn(&Topic) -> Result<(), E>,
) -> Result<Vec<SubscriptionId>, E> {
    if name.is_reserved() {
        return Err(Refused::ReservedName.into());
    }
    let mut buried = Vec::new();
    for _ in 0..WRITE_TRIES {
        let stored = topic(ports, name).await?;
        check(&stored)?;
        if force {
            buried.append(&mut bury_all(ports, name, &stored.id).await?);
        } else if !ports.registry.subscriptions(Some(name), None, 1).await.map_err(Refused::from)?.is_empty() {
            return Err(Refused::HasSubscriptions.into());
        }
        let now = ports.clock.now();
        let next = Topic { version: stored.version + 1, updated_at: now, deleted_at: Some(now), ..(*stored).clone() };
        match ports.registry.put_topic(next, Expect::Version(stored.version)).await {
            Ok(()) => {
                // One may have been created meanwhile. Its creator looks at the topic once more after it was written,
                // so that either this list has it or its creator sees the deletion.
                buried.append(&mut bury_all(ports, name, &stored.id).await?);
                return Ok(buried);
            }
            Err(PortError::Conflict) => {}
            Err(error) => return Err(Refused::from(error).into()),
        }
    }
    Err(Refused::from(PortError::Conflict).into())
}

async fn bury_all(ports: &Ports, name: &TopicName, topic: &TopicId) -> Result<Vec<SubscriptionId>, Refused> {
    let mut buried = Vec::new();
    let mut after = None;
    loop {
        let page = ports.registry.subscriptions(Some(name), after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(buried) };
        after = Some(last.id.clone());
        for subscription in page.iter().filter(|subscription| subscription.topic_id == *topic) {
            match bury::<Refused>(ports, &subscription.id, |_| Ok(())).await {
                Ok(()) => buried.push(subscription.id.clone()),
                Err(Refused::SubscriptionNotFound(_)) => {}
                Err(other) => return Err(other),
            }
        }
    }
}

/// Makes the topic of the broker's own events, unless it is there.
///
/// # Errors
/// If it cannot be read or written.
pub async fn ensure_system_topic(ports: &Ports) -> Result<(), Refused> {
    let name = TopicName::system();
    if ports.registry.topic(&name).await?.is_some() {
        return Ok(());
    }
    let description = Some("What the broker itself has to say about subscriptions".to_owned());
    let topic = Topic { description, ..Topic::new(new_id(ports)?, name, ports.clock.now()) };
    match ports.registry.put_topic(topic, Expect::Absent).await {
        Ok(()) | Err(PortError::Conflict) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn new_id(ports: &Ports) -> Result<TopicId, Refused> {
    TopicId::new(format!("top_{}", ports.ids.unique()))
        .map_err(|fault| Refused::Port(PortError::Invalid(fault.to_string())))
}
