//! Objects in the bucket, by key.

use crate::fault::of_call;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use relay_core::ports::PortError;

/// The bucket.
#[derive(Clone)]
pub(crate) struct Objects {
    client: Client,
    bucket: String,
}

impl Objects {
    pub(crate) fn new(client: Client, bucket: String) -> Objects {
        Objects { client, bucket }
    }

    /// Writes an object: durable when it answers
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel>).
    pub(crate) async fn put(&self, key: &str, bytes: Bytes, content_type: &str) -> Result<(), PortError> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).content_type(content_type);
        put.body(ByteStream::from(bytes)).send().await.map_err(|error| of_call("PutObject", &error))?;
        Ok(())
    }

    /// Reads an object.
    pub(crate) async fn get(&self, key: &str) -> Result<Bytes, PortError> {
        let got = self.client.get_object().bucket(&self.bucket).key(key).send().await;
        let got = got.map_err(|error| of_call("GetObject", &error))?;
        let body = got.body.collect().await;
        body.map(|body| body.into_bytes()).map_err(|error| PortError::Unavailable(format!("GetObject: {error}")))
    }

    /// Deletes an object; one that is not there is deleted already.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), PortError> {
        let delete = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        delete.map(drop).map_err(|error| of_call("DeleteObject", &error))
    }
}
