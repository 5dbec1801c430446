//! The requests of multipart uploads.

use std::time::SystemTime;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ObjectCannedAcl};
use bytes::Bytes;
use driver_kit::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, CONTENT_TYPE};
use crate::client::bulk;
use crate::error::{Intent, failed, given, is_condition, is_no_upload, is_unknown};
use crate::parts::Part;

/// A multipart upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub(crate) key: String,
    pub(crate) id: String,
}

/// A part as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedPart {
    pub(crate) number: u32,
    pub(crate) size: u64,
    pub(crate) etag: String,
}

/// An upload as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedUpload {
    pub(crate) upload: Upload,
    pub(crate) begun: Option<SystemTime>,
}

/// How completing an upload came out, when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completion {
    Done,
    /// The upload is no more: it was completed or aborted before.
    NoUpload,
}

impl Bucket {
    pub(crate) async fn begin_upload(&self, key: &str) -> Result<Upload> {
        let objects = self.objects.clone();
        let request = self.client.create_multipart_upload().bucket(&self.name).key(key).content_type(CONTENT_TYPE);
        let request = request.set_acl(objects.acl).set_storage_class(objects.storage_class);
        let request = request.set_server_side_encryption(objects.encryption).set_ssekms_key_id(objects.key_id);
        let begun = request.send().await.map_err(|error| failed(error, Intent::Changing))?;
        Ok(Upload { key: key.to_owned(), id: given(begun.upload_id, "an upload id")? })
    }

    /// NOT_FOUND when the upload is no more.
    pub(crate) async fn upload_part(&self, upload: &Upload, number: u32, content: Bytes) -> Result<Part> {
        let request = self.client.upload_part().bucket(&self.name).key(&upload.key).upload_id(&upload.id);
        let request = request.part_number(i32::try_from(number).unwrap_or(i32::MAX)).body(content.into());
        let request = request.customize().config_override(bulk());
        let part = request.send().await.map_err(|error| failed(error, Intent::Changing))?;
        Ok(Part { number, etag: given(part.e_tag, "the ETag of a part")? })
    }

    /// Copies `range` of the object `source` of one version as a part.
    pub(crate) async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &str,
        etag: &str,
        range: std::ops::Range<u64>,
    ) -> Result<Part> {
        let request = self.client.upload_part_copy().bucket(&self.name).key(&upload.key).upload_id(&upload.id);
        let request = request.part_number(i32::try_from(number).unwrap_or(i32::MAX));
        let request = request.copy_source(self.copy_source(source)).copy_source_if_match(etag);
        let request = request.copy_source_range(format!("bytes={}-{}", range.start, range.end - 1));
        let copied = request.customize().config_override(bulk()).send().await;
        let copied = copied.map_err(|error| failed(error, Intent::Changing))?;
        let etag = copied.copy_part_result.and_then(|part| part.e_tag);
        Ok(Part { number, etag: given(etag, "the ETag of a part")? })
    }

    /// Makes `parts` the object at the upload's key, in one step.
    pub(crate) async fn complete(&self, upload: &Upload, parts: &[Part], if_absent: bool) -> Result<Completion> {
        let parts = parts.iter().map(|part| {
            let number = i32::try_from(part.number).unwrap_or(i32::MAX);
            CompletedPart::builder().part_number(number).e_tag(&part.etag).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let request = self.client.complete_multipart_upload().bucket(&self.name).key(&upload.key);
        let request = request.upload_id(&upload.id).multipart_upload(parts);
        let request = request.set_if_none_match(if_absent.then(|| "*".to_owned()));
        match request.customize().config_override(bulk()).send().await {
            Ok(_) => Ok(Completion::Done),
            Err(error) if is_no_upload(&error) => Ok(Completion::NoUpload),
            Err(error) if if_absent && is_condition(&error) => Err(Error::already_exists()),
            Err(error) => Err(failed(error, Intent::Changing)),
        }
    }

    /// Frees what was uploaded. One that is no more is success.
    pub(crate) async fn abort(&self, upload: &Upload) -> Result<()> {
        let request = self.client.abort_multipart_upload().bucket(&self.name).key(&upload.key);
        match request.upload_id(&upload.id).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_no_upload(&error) => Ok(()),
            Err(error) => Err(failed(error, Intent::Changing)),
        }
    }

    /// The parts of an upload, by number; `None` when the upload is no more.
    pub(crate) async fn list_parts(&self, upload: &Upload) -> Result<Option<Vec<ListedPart>>> {
        let (mut parts, mut marker) = (Vec::new(), None);
        loop {
            let request = self.client.list_parts().bucket(&self.name).key(&upload.key).upload_id(&upload.id);
            let page = match request.set_part_number_marker(marker).send().await {
                Ok(page) => page,
                Err(error) if is_no_upload(&error) => return Ok(None),
                Err(error) => return Err(failed(error, Intent::Reading)),
            };
            let next = page.next_part_number_marker.filter(|_| page.is_truncated == Some(true));
            parts.extend(page.parts.unwrap_or_default().into_iter().filter_map(listed_part));
            marker = next;
            if marker.is_none() {
                parts.sort_by_key(|part: &ListedPart| part.number);
                return Ok(Some(parts));
            }
        }
    }

    /// At most a page of the uploads whose keys begin with `prefix`; `None` where the server lists none.
    pub(crate) async fn list_uploads(
        &self,
        prefix: &str,
        after: Option<&Upload>,
    ) -> Result<Option<(Vec<ListedUpload>, bool)>> {
        let request = self.client.list_multipart_uploads().bucket(&self.name).prefix(prefix);
        let request = request.set_key_marker(after.map(|upload| upload.key.clone()));
        match request.set_upload_id_marker(after.map(|upload| upload.id.clone())).send().await {
            Ok(page) => {
                let uploads = page.uploads.unwrap_or_default().into_iter().filter_map(listed_upload).collect();
                Ok(Some((uploads, page.is_truncated == Some(true))))
            }
            Err(error) if is_unknown(&error) => Ok(None),
            Err(error) => Err(failed(error, Intent::Reading)),
        }
    }

    /// Makes the object at `target` a copy of that at `source`, in one request.
    pub(crate) async fn copy_whole(&self, source: &str, etag: &str, target: &str) -> Result<()> {
        let objects = self.objects.clone();
        let request = self.client.copy_object().bucket(&self.name).key(target).copy_source(self.copy_source(source));
        let request = request.copy_source_if_match(etag).content_type(CONTENT_TYPE);
        let request =
            request.set_acl(objects.acl.map(|acl: ObjectCannedAcl| acl)).set_storage_class(objects.storage_class);
        let request = request.set_server_side_encryption(objects.encryption).set_ssekms_key_id(objects.key_id);
        let copied = request.customize().config_override(bulk()).send().await;
        copied.map(drop).map_err(|error| failed(error, Intent::Changing))
    }

    /// The header that names an object to copy, whose key is written as in a URL.
    fn copy_source(&self, key: &str) -> String {
        let mut source = format!("{}/", self.name);
        for byte in key.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => source.push(byte.into()),
                other => source.push_str(&format!("%{other:02X}")),
            }
        }
        source
    }
}

fn listed_part(part: aws_sdk_s3::types::Part) -> Option<ListedPart> {
    let number = u32::try_from(part.part_number?).ok()?;
    Some(ListedPart { number, size: u64::try_from(part.size?).ok()?, etag: part.e_tag? })
}

fn listed_upload(upload: aws_sdk_s3::types::MultipartUpload) -> Option<ListedUpload> {
    let begun = upload.initiated.and_then(|time| SystemTime::try_from(time).ok());
    Some(ListedUpload { upload: Upload { key: upload.key?, id: upload.upload_id? }, begun })
}
