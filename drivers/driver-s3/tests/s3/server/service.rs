//! The operations that the driver uses, as S3 documents them.

use std::time::SystemTime;

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::bucket::{Object as Stored, Part as StoredPart, etag, size};
use super::{BUCKET, Failure, Quirks, Shared, State};

/// Uploads and parts of one page: few, so that who lists them has to turn pages.
const UPLOADS_PAGE: usize = 50;
const PARTS_PAGE: usize = 5;
const STEP: usize = 64 << 10;

/// How the driver finds out every few seconds whether the server answers: nobody's call costs it.
pub(super) const LOOK: &str = "a look at the bucket";

type Reply<T> = S3Result<S3Response<T>>;

fn strong(etag: &str) -> ETag {
    ETag::Strong(etag.to_owned())
}

fn matches(condition: &ETagCondition, stored: Option<&Stored>) -> bool {
    match (condition, stored) {
        (ETagCondition::Any, stored) => stored.is_some(),
        (ETagCondition::ETag(etag), Some(stored)) => etag.value() == stored.etag,
        (ETagCondition::ETag(_), None) => false,
    }
}

async fn read(body: Option<StreamingBlob>) -> S3Result<Vec<Bytes>> {
    let Some(body) = body else { return Ok(Vec::new()) };
    body.try_collect().await.map_err(|_| s3_error!(IncompleteBody))
}

/// The bytes in small steps, so that a reader who stops stops the rest; broken off after `cut_after` of them.
fn body(pieces: Vec<Bytes>, cut_after: Option<usize>) -> StreamingBlob {
    let mut left = cut_after.unwrap_or(usize::MAX);
    let mut chunks = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() && left > 0 {
            let chunk = piece.split_to(piece.len().min(STEP).min(left));
            left -= chunk.len();
            chunks.push(Ok(chunk));
        }
    }
    if left == 0 {
        chunks.push(Err(std::io::Error::other("the connection breaks")));
    }
    StreamingBlob::wrap(stream::iter(chunks))
}

impl Shared {
    /// Counts the request and fails it where that was asked for.
    fn enter(&self, bucket: &str, operation: &'static str) -> S3Result<std::sync::MutexGuard<'_, State>> {
        let mut state = self.lock();
        *state.requests.entry(operation).or_default() += 1;
        match state.quirks.failure() {
            Some(Failure::SlowDown) => Err(s3_error!(SlowDown)),
            Some(Failure::Internal) => Err(s3_error!(InternalError)),
            Some(Failure::Denied) => Err(s3_error!(AccessDenied)),
            Some(Failure::Expired) => Err(s3_error!(ExpiredToken)),
            Some(Failure::NoBucket) => Err(s3_error!(NoSuchBucket)),
            None if bucket != BUCKET => Err(s3_error!(NoSuchBucket)),
            None => Ok(state),
        }
    }
}

impl Quirks {
    fn failure(&mut self) -> Option<Failure> {
        let failure = self.fails?;
        if self.fails_after > 0 {
            self.fails_after -= 1;
            return None;
        }
        self.fails_times = self.fails_times.checked_sub(1)?;
        Some(failure)
    }
}

impl State {
    fn object(&self, key: &str) -> S3Result<&Stored> {
        self.bucket.objects.get(key).ok_or_else(|| s3_error!(NoSuchKey))
    }

    /// `If-None-Match` and `If-Match` of what changes an object.
    fn check(&self, key: &str, none: Option<&ETagCondition>, some: Option<&ETagCondition>) -> S3Result<()> {
        let stored = self.bucket.objects.get(key);
        let refused = none.is_some_and(|condition| matches(condition, stored))
            || some.is_some_and(|condition| !matches(condition, stored));
        if refused && !self.quirks.ignores_conditions { Err(s3_error!(PreconditionFailed)) } else { Ok(()) }
    }

    fn source(&self, source: &CopySource, if_match: Option<&ETagCondition>) -> S3Result<&Stored> {
        let CopySource::Bucket { key, .. } = source else { return Err(s3_error!(InvalidRequest)) };
        let stored = self.object(key)?;
        if if_match.is_some_and(|condition| !matches(condition, Some(stored))) {
            return Err(s3_error!(PreconditionFailed));
        }
        Ok(stored)
    }

    fn assemble(&self, id: &str, key: &str, wanted: &[CompletedPart]) -> S3Result<Stored> {
        let upload = self.bucket.uploads.get(id).filter(|upload| upload.key == key);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
        if wanted.is_empty() {
            return Err(s3_error!(MalformedXML));
        }
        if !wanted.is_sorted_by(|one, next| one.part_number < next.part_number) {
            return Err(s3_error!(InvalidPartOrder));
        }
        let (mut pieces, mut etags) = (Vec::new(), Vec::new());
        for (index, part) in wanted.iter().enumerate() {
            let stored = upload.parts.get(&part.part_number.unwrap_or_default());
            let stored = stored.filter(|stored| part.e_tag.as_ref().is_some_and(|etag| etag.value() == stored.etag));
            let stored = stored.ok_or_else(|| s3_error!(InvalidPart))?;
            if index + 1 < wanted.len() && size(&stored.content) < 5 << 20 {
                return Err(s3_error!(EntityTooSmall));
            }
            pieces.extend(stored.content.iter().cloned());
            etags.push(Bytes::from(stored.etag.clone()));
        }
        Ok(Stored::new(pieces, format!("{}-{}", etag(&etags), wanted.len())))
    }
}

#[tonic::async_trait]
impl S3 for Shared {
    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Reply<HeadObjectOutput> {
        let state = self.enter(&req.input.bucket, "HeadObject")?;
        let stored = state.object(&req.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(stored.size() as i64),
            last_modified: Some(to_the_second(stored.modified)),
            e_tag: Some(strong(&stored.etag)),
            ..Default::default()
        }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Reply<GetObjectOutput> {
        let state = self.enter(&req.input.bucket, "GetObject")?;
        let (stored, cut_after) = (state.object(&req.input.key)?.clone(), state.cut_after);
        drop(state);
        if req.input.if_match.is_some_and(|condition| !matches(&condition, Some(&stored))) {
            return Err(s3_error!(PreconditionFailed));
        }
        let range = req.input.range.map(|range| range.check(stored.size())).transpose()?;
        let content_range =
            range.as_ref().map(|range| format!("bytes {}-{}/{}", range.start, range.end - 1, stored.size()));
        let range = range.unwrap_or(0..stored.size());
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some((range.end - range.start) as i64),
            content_range,
            last_modified: Some(to_the_second(stored.modified)),
            e_tag: Some(strong(&stored.etag)),
            body: Some(body(stored.slice(range.start, range.end), cut_after)),
            ..Default::default()
        }))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> Reply<PutObjectOutput> {
        let input = req.input;
        let pieces = read(input.body).await?;
        let mut state = self.enter(&input.bucket, "PutObject")?;
        state.check(&input.key, input.if_none_match.as_ref(), input.if_match.as_ref())?;
        let stored = Stored::new(pieces.clone(), etag(&pieces));
        let e_tag = Some(strong(&stored.etag));
        state.bucket.objects.insert(input.key, stored);
        Ok(S3Response::new(PutObjectOutput { e_tag, ..Default::default() }))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Reply<DeleteObjectOutput> {
        let mut state = self.enter(&req.input.bucket, "DeleteObject")?;
        state.check(&req.input.key, None, req.input.if_match.as_ref())?;
        state.bucket.objects.remove(&req.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> Reply<DeleteObjectsOutput> {
        let mut state = self.enter(&req.input.bucket, "DeleteObjects")?;
        if req.input.delete.objects.len() > 1000 {
            return Err(s3_error!(MalformedXML));
        }
        for object in &req.input.delete.objects {
            state.bucket.objects.remove(&object.key);
        }
        Ok(S3Response::new(DeleteObjectsOutput::default()))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> Reply<ListObjectsV2Output> {
        let is_look = req.input.prefix.as_ref().is_none_or(String::is_empty) && req.input.max_keys == Some(1);
        let state = self.enter(&req.input.bucket, if is_look { LOOK } else { "ListObjectsV2" })?;
        Ok(S3Response::new(super::listing::list(&state.bucket, req.input)))
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> Reply<CopyObjectOutput> {
        let input = req.input;
        let mut state = self.enter(&input.bucket, "CopyObject")?;
        let stored = state.source(&input.copy_source, input.copy_source_if_match.as_ref())?;
        if stored.size() > 5 << 30 {
            return Err(s3_error!(InvalidRequest));
        }
        let copied = Stored::new(stored.pieces.clone(), stored.etag.clone());
        let result = CopyObjectResult { e_tag: Some(strong(&copied.etag)), ..Default::default() };
        state.bucket.objects.insert(input.key, copied);
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Reply<CreateMultipartUploadOutput> {
        let mut state = self.enter(&req.input.bucket, "CreateMultipartUpload")?;
        let upload_id = Some(state.bucket.begin(&req.input.key));
        Ok(S3Response::new(CreateMultipartUploadOutput { upload_id, ..Default::default() }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> Reply<UploadPartOutput> {
        let input = req.input;
        let content = read(input.body).await?;
        let etag = etag(&content);
        let e_tag = Some(strong(&etag));
        let mut state = self.enter(&input.bucket, "UploadPart")?;
        let upload = state.bucket.upload(&input.upload_id, &input.key).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(input.part_number, StoredPart { content, etag });
        Ok(S3Response::new(UploadPartOutput { e_tag, ..Default::default() }))
    }

    async fn upload_part_copy(&self, req: S3Request<UploadPartCopyInput>) -> Reply<UploadPartCopyOutput> {
        let input = req.input;
        let mut state = self.enter(&input.bucket, "UploadPartCopy")?;
        let stored = state.source(&input.copy_source, input.copy_source_if_match.as_ref())?;
        let range =
            input.copy_source_range.as_deref().map(Range::parse).transpose().map_err(|_| s3_error!(InvalidRange))?;
        let range = range.map(|range| range.check(stored.size())).transpose()?.unwrap_or(0..stored.size());
        let content = stored.slice(range.start, range.end);
        let etag = etag(&content);
        let upload = state.bucket.upload(&input.upload_id, &input.key).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(input.part_number, StoredPart { content, etag: etag.clone() });
        let result = CopyPartResult { e_tag: Some(strong(&etag)), ..Default::default() };
        Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Reply<CompleteMultipartUploadOutput> {
        let input = req.input;
        let mut state = self.enter(&input.bucket, "CompleteMultipartUpload")?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let stored = state.assemble(&input.upload_id, &input.key, &parts)?;
        state.check(&input.key, input.if_none_match.as_ref(), input.if_match.as_ref())?;
        let e_tag = Some(strong(&stored.etag));
        state.bucket.uploads.remove(&input.upload_id);
        state.bucket.objects.insert(input.key, stored);
        Ok(S3Response::new(CompleteMultipartUploadOutput { e_tag, ..Default::default() }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Reply<AbortMultipartUploadOutput> {
        let mut state = self.enter(&req.input.bucket, "AbortMultipartUpload")?;
        let known = state.bucket.uploads.remove(&req.input.upload_id).is_some();
        if known { Ok(S3Response::new(AbortMultipartUploadOutput::default())) } else { Err(s3_error!(NoSuchUpload)) }
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Reply<ListPartsOutput> {
        let input = req.input;
        let mut state = self.enter(&input.bucket, "ListParts")?;
        let upload = state.bucket.upload(&input.upload_id, &input.key).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let after = input.part_number_marker.unwrap_or_default();
        let mut parts: Vec<_> =
            upload.parts.range(after + 1..).take(PARTS_PAGE + 1).map(|(number, part)| listed(*number, part)).collect();
        let is_truncated = parts.len() > PARTS_PAGE;
        parts.truncate(PARTS_PAGE);
        let next = parts.last().and_then(|part| part.part_number);
        Ok(S3Response::new(ListPartsOutput {
            is_truncated: Some(is_truncated),
            next_part_number_marker: next,
            parts: Some(parts),
            ..Default::default()
        }))
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> Reply<ListMultipartUploadsOutput> {
        let input = req.input;
        let state = self.enter(&input.bucket, "ListMultipartUploads")?;
        let prefix = input.prefix.unwrap_or_default();
        let after = (input.key_marker.unwrap_or_default(), input.upload_id_marker.unwrap_or_default());
        let mut uploads: Vec<_> =
            state.bucket.uploads.iter().map(|(id, upload)| (upload.key.clone(), id.clone(), upload.begun)).collect();
        uploads.sort();
        uploads.retain(|(key, id, _)| key.starts_with(&prefix) && (key, id) > (&after.0, &after.1));
        let is_truncated = uploads.len() > UPLOADS_PAGE;
        uploads.truncate(UPLOADS_PAGE);
        let last = uploads.last().cloned();
        let uploads = uploads.into_iter().map(|(key, id, begun)| MultipartUpload {
            key: Some(key),
            upload_id: Some(id),
            initiated: Some(begun.into()),
            ..Default::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            is_truncated: Some(is_truncated),
            next_key_marker: last.as_ref().map(|(key, ..)| key.clone()),
            next_upload_id_marker: last.map(|(_, id, _)| id),
            uploads: Some(uploads.collect()),
            ..Default::default()
        }))
    }
}

fn listed(number: i32, part: &StoredPart) -> Part {
    Part {
        part_number: Some(number),
        size: Some(size(&part.content) as i64),
        e_tag: Some(strong(&part.etag)),
        ..Default::default()
    }
}

/// S3 tells whole seconds.
pub(super) fn to_the_second(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())).into()
}
