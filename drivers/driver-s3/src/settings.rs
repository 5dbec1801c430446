//! [`Settings`]: the parameters an operator gives, named as those of distribution's S3 driver, and a few of our own.

use std::time::Duration;

use aws_sdk_s3::types::{ObjectCannedAcl, ServerSideEncryption, StorageClass};
use driver_kit::flat::upload_age;
use driver_kit::{Parameters, Result, invalid};

use crate::parts::{COPY_MAX, PART_MIN, part_size};

const MIB: u64 = 1 << 20;
const PART_DEFAULT: u64 = 16 * MIB;
const COPY_PART_DEFAULT: u64 = 32 * MIB;
const COPIES_DEFAULT: usize = 100;
const COPIES_MAX: usize = 1000;

/// Where S3 is, when nothing else is said of a server that is not Amazon's.
const REGION_ELSEWHERE: &str = "us-east-1";

/// Everything that is said of a store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) bucket: String,
    pub(crate) root: String,
    pub(crate) server: ServerSettings,
    pub(crate) credentials: CredentialSettings,
    pub(crate) objects: ObjectSettings,
    pub(crate) copies: CopySettings,
    /// The size of a part, which is the granularity.
    pub(crate) part: u64,
    pub(crate) read_only: bool,
    /// After this long a multipart upload that nobody completed is aborted; `None` leaves them.
    pub(crate) upload_age: Option<Duration>,
}

/// How the server is reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServerSettings {
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    /// The server as the clients of redirect URLs reach it.
    pub(crate) redirect_endpoint: Option<String>,
    pub(crate) path_style: bool,
    pub(crate) accelerate: bool,
    pub(crate) dual_stack: bool,
    pub(crate) fips: bool,
    pub(crate) user_agent: Option<String>,
    /// Checksums go along wherever the API knows them, and not just where it demands them.
    pub(crate) checksums: bool,
    /// Any certificate does.
    pub(crate) skip_verify: bool,
}

/// Who the driver is to the server. Without keys it looks around as every program of the AWS SDK does.
#[derive(Clone, PartialEq)]
pub(crate) struct CredentialSettings {
    pub(crate) keys: Option<(String, String)>,
    pub(crate) session_token: Option<String>,
    pub(crate) profile: Option<String>,
}

/// What every object is created with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ObjectSettings {
    pub(crate) acl: Option<ObjectCannedAcl>,
    pub(crate) storage_class: Option<StorageClass>,
    pub(crate) encryption: Option<ServerSideEncryption>,
    pub(crate) key_id: Option<String>,
}

/// How objects are copied within the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CopySettings {
    pub(crate) part: u64,
    pub(crate) at_once: usize,
    /// Objects up to this size are copied in one request.
    pub(crate) threshold: u64,
}

impl std::fmt::Debug for CredentialSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialSettings").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Settings {
    pub(crate) fn take(parameters: &mut Parameters) -> Result<Self> {
        ignore_what_means_nothing_here(parameters)?;
        Ok(Settings {
            bucket: parameters.take_required("bucket")?,
            root: parameters.take("rootdirectory").unwrap_or_default(),
            server: ServerSettings::take(parameters)?,
            credentials: CredentialSettings::take(parameters)?,
            objects: ObjectSettings::take(parameters)?,
            copies: CopySettings::take(parameters)?,
            part: part_size(bytes(parameters, "chunksize", PART_DEFAULT)?)?,
            read_only: parameters.take_flag("readonly")?,
            upload_age: upload_age(parameters)?,
        })
    }
}

/// What distribution's driver takes and the SDK of today has no use for.
fn ignore_what_means_nothing_here(parameters: &mut Parameters) -> Result<()> {
    if parameters.take_parsed("v4auth")? == Some(false) {
        return Err(invalid("v4auth", "is false, and requests are signed with version 4 only: remove it"));
    }
    // The log has one level, that of the process.
    parameters.take("loglevel");
    Ok(())
}

impl ServerSettings {
    fn take(parameters: &mut Parameters) -> Result<Self> {
        let secure = parameters.take_parsed("secure")?.unwrap_or(true);
        let endpoint = endpoint(parameters, "regionendpoint", secure)?;
        let region = parameters.take_text("region").or_else(|| endpoint.as_ref().map(|_| REGION_ELSEWHERE.to_owned()));
        // Only Amazon has a host for each bucket of everybody.
        let path_style = parameters.take_parsed("forcepathstyle")?.unwrap_or(endpoint.is_some());
        Ok(ServerSettings {
            region,
            path_style,
            redirect_endpoint: self::endpoint(parameters, "redirectendpoint", secure)?,
            endpoint,
            accelerate: parameters.take_flag("accelerate")?,
            dual_stack: parameters.take_flag("usedualstack")?,
            fips: parameters.take_flag("usefipsendpoint")?,
            user_agent: parameters.take_text("useragent"),
            checksums: checksums(parameters)?,
            skip_verify: parameters.take_flag("skipverify")?,
        })
    }
}

fn checksums(parameters: &mut Parameters) -> Result<bool> {
    match parameters.take("checksum").as_deref() {
        None | Some("when_required") => Ok(false),
        Some("when_supported") => Ok(true),
        Some(_) => Err(invalid("checksum", "must be when_required or when_supported")),
    }
}

impl CredentialSettings {
    fn take(parameters: &mut Parameters) -> Result<Self> {
        let access = parameters.take_secret("accesskey")?.filter(|key| !key.is_empty());
        let secret = parameters.take_secret("secretkey")?.filter(|key| !key.is_empty());
        let keys = match (access, secret) {
            (Some(access), Some(secret)) => Some((access, secret)),
            (None, None) => None,
            (Some(_), None) => return Err(invalid("secretkey", "is missing, while accesskey is there")),
            (None, Some(_)) => return Err(invalid("accesskey", "is missing, while secretkey is there")),
        };
        let session_token = parameters.take_secret("sessiontoken")?.filter(|token| !token.is_empty());
        if session_token.is_some() && keys.is_none() {
            return Err(invalid("sessiontoken", "belongs to an accesskey and a secretkey, which are missing"));
        }
        Ok(CredentialSettings { keys, session_token, profile: parameters.take_text("profile") })
    }
}

impl ObjectSettings {
    fn take(parameters: &mut Parameters) -> Result<Self> {
        let key_id = parameters.take_text("keyid");
        let encryption = match (parameters.take_flag("encrypt")?, &key_id) {
            (false, None) => None,
            (false, Some(_)) => return Err(invalid("keyid", "names a key, while encrypt is not true")),
            (true, None) => Some(ServerSideEncryption::Aes256),
            (true, Some(_)) => Some(ServerSideEncryption::AwsKms),
        };
        Ok(ObjectSettings {
            acl: named(parameters, "objectacl", ObjectCannedAcl::try_parse)?,
            storage_class: storage_class(parameters)?,
            encryption,
            key_id,
        })
    }
}

/// NONE is for servers that know no classes.
fn storage_class(parameters: &mut Parameters) -> Result<Option<StorageClass>> {
    match parameters.take("storageclass") {
        Some(none) if none == "NONE" => Ok(None),
        Some(class) if class == StorageClass::Glacier.as_str() || class == StorageClass::DeepArchive.as_str() => {
            Err(invalid("storageclass", "is one whose objects cannot be read at once"))
        }
        Some(class) => known("storageclass", StorageClass::try_parse(&class)).map(Some),
        None => Ok(None),
    }
}

impl CopySettings {
    fn take(parameters: &mut Parameters) -> Result<Self> {
        let part = bytes(parameters, "multipartcopychunksize", COPY_PART_DEFAULT)?;
        let threshold = bytes(parameters, "multipartcopythresholdsize", COPY_PART_DEFAULT)?;
        let at_once = parameters.take_parsed("multipartcopymaxconcurrency")?.unwrap_or(COPIES_DEFAULT);
        for (key, value) in [("multipartcopychunksize", part), ("multipartcopythresholdsize", threshold)] {
            if !(PART_MIN..=COPY_MAX).contains(&value) {
                return Err(invalid(key, &format!("must be from {PART_MIN} to {COPY_MAX}")));
            }
        }
        if !(1..=COPIES_MAX).contains(&at_once) {
            return Err(invalid("multipartcopymaxconcurrency", &format!("must be from 1 to {COPIES_MAX}")));
        }
        Ok(CopySettings { part, at_once, threshold })
    }
}

fn bytes(parameters: &mut Parameters, key: &str, default: u64) -> Result<u64> {
    Ok(parameters.take_parsed(key)?.unwrap_or(default))
}

fn endpoint(parameters: &mut Parameters, key: &str, secure: bool) -> Result<Option<String>> {
    let Some(given) = parameters.take_text(key) else { return Ok(None) };
    let scheme = if secure { "https" } else { "http" };
    let url = if given.contains("://") { given } else { format!("{scheme}://{given}") };
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(invalid(key, "must be a host, or a URL that begins with http:// or https://"));
    }
    Ok(Some(url))
}

fn named<T, E>(parameters: &mut Parameters, key: &str, parse: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>> {
    parameters.take(key).map(|name| known(key, parse(&name))).transpose()
}

fn known<T, E>(key: &str, parsed: Result<T, E>) -> Result<T> {
    parsed.map_err(|_| invalid(key, "has a value that S3 does not know"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(rows: &[(&str, &str)]) -> Result<Settings> {
        Settings::take(&mut Parameters::new(rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))))
    }

    #[test]
    fn every_parameter_of_distribution_is_taken() {
        let rows = [
            ("accesskey", "a"),
            ("secretkey", "s"),
            ("region", "eu-central-1"),
            ("regionendpoint", "minio:9000"),
            ("redirectendpoint", "https://public"),
            ("forcepathstyle", "false"),
            ("bucket", "b"),
            ("encrypt", "true"),
            ("keyid", "k"),
            ("secure", "false"),
            ("skipverify", "false"),
            ("v4auth", "true"),
            ("chunksize", "10485760"),
            ("multipartcopychunksize", "33554432"),
            ("multipartcopymaxconcurrency", "7"),
            ("multipartcopythresholdsize", "33554432"),
            ("rootdirectory", "/x"),
            ("storageclass", "STANDARD_IA"),
            ("useragent", "me"),
            ("objectacl", "private"),
            ("usedualstack", "false"),
            ("accelerate", "false"),
            ("usefipsendpoint", "false"),
            ("loglevel", "off"),
        ];
        let mut parameters = Parameters::new(rows.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let settings = Settings::take(&mut parameters).unwrap();
        assert_eq!(format!("{parameters:?}"), "[]");
        assert_eq!(settings.server.endpoint.as_deref(), Some("http://minio:9000"));
        assert_eq!(settings.server.redirect_endpoint.as_deref(), Some("https://public"));
        assert_eq!((settings.part, settings.copies.at_once, settings.server.path_style), (10 << 20, 7, false));
        assert_eq!(settings.objects.encryption, Some(ServerSideEncryption::AwsKms));
        assert_eq!(settings.objects.storage_class, Some(StorageClass::StandardIa));
        assert!(!format!("{settings:?}").contains("secretkey"));
    }

    #[test]
    fn a_bucket_is_enough() {
        let settings = take(&[("bucket", "b")]).unwrap();
        assert_eq!((settings.part, settings.server.path_style), (PART_DEFAULT, false));
        assert_eq!(settings.objects, ObjectSettings::default());
        assert!(take(&[("bucket", "b"), ("regionendpoint", "http://x")]).unwrap().server.path_style);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let rows = [
            (vec![], "the parameter bucket is missing"),
            (vec![("accesskey", "a")], "the parameter secretkey is missing"),
            (vec![("secretkey", "s")], "the parameter accesskey is missing"),
            (vec![("sessiontoken", "t")], "the parameter sessiontoken belongs"),
            (vec![("chunksize", "1024")], "the parameter chunksize must be"),
            (vec![("chunksize", "10MB")], "the parameter chunksize cannot be read"),
            (vec![("v4auth", "false")], "the parameter v4auth is false"),
            (vec![("keyid", "k")], "the parameter keyid names"),
            (vec![("storageclass", "GLACIER")], "the parameter storageclass is one"),
            (vec![("storageclass", "GOLD")], "the parameter storageclass has"),
            (vec![("objectacl", "mine")], "the parameter objectacl has"),
            (vec![("regionendpoint", "ftp://x")], "the parameter regionendpoint must"),
            (vec![("checksum", "crc")], "the parameter checksum must"),
            (vec![("uploadmaxdays", "3")], "the parameter uploadmaxdays must"),
            (vec![("multipartcopymaxconcurrency", "0")], "the parameter multipartcopymaxconcurrency must"),
        ];
        for (row, sentence) in rows {
            let bucket = if sentence.contains("bucket") { vec![] } else { vec![("bucket", "b")] };
            let refused = take(&[bucket, row].concat()).unwrap_err().to_string();
            assert!(refused.starts_with(sentence), "{refused}");
        }
    }
}
