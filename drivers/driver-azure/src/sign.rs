//! [`Signer`]: URLs that give one object to whoever has them, for a while.
//!
//! With the account's key they are signed at once. With a token the service first gives a key that is good for some hours and
//! signs no more than its holder may do. A query that was given to the driver is never passed on.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use azure_core::http::{RequestContent, Url, XmlFormat};
use azure_core::time::OffsetDateTime;
use azure_storage_blob::BlobServiceClient;
use azure_storage_blob::models::KeyInfo;
use azure_storage_common::models::UserDelegationKey;
use azure_storage_sas::{SasBuilder, SasProtocol};
use driver_kit::{Error, ErrorKind, Result};
use tokio::sync::Mutex;

use crate::error::{Failure, reading};
use crate::settings::ServerSettings;
use crate::shared_key::SharedKey;

/// Of the text that is signed with the account's key: the newest of which every server knows.
const VERSION: &str = "2020-12-06";
/// A delegated key is good for a week at most, and so is what it signs.
const SIGNATURE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A delegated key is asked for so much longer than is needed now.
const KEY_SPARE: Duration = Duration::from_secs(6 * 60 * 60);
/// Clocks may differ by this much.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// Signs URLs.
pub(crate) struct Signer {
    account: String,
    container: String,
    /// Signed URLs may go without TLS, as the server does.
    is_plain: bool,
    way: Way,
}

enum Way {
    None,
    Key(Arc<SharedKey>),
    Delegated { service: BlobServiceClient, key: Mutex<Option<Arc<UserDelegationKey>>> },
}

impl Signer {
    pub(crate) fn new(
        server: &ServerSettings,
        container: &str,
        key: Option<Arc<SharedKey>>,
        service: Option<BlobServiceClient>,
    ) -> Self {
        let way = match (key, service) {
            (Some(key), _) => Way::Key(key),
            (None, Some(service)) => Way::Delegated { service, key: Mutex::new(None) },
            (None, None) => Way::None,
        };
        Signer { account: server.account.clone(), container: container.to_owned(), is_plain: server.is_plain(), way }
    }

    /// Whether the driver comes with a token, which is good for one request alone.
    pub(crate) fn is_delegated(&self) -> bool {
        matches!(self.way, Way::Delegated { .. })
    }

    /// Whether it can sign, found out by having a key.
    pub(crate) async fn can_sign(&self) -> Result<bool> {
        match &self.way {
            Way::None => Ok(false),
            Way::Key(_) => Ok(true),
            Way::Delegated { service, key } => match delegated(service, key, SystemTime::now()).await {
                Ok(_) => Ok(true),
                Err(refused) if refused.kind() == ErrorKind::AccessDenied => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// Adds to `url` what lets its holder read the object at `key`. `None` when there is nothing to sign with.
    pub(crate) async fn sign(&self, mut url: Url, key: &str, expires_in: Duration) -> Result<Option<Url>> {
        let expiry = SystemTime::now() + expires_in.min(SIGNATURE_MAX - KEY_SPARE);
        let query = match &self.way {
            Way::None => return Ok(None),
            Way::Key(shared) => self.signed(shared, key, expiry).map_err(unsigned)?,
            Way::Delegated { service, key: delegated_key } => {
                let delegated = delegated(service, delegated_key, expiry).await?;
                self.signed_by(&delegated, key, expiry).map_err(unsigned)?
            }
        };
        url.set_query(Some(&query));
        Ok(Some(url))
    }

    fn signed(&self, shared: &SharedKey, key: &str, expiry: SystemTime) -> Result<String, Failure> {
        let expiry = seconds(expiry);
        let protocol = if self.is_plain { "https,http" } else { "https" };
        let text = self.string_to_sign(key, &expiry, protocol);
        let signature = shared.sign(&text)?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([("sv", VERSION), ("spr", protocol), ("se", &expiry), ("sr", "b"), ("sp", "r")]);
        Ok(query.append_pair("sig", &signature).finish())
    }

    /// Permission, start, expiry, resource, policy, addresses, protocol, version, kind, snapshot, scope, and five headers.
    fn string_to_sign(&self, key: &str, expiry: &str, protocol: &str) -> String {
        let resource = format!("/blob/{}/{}/{key}", self.account, self.container);
        format!("r\n\n{expiry}\n{resource}\n\n\n{protocol}\n{VERSION}\nb\n\n\n\n\n\n\n")
    }

    fn signed_by(&self, delegated: &UserDelegationKey, key: &str, expiry: SystemTime) -> Result<String, Failure> {
        let protocol = if self.is_plain { SasProtocol::HttpsAndHttp } else { SasProtocol::Https };
        let builder = SasBuilder::new(&self.account, delegated, OffsetDateTime::from(expiry))?;
        Ok(builder.protocol(protocol).blob(&self.container, key).read().build())
    }
}

/// The key that was given, or a new one where that is over before `expiry`.
async fn delegated(
    service: &BlobServiceClient,
    kept: &Mutex<Option<Arc<UserDelegationKey>>>,
    expiry: SystemTime,
) -> Result<Arc<UserDelegationKey>> {
    let mut kept = kept.lock().await;
    let lasts = |key: &Arc<UserDelegationKey>| key.signed_expiry.is_some_and(|end| SystemTime::from(end) >= expiry);
    if let Some(key) = kept.as_ref().filter(|key| lasts(key)) {
        return Ok(Arc::clone(key));
    }
    let info = KeyInfo {
        start: Some(OffsetDateTime::from(SystemTime::now() - SKEW)),
        expiry: Some(OffsetDateTime::from(expiry + KEY_SPARE - SKEW)),
        ..KeyInfo::default()
    };
    let info: RequestContent<KeyInfo, XmlFormat> = info.try_into().map_err(unsigned)?;
    let given = service.get_user_delegation_key(info, None).await.map_err(reading)?;
    let key = Arc::new(given.into_model().map_err(reading)?);
    *kept = Some(Arc::clone(&key));
    Ok(key)
}

/// A time as signed texts have it.
fn seconds(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let date = time.date();
    let (hour, minute, second) = time.to_hms();
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn unsigned(problem: Failure) -> Error {
    Error::new(ErrorKind::Internal, "the URL could not be signed").with_source(problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn signer() -> Signer {
        let rows = [("accountname", "me"), ("accountkey", "a2V5"), ("container", "c")];
        let rows = rows.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::take(&mut driver_kit::Parameters::new(rows)).unwrap();
        let key = Arc::new(SharedKey::new("me", b"key".to_vec()));
        Signer::new(&settings.server, &settings.container, Some(key), None)
    }

    #[test]
    fn the_text_of_a_url_is_that_of_the_service() {
        let wanted = "r\n\n2026-01-02T03:04:05Z\n/blob/me/c/a/b\n\n\nhttps\n2020-12-06\nb\n\n\n\n\n\n\n";
        assert_eq!(signer().string_to_sign("a/b", "2026-01-02T03:04:05Z", "https"), wanted);
    }

    #[test]
    fn times_are_told_in_seconds() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_900);
        assert_eq!(seconds(time), "2026-01-02T03:04:05Z");
    }

    #[tokio::test]
    async fn a_signed_url_permits_reading_and_nothing_else() {
        let url = Url::parse("https://me.blob.core.windows.net/c/a%2Fb").unwrap();
        let signed = signer().sign(url, "a/b", Duration::from_secs(60)).await.unwrap().unwrap();
        let query: Vec<_> = signed.query_pairs().filter(|(name, _)| name == "sp" || name == "spr").collect();
        assert_eq!(query, [("spr".into(), "https".into()), ("sp".into(), "r".into())]);
        assert_eq!(signed.path(), "/c/a%2Fb");
    }
}
