//! What AWS answers, as the coarse error of the ports. The one place that reads error codes.

use aws_sdk_dynamodb::types::CancellationReason;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use relay_core::ports::PortError;
use std::error::Error;

/// The error of a call. A call that timed out, or whose answer was lost, may have taken effect: `Unavailable`.
pub(crate) fn of_call<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> PortError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    match error {
        SdkError::ServiceError(context) => {
            let metadata = context.err().meta();
            of_code(call, metadata.code().unwrap_or_default(), metadata.message().unwrap_or_default(), status)
        }
        // The request could not even be built: it would not be another time.
        SdkError::ConstructionFailure(_) => PortError::Invalid(format!("{call}: {}", chain(error))),
        _ if status == Some(429) => PortError::Throttled,
        _ => PortError::Unavailable(format!("{call}: {}", chain(error))),
    }
}

/// The error of an error code, of a call as a whole or of one entry of a batch.
///
/// Codes: "Common errors" and the pages of the calls in the API references of DynamoDB, SQS and S3. Those of the
/// query protocol of SQS come with a prefix (`AWS.SimpleQueueService.`), those of JSON protocols without.
pub(crate) fn of_code(call: &'static str, code: &str, message: &str, status: Option<u16>) -> PortError {
    let text = || format!("{call}: {code}: {message}");
    match code.rsplit('.').next().unwrap_or_default() {
        "ThrottlingException"
        | "Throttling"
        | "ThrottlingError"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "KmsThrottled"
        | "TooManyRequestsException"
        | "ProvisionedThroughputExceededException"
        | "ProvisionedThroughputExceeded"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "OverLimit"
        | "SlowDown"
        | "TransactionConflictException"
        | "TransactionConflict"
        | "TransactionInProgressException" => PortError::Throttled,
        "ConditionalCheckFailedException"
        | "ConditionalCheckFailed"
        | "PreconditionFailed"
        | "ConditionalRequestConflict"
        | "MessageNotInflight"
        | "ReceiptHandleIsInvalid" => PortError::Conflict,
        // SQS says of a receipt handle that has expired: "The receipt handle has expired" (InvalidParameterValue).
        "InvalidParameterValue" | "InvalidParameterValueException" if message.contains("receipt handle") => {
            PortError::Conflict
        }
        "NoSuchKey" | "NotFound" => PortError::NotFound,
        "ItemCollectionSizeLimitExceededException" | "ItemCollectionSizeLimitExceeded" => PortError::Full,
        "ValidationException"
        | "ValidationError"
        | "SerializationException"
        | "IdempotentParameterMismatchException"
        | "InvalidParameterValue"
        | "InvalidParameterValueException"
        | "InvalidMessageContents"
        | "InvalidAttributeValue"
        | "MissingParameter"
        | "BatchRequestTooLong"
        | "TooManyEntriesInBatchRequest"
        | "BatchEntryIdsNotDistinct"
        | "EntityTooLarge"
        | "InvalidArgument"
        | "InvalidRequest" => PortError::Invalid(text()),
        _ if status == Some(429) => PortError::Throttled,
        // Rights, a missing table or queue, faults of the service: what an operator or time repairs, so it is worth
        // asking again, and nothing may be taken for absent.
        _ => PortError::Unavailable(text()),
    }
}

/// The error of a transaction that was cancelled, by its reasons (one for each item, most of them `None`).
pub(crate) fn of_cancellation(call: &'static str, reasons: &[CancellationReason]) -> PortError {
    let mut worst = PortError::Throttled;
    for reason in reasons {
        let code = reason.code().unwrap_or("None");
        if code == "None" {
            continue;
        }
        match of_code(call, code, reason.message().unwrap_or_default(), None) {
            // One condition that does not hold decides: it would not hold when the others are free again either.
            PortError::Conflict => return PortError::Conflict,
            PortError::Throttled => {}
            other => worst = other,
        }
    }
    worst
}

/// A text with all causes: the SDK's own says "dispatch failure" and no more.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str) -> PortError {
        of_code("Call", code, "text", Some(400))
    }

    #[test]
    fn throttling_by_any_of_its_names_is_throttled() {
        for code in [
            "ThrottlingException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "AWS.SimpleQueueService.OverLimit",
            "SlowDown",
            "TransactionConflictException",
        ] {
            assert_eq!(of(code), PortError::Throttled, "{code}");
        }
        assert_eq!(of_code("Call", "", "", Some(429)), PortError::Throttled);
    }

    #[test]
    fn a_condition_that_does_not_hold_is_a_conflict() {
        for code in ["ConditionalCheckFailedException", "PreconditionFailed"] {
            assert_eq!(of(code), PortError::Conflict, "{code}");
        }
    }

    #[test]
    fn a_receipt_that_has_expired_is_a_conflict_and_other_bad_parameters_are_not() {
        let expired = "Value x for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.";
        assert_eq!(of_code("Call", "InvalidParameterValue", expired, Some(400)), PortError::Conflict);
        assert_eq!(of("ReceiptHandleIsInvalid"), PortError::Conflict);
        assert!(matches!(of("InvalidParameterValue"), PortError::Invalid(_)));
    }

    #[test]
    fn what_cannot_be_carried_out_as_it_is_is_invalid() {
        for code in ["ValidationException", "InvalidMessageContents", "AWS.SimpleQueueService.BatchRequestTooLong"] {
            assert!(matches!(of(code), PortError::Invalid(_)), "{code}");
        }
    }

    #[test]
    fn a_missing_table_or_queue_or_right_is_unavailable_and_never_not_found() {
        for code in ["ResourceNotFoundException", "QueueDoesNotExist", "NoSuchBucket", "AccessDeniedException"] {
            let error = of(code);
            assert!(matches!(&error, PortError::Unavailable(text) if text.contains(code)), "{error:?}");
            assert!(error.is_retryable());
        }
        assert_eq!(of("NoSuchKey"), PortError::NotFound);
    }

    #[test]
    fn a_fault_of_the_service_is_unavailable() {
        for code in ["InternalServerError", "InternalError", "ServiceUnavailable", "", "SomethingNew"] {
            assert!(matches!(of(code), PortError::Unavailable(_)), "{code}");
        }
    }

    #[test]
    fn a_full_collection_is_full() {
        assert_eq!(of("ItemCollectionSizeLimitExceededException"), PortError::Full);
    }

    #[test]
    fn a_cancelled_transaction_is_a_conflict_if_any_condition_did_not_hold() {
        let reasons = |codes: &[&str]| {
            let made = codes.iter().map(|code| CancellationReason::builder().code(*code).build());
            of_cancellation("Call", &made.collect::<Vec<_>>())
        };
        assert_eq!(reasons(&["None", "TransactionConflict"]), PortError::Throttled);
        assert_eq!(reasons(&["ThrottlingError", "None"]), PortError::Throttled);
        assert_eq!(reasons(&["TransactionConflict", "ConditionalCheckFailed"]), PortError::Conflict);
        assert!(matches!(reasons(&["None", "ValidationError"]), PortError::Invalid(_)));
        assert_eq!(reasons(&["ItemCollectionSizeLimitExceeded"]), PortError::Full);
    }
}
