//! [`ConnectionString`]: the text with which Azure's portal tells where an account is and how to get in.

use driver_kit::{Result, invalid};

const NAME: &str = "connectionstring";

/// The emulator's account and key are the same everywhere, and printed in its documentation.
const EMULATOR: &str = "AccountName=devstoreaccount1;\
    AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;\
    BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1";

/// What of a connection string concerns the storage of objects.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ConnectionString {
    pub(crate) account: Option<String>,
    /// As it is written, in base64.
    pub(crate) key: Option<String>,
    pub(crate) sas: Option<String>,
    pub(crate) endpoint: Option<String>,
}

impl ConnectionString {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut scheme = "https";
        let mut suffix = None;
        let mut parsed = ConnectionString::default();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| unreadable("has a piece that is no NAME=VALUE"))?;
            let value_of = || Some(value.to_owned());
            match name.trim().to_ascii_lowercase().as_str() {
                "usedevelopmentstorage" if value.eq_ignore_ascii_case("true") => return Self::parse(EMULATOR),
                "defaultendpointsprotocol" if matches!(value, "http" | "https") => scheme = value,
                "defaultendpointsprotocol" => return Err(unreadable("has a protocol that is neither http nor https")),
                "accountname" => parsed.account = value_of(),
                "accountkey" => parsed.key = value_of(),
                "sharedaccesssignature" => parsed.sas = value_of(),
                "blobendpoint" => parsed.endpoint = value_of(),
                "endpointsuffix" => suffix = Some(value),
                // Those of queues, tables and files among others.
                _ => {}
            }
        }
        if let (None, Some(account)) = (&parsed.endpoint, &parsed.account) {
            parsed.endpoint = Some(endpoint(scheme, account, suffix.unwrap_or(REALM)));
        }
        parsed.checked()
    }

    fn checked(self) -> Result<Self> {
        match (&self.endpoint, &self.key, &self.sas) {
            (None, ..) => Err(unreadable("has neither an AccountName nor a BlobEndpoint")),
            (_, Some(_), Some(_)) => Err(unreadable("has an AccountKey and a SharedAccessSignature: keep one")),
            _ => Ok(self),
        }
    }
}

/// The domain of Azure's public cloud.
pub(crate) const REALM: &str = "core.windows.net";

/// Where the objects of an account are.
pub(crate) fn endpoint(scheme: &str, account: &str, realm: &str) -> String {
    format!("{scheme}://{account}.blob.{realm}")
}

fn unreadable(problem: &str) -> driver_kit::Error {
    invalid(NAME, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (String, String, String, String) {
        let parsed = ConnectionString::parse(text).unwrap();
        let ConnectionString { account, key, sas, endpoint } = parsed;
        (account.unwrap_or_default(), key.unwrap_or_default(), sas.unwrap_or_default(), endpoint.unwrap_or_default())
    }

    fn quadruple(account: &str, key: &str, sas: &str, endpoint: &str) -> (String, String, String, String) {
        (account.to_owned(), key.to_owned(), sas.to_owned(), endpoint.to_owned())
    }

    #[test]
    fn what_the_portal_gives_is_read() {
        let rows = [
            (
                "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=a2V5==;EndpointSuffix=core.windows.net",
                quadruple("me", "a2V5==", "", "https://me.blob.core.windows.net"),
            ),
            (
                "AccountName=me;AccountKey=k;EndpointSuffix=core.chinacloudapi.cn",
                quadruple("me", "k", "", "https://me.blob.core.chinacloudapi.cn"),
            ),
            (
                "BlobEndpoint=https://me.example/;SharedAccessSignature=sv=2026&sig=a%3D;TableEndpoint=https://t",
                quadruple("", "", "sv=2026&sig=a%3D", "https://me.example/"),
            ),
            (
                " accountname = ignored space is kept;blobendpoint=http://h:1/me;",
                quadruple(" ignored space is kept", "", "", "http://h:1/me"),
            ),
        ];
        for (text, wanted) in rows {
            assert_eq!(parse(text), wanted, "{text}");
        }
        assert_eq!(parse("UseDevelopmentStorage=true").3, "http://127.0.0.1:10000/devstoreaccount1");
    }

    #[test]
    fn what_cannot_be_is_named() {
        let rows = [
            ("nonsense", "no NAME=VALUE"),
            ("AccountKey=k", "neither"),
            ("DefaultEndpointsProtocol=ftp;AccountName=a", "protocol"),
            ("AccountName=a;AccountKey=k;SharedAccessSignature=s", "keep one"),
        ];
        for (text, wanted) in rows {
            let problem = ConnectionString::parse(text).err().unwrap().to_string();
            assert!(problem.starts_with("the parameter connectionstring") && problem.contains(wanted), "{problem}");
        }
    }
}
