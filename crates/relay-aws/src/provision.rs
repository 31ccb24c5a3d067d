//! Makes the resources that the template would make, for an emulator or an account without it.

use crate::clients::Clients;
use crate::fault::of_call;
use crate::options::Resources;
use crate::table::INDEX;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, TableStatus, TimeToLiveSpecification,
};
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use relay_core::limits::VISIBILITY;
use relay_core::ports::{Clock, PortError};
use std::time::Duration;

/// SQS's longest retention: 14 days, in seconds.
const RETENTION_SECONDS: &str = "1209600";
/// Looks at a table that is being made, a second apart.
const LOOKS: usize = 60;

/// Makes what is missing of `<prefix>-events.fifo`, `<prefix>-wake-ups`, table `<prefix>` and bucket `<bucket>`.
/// Running it again is harmless.
///
/// # Errors
/// If AWS refuses, or the table is not ready within a minute.
pub async fn provision(
    clients: &Clients,
    clock: &dyn Clock,
    prefix: &str,
    bucket: &str,
) -> Result<Resources, PortError> {
    let visibility = VISIBILITY.as_secs().to_string();
    let fifo = [
        (Attribute::FifoQueue, "true"),
        (Attribute::ContentBasedDeduplication, "false"),
        (Attribute::DeduplicationScope, "messageGroup"),
        (Attribute::FifoThroughputLimit, "perMessageGroupId"),
        (Attribute::MessageRetentionPeriod, RETENTION_SECONDS),
        (Attribute::VisibilityTimeout, &visibility),
    ];
    let plain = [(Attribute::MessageRetentionPeriod, RETENTION_SECONDS), (Attribute::VisibilityTimeout, &visibility)];
    let events_queue = make_queue(clients, &format!("{prefix}-events.fifo"), &fifo).await?;
    let wake_ups_queue = make_queue(clients, &format!("{prefix}-wake-ups"), &plain).await?;
    make_table(clients, clock, prefix).await?;
    make_bucket(clients, bucket).await?;
    Ok(Resources { events_queue, wake_ups_queue, table: prefix.to_owned(), bucket: bucket.to_owned() })
}

async fn make_queue(clients: &Clients, name: &str, attributes: &[(Attribute, &str)]) -> Result<String, PortError> {
    let mut call = clients.sqs.create_queue().queue_name(name);
    for (attribute, value) in attributes {
        call = call.attributes(attribute.clone(), *value);
    }
    // A queue of that name with these attributes is answered as if it had just been made.
    let made = call.send().await.map_err(|error| of_call("CreateQueue", &error))?;
    made.queue_url.ok_or_else(|| PortError::Unavailable("CreateQueue answered no URL".to_owned()))
}

fn built<T>(made: Result<T, BuildError>) -> Result<T, PortError> {
    made.map_err(|error| PortError::Invalid(error.to_string()))
}

fn keys(hash: &str, range: &str) -> Result<Vec<KeySchemaElement>, PortError> {
    let key = |name: &str, kind| built(KeySchemaElement::builder().attribute_name(name).key_type(kind).build());
    Ok(vec![key(hash, KeyType::Hash)?, key(range, KeyType::Range)?])
}

async fn make_table(clients: &Clients, clock: &dyn Clock, name: &str) -> Result<(), PortError> {
    let index = GlobalSecondaryIndex::builder()
        .index_name(INDEX)
        .set_key_schema(Some(keys("gpk", "gsk")?))
        // Keys only: a write that moves neither of them, as an append to a held lane, costs the index nothing.
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
    let mut call = clients
        .dynamodb
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(keys("pk", "sk")?))
        .global_secondary_indexes(built(index.build())?);
    for attribute in ["pk", "sk", "gpk", "gsk"] {
        let definition = AttributeDefinition::builder().attribute_name(attribute);
        call = call.attribute_definitions(built(definition.attribute_type(ScalarAttributeType::S).build())?);
    }
    match call.send().await {
        Ok(_) => {}
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => {}
        Err(error) => return Err(of_call("CreateTable", &error)),
    }
    for _ in 0..LOOKS {
        let read = clients.dynamodb.describe_table().table_name(name).send().await;
        let read = read.map_err(|error| of_call("DescribeTable", &error))?;
        if read.table().and_then(|table| table.table_status()) == Some(&TableStatus::Active) {
            return expire_by(clients, name).await;
        }
        clock.sleep(Duration::from_secs(1)).await;
    }
    Err(PortError::Unavailable(format!("table {name} is not active after a minute")))
}

async fn expire_by(clients: &Clients, name: &str) -> Result<(), PortError> {
    let read = clients.dynamodb.describe_time_to_live().table_name(name).send().await;
    let read = read.map_err(|error| of_call("DescribeTimeToLive", &error))?;
    if read.time_to_live_description().and_then(|ttl| ttl.attribute_name()) == Some("expiresAt") {
        return Ok(());
    }
    let ttl = built(TimeToLiveSpecification::builder().enabled(true).attribute_name("expiresAt").build())?;
    let call = clients.dynamodb.update_time_to_live().table_name(name).time_to_live_specification(ttl).send().await;
    call.map(drop).map_err(|error| of_call("UpdateTimeToLive", &error))
}

async fn make_bucket(clients: &Clients, bucket: &str) -> Result<(), PortError> {
    use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
    let mut call = clients.s3.create_bucket().bucket(bucket);
    // us-east-1 is the one region that must not be named:
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
    let region = clients.s3.config().region().map(|region| region.as_ref().to_owned());
    if let Some(region) = region.filter(|region| region != "us-east-1") {
        let place = CreateBucketConfiguration::builder();
        call = call.create_bucket_configuration(
            place.location_constraint(BucketLocationConstraint::from(region.as_str())).build(),
        );
    }
    match call.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_bucket_already_owned_by_you()) => Ok(()),
        Err(error) => Err(of_call("CreateBucket", &error)),
    }
}
