//! Objects in the bucket, by key.

use crate::fault::of_call;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use relay_core::ports::PortError;
use std::ops::Range;

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

    /// Writes an object of that name unless there is one: then, or while somebody else is writing one, `Conflict`.
    pub(crate) async fn put_new(&self, key: &str, bytes: Bytes, content_type: &str) -> Result<(), PortError> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).content_type(content_type).if_none_match("*");
        put.body(ByteStream::from(bytes)).send().await.map_err(|error| of_call("PutObject", &error))?;
        Ok(())
    }

    /// Reads part of an object. `Corrupt` if the object ends before it.
    pub(crate) async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, PortError> {
        let cut_off = || PortError::Corrupt("it is cut off".to_owned());
        let last = range.end.checked_sub(1).filter(|last| *last >= range.start).ok_or_else(cut_off)?;
        let call = self.client.get_object().bucket(&self.bucket).key(key);
        let got = call.range(format!("bytes={}-{last}", range.start)).send().await;
        let body = match got {
            Ok(got) => got.body.collect().await,
            Err(error) if error.code() == Some("InvalidRange") => return Err(cut_off()),
            Err(error) => return Err(of_call("GetObject", &error)),
        };
        let bytes = body.map_err(|error| PortError::Unavailable(format!("GetObject: {error}")))?.into_bytes();
        if bytes.len() as u64 == range.end - range.start { Ok(bytes) } else { Err(cut_off()) }
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
