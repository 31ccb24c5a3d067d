//! Finds the resources of a deployed stack by its outputs.

use crate::clients::{configuration, http_client};
use crate::options::Resources;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::Output;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use relay_core::ports::PortError;

/// The resources of a stack that was deployed from `template.yaml`.
///
/// # Errors
/// `Invalid` if CloudFormation knows no such stack, or it has not the template's outputs; `Unavailable` if it cannot be
/// asked.
pub async fn resources_of_stack(name: &str) -> Result<Resources, PortError> {
    let client = Client::new(&configuration(http_client()).await);
    let described = client.describe_stacks().stack_name(name).send().await.map_err(|error| {
        // CloudFormation says of a stack that does not exist: ValidationError, "Stack with id … does not exist".
        let message = error.message().map_or_else(|| format!("{error:?}"), str::to_owned);
        match error.code() {
            Some("ValidationError") => PortError::Invalid(message),
            _ => PortError::Unavailable(format!("DescribeStacks: {message}")),
        }
    })?;
    resources_of(name, described.stacks().iter().flat_map(|stack| stack.outputs()))
}

fn resources_of<'a>(name: &str, outputs: impl Iterator<Item = &'a Output> + Clone) -> Result<Resources, PortError> {
    let output = |key: &str| {
        let found = outputs.clone().find(|output| output.output_key() == Some(key));
        let value = found.and_then(Output::output_value).map(str::to_owned);
        value.ok_or_else(|| PortError::Invalid(format!("stack {name} has no output {key}: it is not of this template")))
    };
    Ok(Resources {
        events_queue: output("EventsQueueUrl")?,
        wake_ups_queue: output("WakeUpsQueueUrl")?,
        table: output("TableName")?,
        bucket: output("BucketName")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_of_another_template_is_told_by_what_it_lacks() {
        let template = include_str!("../../../template.yaml");
        let names = ["EventsQueueUrl", "WakeUpsQueueUrl", "TableName", "BucketName"];
        for name in names {
            assert!(template.contains(&format!("\n  {name}:\n")), "{name} is no output of the template");
        }
        let outputs = names.map(|name| Output::builder().output_key(name).output_value(format!("the {name}")).build());
        let found = resources_of("relay", outputs.iter()).unwrap();
        assert_eq!((&*found.events_queue, &*found.bucket), ("the EventsQueueUrl", "the BucketName"));
        let fault = resources_of("relay", outputs[..3].iter()).unwrap_err();
        assert!(matches!(&fault, PortError::Invalid(text) if text.contains("BucketName")), "{fault:?}");
    }
}
