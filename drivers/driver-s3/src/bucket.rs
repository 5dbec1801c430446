//! [`Bucket`]: the requests for whole objects that the driver makes, each with its errors in the contract's words.
//!
//! It knows keys, not paths, and nothing of what a key stands for.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::put_object::{PutObjectError, PutObjectOutput};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;
use driver_kit::flat::{PageRequest, Unread};
use driver_kit::{Error, ErrorKind, Info, RedirectMethod, Result};
use tokio::time::sleep;

use crate::error::{Intent, code, failed, given, is_condition, is_missing, is_unknown, judge, status};
use crate::settings::{ObjectSettings, Settings};

/// Most keys of one request to delete, or of one page.
const BATCH: usize = 1000;
/// Attempts at a Put that met another call at the same moment.
const CONFLICT_ATTEMPTS: u32 = 5;
const CONFLICT_REST: Duration = Duration::from_millis(10);
/// A signature is good for a week at most.
const SIGNATURE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub(crate) const CONTENT_TYPE: &str = "application/octet-stream";

/// The bucket of a store.
pub(crate) struct Bucket {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) objects: ObjectSettings,
    /// Signs URLs for others.
    signer: Client,
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
    /// As S3 writes it, with its quotes.
    pub(crate) etag: String,
}

/// An answer to a request for the bytes of an object.
pub(crate) struct Opened {
    /// Of the whole object, whatever was asked for.
    pub(crate) object: Object,
    pub(crate) body: ByteStream,
}

/// What is to be read.
pub(crate) enum Wanted<'a> {
    Whole,
    /// In the form of the header, and only of this version.
    Range {
        range: &'a str,
        etag: Option<&'a str>,
    },
}

/// One page of keys.
pub(crate) struct Listed {
    pub(crate) objects: Vec<(String, Object)>,
    /// What lies below the next delimiter, with the delimiter.
    pub(crate) prefixes: Vec<String>,
    /// Gives the next page.
    pub(crate) next: Option<String>,
}

impl Object {
    pub(crate) fn info(&self) -> Info {
        let version = self.etag.trim_matches('"').to_owned();
        Info::Content { size: self.size, modified: self.modified, version }
    }

    fn new(size: Option<i64>, modified: Option<DateTime>, etag: Option<String>) -> Result<Self> {
        let size = u64::try_from(given(size, "a size")?).unwrap_or_default();
        let modified = given(modified.and_then(|time| SystemTime::try_from(time).ok()), "a time")?;
        Ok(Object { size, modified, etag: given(etag, "an ETag")? })
    }
}

impl Bucket {
    pub(crate) fn new(client: Client, signer: Client, settings: &Settings) -> Self {
        Bucket { client, signer, name: settings.bucket.clone(), objects: settings.objects.clone() }
    }

    /// The object at `key`, if there is one.
    pub(crate) async fn head(&self, key: &str) -> Result<Option<Object>> {
        match self.glance(key).await? {
            Some(object) => Ok(Some(object)),
            None => self.look(key).await,
        }
    }

    /// The object at `key`, in one request. `None` is not certain: the answer does not tell a missing object from a missing
    /// bucket.
    pub(crate) async fn glance(&self, key: &str) -> Result<Option<Object>> {
        let head = || self.client.head_object().bucket(&self.name).key(key).send();
        let mut answer = head().await;
        // Nor does it say what else is wrong, such as credentials that have expired. By the answer to another request the SDK
        // also finds out by how much the clocks differ.
        if answer.as_ref().is_err_and(|error| matches!(status(error), 400 | 403)) {
            self.has_any(key).await?;
            answer = head().await;
        }
        match answer {
            Ok(head) => Object::new(head.content_length, head.last_modified, head.e_tag).map(Some),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failed(error, Intent::Reading)),
        }
    }

    /// The object at `key`, asked for so that the server says what is missing when it is.
    pub(crate) async fn look(&self, key: &str) -> Result<Option<Object>> {
        match self.get(key, Wanted::Range { range: "bytes=0-0", etag: None }).await {
            Ok(opened) => Ok(Some(opened.object)),
            Err(Unread::Missing) => Ok(None),
            // It is there after all, and empty.
            Err(Unread::BeyondEnd) => self.glance(key).await,
            Err(unread) => Err(unread.into_error()),
        }
    }

    /// Opens the object at `key` for reading.
    pub(crate) async fn get(&self, key: &str, wanted: Wanted<'_>) -> Result<Opened, Unread> {
        let mut request = self.client.get_object().bucket(&self.name).key(key);
        if let Wanted::Range { range, etag } = wanted {
            request = request.range(range).set_if_match(etag.map(str::to_owned));
        }
        let got = request.send().await.map_err(|error| match (status(&error), code(&error)) {
            _ if is_missing(&error) => Unread::Missing,
            (412, _) => Unread::OtherVersion,
            (416, _) | (_, "InvalidRange") => Unread::BeyondEnd,
            _ => Unread::Failed(failed(error, Intent::Reading)),
        })?;
        let whole = got.content_range.as_deref().and_then(|range| range.rsplit('/').next()?.parse().ok());
        let object = Object::new(whole.or(got.content_length), got.last_modified, got.e_tag)?;
        Ok(Opened { object, body: got.body })
    }

    /// Replaces the object at `key`; with `if_absent` only when there is none. The ETag, where the server tells it.
    pub(crate) async fn put(&self, key: &str, content: Bytes, if_absent: bool) -> Result<Option<String>> {
        let mut attempts = 0;
        loop {
            let error = match self.try_put(key, content.clone(), if_absent).await {
                Ok(put) => return Ok(put.e_tag),
                Err(error) => error,
            };
            attempts += 1;
            if attempts == CONFLICT_ATTEMPTS || status(&error) != 409 {
                let taken = if_absent && is_condition(&error);
                return Err(if taken { Error::already_exists() } else { failed(error, Intent::Changing) });
            }
            // Somebody else was at it in the same moment: put it too, and may yet have failed, or deleted what was beside it
            // on a server that keeps objects in folders.
            sleep(CONFLICT_REST * attempts).await;
        }
    }

    async fn try_put(
        &self,
        key: &str,
        content: Bytes,
        if_absent: bool,
    ) -> Result<PutObjectOutput, SdkError<PutObjectError>> {
        let objects = self.objects.clone();
        let request = self.client.put_object().bucket(&self.name).key(key).content_type(CONTENT_TYPE);
        let request = request.set_acl(objects.acl).set_storage_class(objects.storage_class);
        let request = request.set_server_side_encryption(objects.encryption).set_ssekms_key_id(objects.key_id);
        let request = request.set_if_none_match(if_absent.then(|| "*".to_owned())).body(content.into());
        request.send().await
    }

    /// Deletes the object at `key`, where the server knows how to only while it has this version. Nothing there is success.
    pub(crate) async fn delete_version(&self, key: &str, etag: &str) -> Result<()> {
        let request = || self.client.delete_object().bucket(&self.name).key(key);
        match request().if_match(etag).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) || status(&error) == 412 => Ok(()),
            Err(error) if is_unknown(&error) => self.delete(key).await,
            Err(error) => Err(failed(error, Intent::Changing)),
        }
    }

    /// Deletes the object at `key`. Nothing there is success.
    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        match self.client.delete_object().bucket(&self.name).key(key).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(failed(error, Intent::Changing)),
        }
    }

    /// Deletes the objects at `keys`, in batches.
    pub(crate) async fn delete_all(&self, keys: &[String]) -> Result<()> {
        for batch in keys.chunks(BATCH) {
            self.delete_batch(batch).await?;
        }
        Ok(())
    }

    async fn delete_batch(&self, keys: &[String]) -> Result<()> {
        if let [key] = keys {
            return self.delete(key).await;
        }
        let identifiers = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
        let identifiers = identifiers.collect::<Result<Vec<_>, _>>().map_err(unbuilt)?;
        let delete = Delete::builder().set_objects(Some(identifiers)).quiet(true).build().map_err(unbuilt)?;
        let request = self.client.delete_objects().bucket(&self.name).delete(delete);
        let done = request.send().await.map_err(|error| failed(error, Intent::Changing))?;
        let refused = done.errors().iter().find(|error| error.code() != Some("NoSuchKey"));
        refused.map_or(Ok(()), |refused| {
            let (kind, sentence) = judge(refused.code().unwrap_or_default(), 500, None, Intent::Changing);
            let kind = if refused.code() == Some("AccessDenied") { ErrorKind::AccessDenied } else { kind };
            Err(Error::new(kind, sentence))
        })
    }

    /// A page of at most `limit` keys that begin with `prefix`, in the order of their bytes.
    pub(crate) async fn list(&self, page: &PageRequest<'_>) -> Result<Listed> {
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(page.prefix);
        let request = request.set_delimiter(page.delimited.then(|| "/".to_owned()));
        let request = request.set_start_after(page.start_after.filter(|_| page.token.is_none()).map(str::to_owned));
        let request = request.set_continuation_token(page.token.map(str::to_owned));
        let limit = i32::try_from(page.limit.clamp(1, BATCH)).unwrap_or(1);
        let listed = request.max_keys(limit).send().await.map_err(|error| failed(error, Intent::Reading))?;
        Listed::new(listed)
    }

    /// Whether any key begins with `prefix`.
    pub(crate) async fn has_any(&self, prefix: &str) -> Result<bool> {
        let listed = self.list(&PageRequest { prefix, limit: 1, ..PageRequest::default() }).await?;
        Ok(!listed.objects.is_empty())
    }

    /// All keys that begin with `prefix`, where there are few.
    pub(crate) async fn list_few(&self, prefix: &str) -> Result<Vec<(String, Object)>> {
        let (mut objects, mut token) = (Vec::new(), None);
        loop {
            let page = PageRequest { prefix, token: token.as_deref(), limit: BATCH, ..PageRequest::default() };
            let listed = self.list(&page).await?;
            objects.extend(listed.objects);
            token = listed.next;
            if token.is_none() {
                return Ok(objects);
            }
        }
    }

    /// A small object, whole.
    pub(crate) async fn get_small(&self, key: &str) -> Result<Option<Bytes>> {
        match self.get(key, Wanted::Whole).await {
            Ok(opened) => collect(opened.body).await.map(Some),
            Err(Unread::Missing) => Ok(None),
            Err(unread) => Err(unread.into_error()),
        }
    }

    /// A URL that gives the object at `key` to whoever has it.
    pub(crate) async fn sign(&self, key: &str, method: RedirectMethod, expires_in: Duration) -> Result<String> {
        let signing = PresigningConfig::expires_in(expires_in.min(SIGNATURE_MAX)).map_err(unbuilt)?;
        let signed = match method {
            RedirectMethod::Get => {
                let request = self.signer.get_object().bucket(&self.name).key(key);
                request.presigned(signing).await.map_err(|error| failed(error, Intent::Reading))?
            }
            RedirectMethod::Head => {
                let request = self.signer.head_object().bucket(&self.name).key(key);
                request.presigned(signing).await.map_err(|error| failed(error, Intent::Reading))?
            }
        };
        Ok(signed.uri().to_owned())
    }
}

impl Listed {
    fn new(listed: ListObjectsV2Output) -> Result<Self> {
        let next = listed.next_continuation_token.filter(|_| listed.is_truncated == Some(true));
        let objects = listed.contents.unwrap_or_default().into_iter().map(|object| {
            let key = given(object.key, "a key")?;
            Ok((key, Object::new(object.size, object.last_modified, object.e_tag)?))
        });
        let prefixes = listed.common_prefixes.unwrap_or_default().into_iter().filter_map(|prefix| prefix.prefix);
        Ok(Listed { objects: objects.collect::<Result<_>>()?, prefixes: prefixes.collect(), next })
    }
}

/// All of a body that is known to be small.
pub(crate) async fn collect(body: ByteStream) -> Result<Bytes> {
    let read = body.collect().await.map_err(|problem| {
        let kind = ErrorKind::Unavailable { may_have_happened: false };
        Error::new(kind, "the S3 server's answer broke off").with_source(problem)
    })?;
    Ok(read.into_bytes())
}

/// A request that lacks something the driver always gives.
pub(crate) fn unbuilt(problem: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "the request could not be made").with_source(problem)
}
