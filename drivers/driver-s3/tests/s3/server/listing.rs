//! ListObjectsV2: keys in the order of their bytes, those beyond a delimiter told as one prefix.

use s3s::dto::*;

use super::bucket::Bucket;
use super::service::to_the_second;

pub(super) fn list(bucket: &Bucket, input: ListObjectsV2Input) -> ListObjectsV2Output {
    let prefix = input.prefix.unwrap_or_default();
    let limit = usize::try_from(input.max_keys.unwrap_or(1000)).unwrap_or_default().min(1000);
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let after = input.continuation_token.or(input.start_after).unwrap_or_default();
    let mut page = Page { contents: Vec::new(), prefixes: Vec::new(), last: String::new() };
    let mut is_truncated = false;
    for (key, stored) in
        bucket.objects.range::<String, _>(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix))
    {
        let cut =
            delimiter.as_ref().and_then(|sign| key[prefix.len()..].find(sign).map(|at| prefix.len() + at + sign.len()));
        let shown = &key[..cut.unwrap_or(key.len())];
        if key <= &after
            || (cut.is_some() && (shown <= after.as_str() && after.starts_with(shown)))
            || shown == page.last
        {
            continue;
        }
        if page.contents.len() + page.prefixes.len() == limit {
            is_truncated = true;
            break;
        }
        page.last = shown.to_owned();
        match cut {
            Some(_) => page.prefixes.push(CommonPrefix { prefix: Some(shown.to_owned()) }),
            None => page.contents.push(Object {
                key: Some(key.clone()),
                size: Some(stored.size() as i64),
                last_modified: Some(to_the_second(stored.modified)),
                e_tag: Some(ETag::Strong(stored.etag.clone())),
                ..Default::default()
            }),
        }
    }
    ListObjectsV2Output {
        is_truncated: Some(is_truncated),
        key_count: i32::try_from(page.contents.len() + page.prefixes.len()).ok(),
        next_continuation_token: is_truncated.then_some(page.last),
        contents: Some(page.contents),
        common_prefixes: Some(page.prefixes),
        ..Default::default()
    }
}

struct Page {
    contents: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    /// What was told last.
    last: String,
}
