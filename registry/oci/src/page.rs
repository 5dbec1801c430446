//! Listing in pages: what a request asks for, and the `Link` that leads to the next page.

use form_urlencoded::Serializer;

/// The longest `last` that can name anything: repository names are as long, tags and digests shorter.
const LAST_MAX: usize = 255;

/// The parameters `n` and `last` of a request for a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// The most results to give; 0 asks for an empty page without a `Link`.
    pub n: Option<u32>,
    /// The result after which to begin, whether or not it exists.
    pub last: Option<String>,
}

/// Why a query does not ask for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPage {
    #[error("the parameter n is a number of results: 0 or more, in decimal digits")]
    Number,
    #[error("the parameter last is the last result of the page before, at most {LAST_MAX} bytes long")]
    Last,
}

impl PageRequest {
    /// Reads the query of a URL; a number above `maximum` means `maximum`.
    pub fn parse(query: &str, maximum: u32) -> Result<PageRequest, InvalidPage> {
        let find = |name| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value);
        let n = find("n").map(|digits| number(&digits)).transpose()?.map(|n| n.min(maximum));
        let last = find("last").map(String::from).filter(|last| !last.is_empty());
        if last.as_ref().is_some_and(|last| last.len() > LAST_MAX) {
            return Err(InvalidPage::Last);
        }
        Ok(PageRequest { n, last })
    }
}

fn number(digits: &str) -> Result<u32, InvalidPage> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidPage::Number);
    }
    Ok(digits.parse().unwrap_or(u32::MAX))
}

/// The value of the `Link` header to the page at `path` that these parameters ask for.
///
/// `path` is made of names that need no escaping; the parameters may hold anything.
pub fn next_link(path: &str, parameters: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("<{path}?{query}>; rel=\"next\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(n: Option<u32>, last: Option<&str>) -> Result<PageRequest, InvalidPage> {
        Ok(PageRequest { n, last: last.map(str::to_owned) })
    }

    #[test]
    fn parameters() {
        let long = format!("last={}", "a".repeat(256));
        let rows = [
            ("", page(None, None)),
            ("n=0", page(Some(0), None)),
            ("n=10&last=v1.0", page(Some(10), Some("v1.0"))),
            ("last=a%2Fb&n=007", page(Some(7), Some("a/b"))),
            ("n=1001", page(Some(1000), None)),
            ("n=99999999999999999999", page(Some(1000), None)),
            ("last=", page(None, None)),
            ("other=1&n=2", page(Some(2), None)),
            ("n=", Err(InvalidPage::Number)),
            ("n=-1", Err(InvalidPage::Number)),
            ("n=%2B1", Err(InvalidPage::Number)),
            ("n=1.5", Err(InvalidPage::Number)),
            ("n=ten", Err(InvalidPage::Number)),
            (&long, Err(InvalidPage::Last)),
        ];
        for (query, expected) in rows {
            assert_eq!(PageRequest::parse(query, 1000), expected, "{query}");
        }
    }

    #[test]
    fn link() {
        let link = next_link("/v2/a/tags/list", &[("n", "2"), ("last", "b&c=\"d>\r\n")]);
        assert_eq!(link, "</v2/a/tags/list?n=2&last=b%26c%3D%22d%3E%0D%0A>; rel=\"next\"");
    }

    proptest! {
        #[test]
        fn link_leads_to_the_page_it_was_made_for(n in 0..1000u32, last in "\\PC{1,40}") {
            let link = next_link("/v2/_catalog", &[("n", &n.to_string()), ("last", &last)]);
            let query = link.strip_prefix("</v2/_catalog?").and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
            prop_assert!(link.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let page = PageRequest::parse(query.unwrap(), 1000).unwrap();
            prop_assert_eq!(page, PageRequest { n: Some(n), last: Some(last) });
        }

        #[test]
        fn numbers_never_exceed_the_maximum(query in "\\PC{0,30}|n=[0-9]{1,20}", maximum: u32) {
            if let Ok(page) = PageRequest::parse(&query, maximum) {
                prop_assert!(page.n.is_none_or(|n| n <= maximum));
            }
        }
    }
}
