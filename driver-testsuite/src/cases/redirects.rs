//! RedirectUrl: what a client without credentials gets at the URL.

use std::error::Error;
use std::iter;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, StatusCode, redirect};
use storagedriver_proto::v1alpha1::RedirectUrlRequest;
use storagedriver_proto::v1alpha1::redirect_url_request::Method as Signed;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::block::content;
use crate::case::cases;
use crate::client::{Client, Reply};
use crate::expect::{Outcome, broken, ensure, equal, not_offered, refused, same_bytes};

cases! { "redirects":
    Quick Writing [F1] "A URL gives the content without credentials, whole, in ranges, and to HEAD." => fetched,
    Quick Writing [F1] "A URL is for reading its path, and for nothing else." => for_one_path,
    Quick Writing [F1] "A URL stops working when its time is over." => expires,
    Quick Writing [F1] "A URL of nothing is NOT_FOUND, or answers 404." => of_nothing,
}

/// A URL for `relative` that lasts `seconds`.
async fn url(client: &Client, relative: &str, method: Signed, seconds: u64) -> Reply<String> {
    let expires_in = Duration::from_secs(seconds).try_into().ok();
    let path = client.at(relative);
    let request = RedirectUrlRequest { path, method: method.into(), expires_in, ..Default::default() };
    Ok(client.raw().redirect_url(request).await?.into_inner().url)
}

/// The URL of a content that was just put; an error where there is nothing to fetch.
async fn signed(client: &Client, method: Signed, seconds: u64) -> Outcome<String> {
    if !client.capabilities().redirect {
        return not_offered("redirect");
    }
    client.put(&client.at("a"), content(1, 100_000)).await?;
    match url(client, "a", method, seconds).await? {
        none if none.is_empty() => not_offered("a URL for this content"),
        url => Ok(url),
    }
}

/// As a client does that trusts the authorities of this machine, or those in the file that `SSL_CERT_FILE` names.
async fn fetch(method: Method, url: &str, range: Option<&str>) -> Outcome<(StatusCode, Option<u64>, Bytes)> {
    let http = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .build()
        .or_else(|problem| not_fetched(&problem))?;
    let mut request = http.request(method, url);
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let answer = request.send().await.or_else(|problem| not_fetched(&problem))?;
    let length = answer.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
    let status = answer.status();
    Ok((status, length, answer.bytes().await.or_else(|problem| not_fetched(&problem))?))
}

/// The library says what failed, and its causes why.
fn not_fetched<T>(problem: &reqwest::Error) -> Outcome<T> {
    let causes = iter::successors(problem.source(), |cause| (*cause).source());
    let why: String = causes.map(|cause| format!(": {cause}")).collect();
    broken(format!("the URL cannot be fetched: {problem}{why}"))
}

async fn fetched(client: Client) -> Outcome {
    let wanted = content(1, 100_000);
    let get = signed(&client, Signed::Get, 60).await?;
    let (status, length, seen) = fetch(Method::GET, &get, None).await?;
    equal("GET", (status, length), (StatusCode::OK, Some(100_000)))?;
    same_bytes("what GET gives", &seen, &wanted)?;
    let (status, _, seen) = fetch(Method::GET, &get, Some("bytes=1000-1999")).await?;
    equal("GET of a range", status, StatusCode::PARTIAL_CONTENT)?;
    same_bytes("a range", &seen, &wanted[1000..2000])?;
    let head = signed(&client, Signed::Head, 60).await?;
    let (status, length, _) = fetch(Method::HEAD, &head, None).await?;
    equal("HEAD", (status, length), (StatusCode::OK, Some(100_000)))
}

async fn for_one_path(client: Client) -> Outcome {
    let get = signed(&client, Signed::Get, 60).await?;
    client.put(&client.at("b"), "another").await?;
    let (path, query) = get.split_once('?').unwrap_or((&get, ""));
    let other = format!("{}b?{query}", &path[..path.len() - 1]);
    let (status, _, seen) = fetch(Method::GET, &other, None).await?;
    ensure(!status.is_success(), || format!("the signature of one path gives another: {} bytes", seen.len()))?;
    let head = signed(&client, Signed::Head, 60).await?;
    for (url, signed) in [(&get, "GET"), (&head, "HEAD")] {
        for method in [Method::PUT, Method::DELETE, Method::POST, Method::PATCH] {
            let (status, ..) = fetch(method.clone(), url, None).await?;
            ensure(!status.is_success(), || format!("{method} with a URL for {signed}: {status}"))?;
        }
    }
    same_bytes("the content", &client.get(&client.at("a")).await?.1, &content(1, 100_000))
}

async fn expires(client: Client) -> Outcome {
    let get = signed(&client, Signed::Get, 1).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    while fetch(Method::GET, &get, None).await?.0.is_success() {
        ensure(tokio::time::Instant::now() < deadline, || "a URL for a second works after fifteen".to_owned())?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn of_nothing(client: Client) -> Outcome {
    signed(&client, Signed::Get, 60).await?;
    match url(&client, "nothing", Signed::Get, 60).await {
        Ok(url) if url.is_empty() => Ok(()),
        Ok(url) => equal("GET of nothing", fetch(Method::GET, &url, None).await?.0, StatusCode::NOT_FOUND),
        refusal => refused("RedirectUrl of nothing", refusal, Reason::NotFound).map(drop),
    }
}
