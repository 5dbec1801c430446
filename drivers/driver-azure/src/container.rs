//! [`Container`]: the requests for whole objects that the driver makes, each with its errors in the contract's words.
//!
//! It knows keys, not paths, and nothing of what a key stands for.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use azure_core::error::CheckSuccessOptions;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{
    AsyncResponseBody, Body, Context, Etag, Method, PipelineSendOptions, PipelineStreamOptions, Request, Url,
};
use azure_storage_blob::BlobClient;
use azure_storage_blob::models::{BlobClientDeleteOptions, BlockBlobClientUploadOptions, DeleteSnapshotsOptionType};
use bytes::Bytes;
use driver_kit::flat::{PageRequest, Unread};
use driver_kit::{Error, ErrorKind, Info, Result};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use crate::client::Clients;
use crate::error::{Failure, changing, is_condition, is_missing, is_other_type, reading, status};
use crate::listing::{self, Listed};
use crate::patience::bulk;
use crate::settings::Settings;

/// Most keys of one page that is asked for.
const PAGE_MAX: usize = 5000;
/// Deletions of a tree that are under way at once.
const DELETIONS: usize = 16;
/// A content of more than this takes time to send.
const SMALL: usize = 4 << 20;
/// How long who wants bytes waits for some.
const STALL: Duration = Duration::from_secs(20);
const ONE: NonZero<usize> = NonZero::<usize>::MIN;

/// The container of a store.
pub(crate) struct Container {
    pub(crate) clients: Clients,
    redirects: Url,
    /// The server knows where a listing is to begin. One that does not is asked for all of it.
    knows_start: AtomicBool,
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
    /// Without quotes.
    pub(crate) etag: String,
    /// Of the copy that last was made to it, if one was.
    pub(crate) copy: Option<CopyState>,
}

/// How far a copy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopyState {
    pub(crate) id: String,
    pub(crate) progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    Pending,
    /// Aborted or failed: what it left is no content.
    Broken,
}

/// An answer to a request for the bytes of an object.
pub(crate) struct Opened {
    /// Of the whole object, whatever was asked for.
    pub(crate) object: Object,
    pub(crate) body: AsyncResponseBody,
}

/// What is to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    Whole,
    /// In the form of the header, and only of this version.
    Range {
        range: &'a str,
        etag: Option<&'a str>,
    },
}

/// What must be at a key for it to be changed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Condition<'a> {
    Any,
    Absent,
    Version(&'a str),
}

impl CopyState {
    pub(crate) fn new(status: &str, id: String) -> Self {
        let progress = match status {
            "success" => Progress::Done,
            "pending" => Progress::Pending,
            _ => Progress::Broken,
        };
        CopyState { id, progress }
    }

    pub(crate) fn of(headers: &Headers) -> Option<Self> {
        let status = header(headers, "x-ms-copy-status")?;
        Some(Self::new(status, header(headers, "x-ms-copy-id").unwrap_or_default().to_owned()))
    }
}

impl Object {
    pub(crate) fn info(&self) -> Info {
        Info::Content { size: self.size, modified: self.modified, version: self.etag.clone() }
    }

    /// A copy that is under way, or that broke, leaves what is no content yet.
    pub(crate) fn is_whole(&self) -> bool {
        self.copy.as_ref().is_none_or(|copy| copy.progress == Progress::Done)
    }

    fn of(headers: &Headers) -> Result<Self> {
        let whole = header(headers, "content-range").and_then(|range| range.rsplit('/').next());
        let size = whole.or_else(|| header(headers, "content-length")).and_then(|size| size.parse().ok());
        let size = size.ok_or_else(|| lacking("a size"))?;
        Ok(Object { size, copy: CopyState::of(headers), ..Self::written(headers, size)? })
    }

    /// From the answer to what wrote `size` bytes.
    pub(crate) fn written(headers: &Headers, size: u64) -> Result<Self> {
        let modified = header(headers, "last-modified").and_then(|date| httpdate::parse_http_date(date).ok());
        let etag = header(headers, "etag").ok_or_else(|| lacking("an ETag"))?.trim_matches('"').to_owned();
        Ok(Object { size, modified: modified.ok_or_else(|| lacking("a time"))?, etag, copy: None })
    }
}

pub(crate) fn header<'a>(headers: &'a Headers, name: &'static str) -> Option<&'a str> {
    headers.get_optional_str(&HeaderName::from_static(name))
}

fn lacking(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the Azure server answers without {what}"))
}

/// An ETag as headers have it.
pub(crate) fn quoted(etag: &str) -> Etag {
    Etag::from(format!("\"{etag}\""))
}

impl Condition<'_> {
    pub(crate) fn if_match(self) -> Option<Etag> {
        if let Condition::Version(etag) = self { Some(quoted(etag)) } else { None }
    }

    pub(crate) fn if_none_match(self) -> Option<Etag> {
        matches!(self, Condition::Absent).then(|| Etag::from("*"))
    }
}

impl From<bool> for Condition<'_> {
    fn from(if_absent: bool) -> Self {
        if if_absent { Condition::Absent } else { Condition::Any }
    }
}

impl Container {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let clients = Clients::new(settings)?;
        let mut redirects = clients.container.url().clone();
        let there = &settings.server.redirect_endpoint;
        // A container is below an endpoint's own path, in both.
        let path = format!("{}/{}", there.path().trim_end_matches('/'), settings.container);
        redirects.set_query(None);
        let redirects = there.join(&path).unwrap_or(redirects);
        Ok(Container { clients, redirects, knows_start: AtomicBool::new(true) })
    }

    pub(crate) fn object(&self, key: &str) -> BlobClient {
        self.clients.container.blob_client(key)
    }

    /// `None` when there is none.
    pub(crate) async fn head(&self, key: &str) -> Result<Option<Object>> {
        Ok(self.head_any(key).await?.filter(Object::is_whole))
    }

    /// Also where a copy is under way.
    pub(crate) async fn head_any(&self, key: &str) -> Result<Option<Object>> {
        match self.object(key).get_properties(None).await {
            Ok(found) => Object::of(found.headers()).map(Some),
            Err(failure) if is_missing(&failure) => Ok(None),
            Err(failure) => Err(reading(failure)),
        }
    }

    pub(crate) async fn get(&self, key: &str, wanted: Wanted<'_>) -> Result<Opened, Unread> {
        let mut request = self.request(self.object(key).url().clone());
        if let Wanted::Range { range, etag } = wanted {
            request.insert_header("range", range.to_owned());
            if let Some(etag) = etag {
                request.insert_header("if-match", format!("\"{etag}\""));
            }
        }
        let check_success = CheckSuccessOptions { success_codes: &[200, 206] };
        let options = PipelineStreamOptions { check_success, ..PipelineStreamOptions::default() };
        let got = self.clients.pipeline.stream(&Context::new(), &mut request, Some(options)).await;
        let (_, headers, body) = got.map_err(unread)?.deconstruct();
        let object = Object::of(&headers)?;
        if object.is_whole() { Ok(Opened { object, body }) } else { Err(Unread::Missing) }
    }

    fn request(&self, url: Url) -> Request {
        let mut request = Request::new(url, Method::Get);
        request.insert_header("x-ms-version", self.clients.version.clone());
        request
    }

    /// Replaces the object at `key`, where the condition is met.
    pub(crate) async fn put(&self, key: &str, content: Bytes, condition: Condition<'_>) -> Result<Object, Failure> {
        let size = content.len() as u64;
        let options = BlockBlobClientUploadOptions {
            if_match: condition.if_match(),
            if_none_match: condition.if_none_match(),
            method_options: if content.len() > SMALL { bulk() } else { Default::default() },
            parallel: Some(ONE),
            // One request, however large: nothing else is atomic.
            partition_size: NonZero::new(u64::MAX),
            ..Default::default()
        };
        let put = self.object(key).upload(Body::from(content).into(), Some(options)).await?;
        let modified = put.last_modified.map_or_else(SystemTime::now, SystemTime::from);
        let etag = put.etag.map(String::from).unwrap_or_default().trim_matches('"').to_owned();
        Ok(Object { size, modified, etag, copy: None })
    }

    /// Puts over whatever is there. An object that was written in another way goes first, for Azure replaces none of those.
    pub(crate) async fn put_over(
        &self,
        key: &str,
        content: Bytes,
        condition: Condition<'_>,
    ) -> Result<Object, Failure> {
        match self.put(key, content.clone(), condition).await {
            Err(failure) if is_other_type(&failure) && matches!(condition, Condition::Any) => {
                self.delete_if(key, Condition::Any, None).await?;
                self.put(key, content, condition).await
            }
            put => put,
        }
    }

    /// Deletes the object at `key`; whether there was one.
    pub(crate) async fn delete(&self, key: &str) -> Result<bool> {
        self.delete_if(key, Condition::Any, None).await.map_err(changing)
    }

    /// Deletes the object at `key` where the condition is met; whether there was one that met it. `lease`: of who holds one.
    pub(crate) async fn delete_if(
        &self,
        key: &str,
        condition: Condition<'_>,
        lease: Option<&str>,
    ) -> Result<bool, Failure> {
        let options = BlobClientDeleteOptions {
            delete_snapshots: Some(DeleteSnapshotsOptionType::Include),
            if_match: condition.if_match(),
            lease_id: lease.map(str::to_owned),
            ..Default::default()
        };
        match self.object(key).delete(Some(options)).await {
            Ok(_) => Ok(true),
            Err(failure) if is_missing(&failure) || is_condition(&failure) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Deletes the objects at `keys`, several at once.
    pub(crate) async fn delete_all(&self, keys: &[String]) -> Result<()> {
        let deletions: Vec<_> = keys.iter().map(|key| self.delete(key)).collect();
        stream::iter(deletions).buffer_unordered(DELETIONS).try_for_each(|_| std::future::ready(Ok(()))).await
    }

    /// A page of at most `limit` keys that begin with `prefix`, in the order of their bytes.
    pub(crate) async fn list(&self, page: &PageRequest<'_>) -> Result<Listed> {
        let knows_start = self.knows_start.load(Ordering::Relaxed);
        match self.try_list(page, knows_start).await {
            Err(failure) if knows_start && page.start_after.is_some() && status(&failure) == 400 => {
                self.knows_start.store(false, Ordering::Relaxed);
                self.try_list(page, false).await.map_err(reading)?
            }
            listed => listed.map_err(reading)?,
        }
        .ok_or_else(|| Error::new(ErrorKind::Internal, "the Azure server's listing cannot be understood"))
    }

    async fn try_list(&self, page: &PageRequest<'_>, knows_start: bool) -> Result<Option<Listed>, Failure> {
        let url = self.list_url(page, knows_start);
        let options = PipelineSendOptions::default();
        let answer = self.clients.pipeline.send(&Context::new(), &mut self.request(url), Some(options)).await?;
        Ok(listing::read(answer.body()))
    }

    fn list_url(&self, page: &PageRequest<'_>, knows_start: bool) -> Url {
        let mut url = self.clients.container.url().clone();
        let limit = page.limit.clamp(1, PAGE_MAX).to_string();
        let mut query = url.query_pairs_mut();
        query.extend_pairs([("restype", "container"), ("comp", "list"), ("include", "copy"), ("maxresults", &limit)]);
        let delimiter = page.delimited.then_some("/");
        let start = page.start_after.filter(|_| knows_start);
        let prefix = Some(page.prefix).filter(|prefix| !prefix.is_empty());
        let rest = [("prefix", prefix), ("delimiter", delimiter), ("startFrom", start), ("marker", page.token)];
        query.extend_pairs(rest.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
        drop(query);
        url
    }

    /// Whether any key begins with `prefix`.
    pub(crate) async fn has_any(&self, prefix: &str) -> Result<bool> {
        let mut marker = None;
        loop {
            let page = PageRequest { prefix, limit: 1, token: marker.as_deref(), ..PageRequest::default() };
            let listed = self.list(&page).await?;
            if listed.objects.iter().any(|(_, object)| object.is_whole()) {
                return Ok(true);
            }
            // A page may be empty although others follow.
            marker = listed.next;
            if marker.is_none() {
                return Ok(false);
            }
        }
    }

    /// A small object, whole.
    pub(crate) async fn get_small(&self, key: &str) -> Result<Option<(Object, Bytes)>> {
        match self.get(key, Wanted::Whole).await {
            Ok(opened) => Ok(Some((opened.object, collect(opened.body).await?))),
            Err(Unread::Missing) => Ok(None),
            Err(unread) => Err(unread.into_error()),
        }
    }

    /// A URL that gives the object at `key` to whoever has it.
    pub(crate) async fn sign(&self, key: &str, expires_in: Duration) -> Result<Option<String>> {
        let mut url = self.redirects.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(key);
        }
        Ok(self.clients.signer.sign(url, key, expires_in).await?.map(String::from))
    }
}

fn unread(failure: Failure) -> Unread {
    match status(&failure) {
        404 if is_missing(&failure) => Unread::Missing,
        412 => Unread::OtherVersion,
        416 => Unread::BeyondEnd,
        _ => Unread::Failed(reading(failure)),
    }
}

/// All of a body that is known to be small.
pub(crate) async fn collect(body: AsyncResponseBody) -> Result<Bytes> {
    let broken =
        || Error::new(ErrorKind::Unavailable { may_have_happened: false }, "the Azure server's answer broke off");
    match timeout(STALL, body.collect()).await {
        Ok(collected) => collected.map_err(|problem| broken().with_source(problem)),
        Err(late) => Err(broken().with_source(late)),
    }
}
