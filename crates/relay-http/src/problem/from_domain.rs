//! What the domain refuses, as problems.

use super::{Problem, ProblemKind};
use relay_core::log::ReadRefused;
use relay_core::manage::Refused;
use relay_core::ports::PortError;
use relay_core::subscription::Status;
use std::time::Duration;

/// How long to wait before a store or queue is asked again.
const PORT_RETRY: Duration = Duration::from_secs(1);

impl From<PortError> for Problem {
    fn from(error: PortError) -> Problem {
        let problem = |kind, detail: &'static str| Problem::new(kind, detail);
        match &error {
            PortError::Throttled => {
                problem(ProblemKind::TooManyRequests, "the store has too much to do").retry_after(PORT_RETRY)
            }
            PortError::Unavailable(_) => {
                tracing::error!(%error, "the store or queue cannot be reached");
                problem(ProblemKind::Unavailable, "the store or queue cannot be reached").retry_after(PORT_RETRY)
            }
            PortError::Full => {
                tracing::error!(%error, "the storage is full");
                problem(ProblemKind::StorageFull, "there is no room left to store anything").retry_after(PORT_RETRY)
            }
            PortError::Conflict => {
                problem(ProblemKind::Conflict, "others change the resource at the same moment").retry_after(PORT_RETRY)
            }
            PortError::Invalid(detail) => Problem::new(ProblemKind::BadRequest, detail.clone()),
            PortError::NotFound | PortError::Corrupt(_) => {
                tracing::error!(%error, "what is stored cannot be read");
                problem(ProblemKind::Internal, "what is stored cannot be read")
            }
        }
    }
}

impl From<ReadRefused> for Problem {
    fn from(refused: ReadRefused) -> Problem {
        match refused {
            ReadRefused::Expired(earliest) => {
                Problem::new(ProblemKind::Expired, "the topic no longer keeps events from then")
                    .with_earliest(earliest.map(|id| id.to_string()))
            }
            ReadRefused::NotFound => Problem::new(ProblemKind::EventNotFound, "no event has this replay id"),
            ReadRefused::Port(error) => error.into(),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let kind = match &refused {
            Refused::TopicNotFound(_) => ProblemKind::TopicNotFound,
            Refused::SubscriptionNotFound(_) => ProblemKind::SubscriptionNotFound,
            Refused::KeyNotFound(_) => ProblemKind::KeyNotFound,
            Refused::LaneNotFound => ProblemKind::LaneNotFound,
            Refused::DeadLetterNotFound => ProblemKind::DeadLetterNotFound,
            Refused::EventNotFound => ProblemKind::EventNotFound,
            Refused::ReservedName => ProblemKind::ReservedName,
            Refused::NameInUse(_) => ProblemKind::TopicNameInUse,
            Refused::HasSubscriptions => ProblemKind::TopicHasSubscriptions,
            Refused::WrongStatus(_) => ProblemKind::WrongStatus,
            Refused::ReplayUnderWay(_) => ProblemKind::ReplayUnderWay,
            Refused::ReplayNotFound => ProblemKind::ReplayNotFound,
            Refused::ReplayOver => ProblemKind::ReplayOver,
            Refused::Pulled | Refused::NotPulled => ProblemKind::WrongMode,
            Refused::StaleCursor => ProblemKind::StaleCursor,
            Refused::TooManySecrets => ProblemKind::TooManySecrets,
            Refused::HeadMoved(_) => ProblemKind::HeadMoved,
            Refused::Read(refused) => return refused.clone().into(),
            Refused::Port(error) => return error.clone().into(),
        };
        match refused {
            Refused::HasSubscriptions => {
                Problem::new(kind, format!("{refused}; delete them first, or use ?force=true"))
            }
            Refused::WrongStatus(Status::Disabled | Status::Paused) => {
                Problem::new(kind, format!("{refused}; resume it first"))
            }
            Refused::ReplayUnderWay(_) => Problem::new(kind, format!("{refused}; wait until it is done, or cancel it")),
            _ => Problem::new(kind, refused.to_string()),
        }
    }
}
