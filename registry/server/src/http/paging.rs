//! Lists in pages: the parameters `n` and `last` of a request, and the `Link` of a response. It knows no list.

use http::header::LINK;
use oci::ErrorCode;
use oci::page::{InvalidPage, PageRequest, next_link};
use serde_json::json;

use super::error::HttpError;
use super::headers::header;
use super::site::Site;
use super::{Request, Response};

/// The page that `request` asks for: at most `maximum` results, and `usual` when it does not say.
pub(super) struct Paging {
    pub(super) limit: usize,
    pub(super) last: Option<String>,
}

impl Paging {
    pub(super) fn of(request: &Request, usual: usize, maximum: usize) -> Result<Self, HttpError> {
        let maximum = u32::try_from(maximum).unwrap_or(u32::MAX);
        let page = PageRequest::parse(request.uri().query().unwrap_or_default(), maximum).map_err(refuse)?;
        let limit = page.n.and_then(|n| usize::try_from(n).ok()).unwrap_or(usual);
        Ok(Paging { limit, last: page.last })
    }

    /// `last` as what is listed, or a sentence on why it cannot be.
    pub(super) fn last<T, E: ToString>(
        &self,
        code: ErrorCode,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, HttpError> {
        let refuse = |text: &str, problem: E| {
            HttpError::new(code, format!("the parameter last: {}", problem.to_string()))
                .with_detail(json!({ "last": text }))
        };
        self.last.as_deref().map(|text| parse(text).map_err(|problem| refuse(text, problem))).transpose()
    }

    /// Adds the `Link` to the page after `last`.
    pub(super) fn link(&self, response: &mut Response, site: &Site, path: &str, last: &str, others: &[(&str, &str)]) {
        let limit = self.limit.to_string();
        let parameters = [&[("n", limit.as_str()), ("last", last)], others].concat();
        response.headers_mut().insert(LINK, header(next_link(&site.location(path), &parameters)));
    }
}

fn refuse(problem: InvalidPage) -> HttpError {
    HttpError::new(ErrorCode::PaginationNumberInvalid, problem.to_string())
}
