//! [`Settings`]: the parameters an operator gives, named as those of distribution's Azure driver, and a few of our own.

use std::time::Duration;

use azure_core::http::Url;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use driver_kit::flat::upload_age;
use driver_kit::limits::GRANULARITY_MAX;
use driver_kit::{Parameters, Result, invalid};

use crate::connection_string::{ConnectionString, REALM, endpoint};

const MIB: u64 = 1 << 20;
const PART_DEFAULT: u64 = 8 * MIB;
const PART_MIN: u64 = 4 * MIB;
/// Largest block of the service.
const BLOCK_MAX: u64 = 4000 * MIB;

const POLL_DEFAULT: Duration = Duration::from_millis(100);

/// Everything that is said of a store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) container: String,
    pub(crate) root: String,
    /// Whether keys begin with a slash as older releases of distribution wrote them. `None`: as what is there does.
    pub(crate) leading_slash: Option<bool>,
    pub(crate) server: ServerSettings,
    pub(crate) identity: Identity,
    pub(crate) copies: CopySettings,
    /// The size of a block, which is the granularity.
    pub(crate) part: u64,
    pub(crate) read_only: bool,
    /// After this long what a session left is taken away; `None` leaves it.
    pub(crate) upload_age: Option<Duration>,
}

/// How the server is reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServerSettings {
    pub(crate) account: String,
    pub(crate) endpoint: Url,
    /// The server as the clients of redirect URLs reach it.
    pub(crate) redirect_endpoint: Url,
    /// The domain of the cloud, which has a directory of its own.
    pub(crate) realm: String,
}

/// Who the driver is to the server.
#[derive(Clone, PartialEq)]
pub(crate) enum Identity {
    Key(Vec<u8>),
    /// A query that lets in whoever has it.
    Sas(String),
    ClientSecret {
        tenant: String,
        client: String,
        secret: String,
    },
    Workload(Federation),
    Managed {
        client: Option<String>,
    },
    /// Whichever of the three above the environment has.
    Found(Federation),
}

/// What the environment says where it is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Federation {
    pub(crate) tenant: Option<String>,
    pub(crate) client: Option<String>,
}

/// How long a copy that the server does not finish at once is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CopySettings {
    /// Before the first look; before each other it is longer by as much.
    pub(crate) poll: Duration,
    /// `None`: as many as the caller has time for.
    pub(crate) looks: Option<u32>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Identity::Key(_) => "Key",
            Identity::Sas(_) => "Sas",
            Identity::ClientSecret { .. } => "ClientSecret",
            Identity::Workload(_) => "Workload",
            Identity::Managed { .. } => "Managed",
            Identity::Found(_) => "Found",
        })
    }
}

impl Settings {
    pub(crate) fn take(parameters: &mut Parameters) -> Result<Self> {
        if parameters.take_flag("skipverify")? {
            let problem = "is true, and certificates are always verified: give the authority's in SSL_CERT_FILE";
            return Err(invalid("skipverify", problem));
        }
        let connection = parameters.take_secret("connectionstring")?.filter(|text| !text.is_empty());
        let connection = connection.map(|text| ConnectionString::parse(&text)).transpose()?.unwrap_or_default();
        Ok(Settings {
            container: parameters.take_required("container")?,
            root: parameters.take("rootdirectory").unwrap_or_default(),
            leading_slash: leading_slash(parameters)?,
            server: ServerSettings::take(parameters, &connection)?,
            identity: Identity::take(parameters, connection)?,
            copies: CopySettings::take(parameters)?,
            part: part_size(parameters)?,
            read_only: parameters.take_flag("readonly")?,
            upload_age: upload_age(parameters)?,
        })
    }
}

fn leading_slash(parameters: &mut Parameters) -> Result<Option<bool>> {
    let legacy: Option<bool> = parameters.take_parsed("legacyrootprefix")?;
    let trims: Option<bool> = parameters.take_parsed("trimlegacyrootprefix")?;
    match (legacy, trims) {
        (Some(legacy), Some(trims)) if legacy == trims => {
            Err(invalid("trimlegacyrootprefix", "says the opposite of legacyrootprefix: keep one of them"))
        }
        (legacy, trims) => Ok(legacy.or(trims.map(|trims| !trims))),
    }
}

fn part_size(parameters: &mut Parameters) -> Result<u64> {
    let chunk = parameters.take_parsed("chunksize")?.unwrap_or(PART_DEFAULT);
    if !(PART_MIN..=BLOCK_MAX).contains(&chunk) {
        return Err(invalid("chunksize", &format!("must be from {PART_MIN} to {BLOCK_MAX} bytes")));
    }
    Ok(chunk.min(GRANULARITY_MAX))
}

impl ServerSettings {
    fn take(parameters: &mut Parameters, connection: &ConnectionString) -> Result<Self> {
        let realm = parameters.take_text("realm").unwrap_or_else(|| REALM.to_owned());
        let given = url(parameters, "endpoint")?;
        let older = url(parameters, "serviceurl")?;
        let connected = connection.endpoint.as_deref().map(|text| read_url("connectionstring", text)).transpose()?;
        let named = parameters.take_text("accountname").or_else(|| connection.account.clone());
        let endpoint = match (given.or(older).or(connected), &named) {
            (Some(endpoint), _) => endpoint,
            (None, Some(account)) => read_url("accountname", &endpoint("https", account, &realm))?,
            (None, None) => return Err(invalid("accountname", "is missing")),
        };
        let account = named.or_else(|| first_label(&endpoint)).ok_or_else(|| invalid("accountname", "is missing"))?;
        let redirect_endpoint = url(parameters, "redirectendpoint")?.unwrap_or_else(|| endpoint.clone());
        Ok(ServerSettings { account, endpoint, redirect_endpoint, realm })
    }
}

/// The account, where a host is one of Azure's.
fn first_label(endpoint: &Url) -> Option<String> {
    let (account, rest) = endpoint.host_str()?.split_once('.')?;
    rest.starts_with("blob.").then(|| account.to_owned())
}

impl Identity {
    fn take(parameters: &mut Parameters, connection: ConnectionString) -> Result<Self> {
        let key = secret(parameters, "accountkey")?.or(connection.key);
        let sas = secret(parameters, "sastoken")?.or(connection.sas);
        let (tenant, client) =
            (parameters.take_text("credentials.tenantid"), parameters.take_text("credentials.clientid"));
        let secret = secret(parameters, "credentials.secret")?;
        let federation = Federation { tenant: tenant.clone(), client: client.clone() };
        let kind = parameters.take_text("credentials.type");
        match kind.as_deref().unwrap_or(guessed(key.as_ref(), sas.as_ref())) {
            "shared_key" => read_key(&needed("accountkey", key)?),
            "sas" => Ok(Identity::Sas(needed("sastoken", sas)?.trim_start_matches('?').to_owned())),
            "client_secret" => Ok(Identity::ClientSecret {
                tenant: needed("credentials.tenantid", tenant)?,
                client: needed("credentials.clientid", client)?,
                secret: needed("credentials.secret", secret)?,
            }),
            "workload_identity" => Ok(Identity::Workload(federation)),
            "managed_identity" => Ok(Identity::Managed { client }),
            "default_credentials" => Ok(Identity::Found(federation)),
            _ => Err(invalid("credentials.type", KINDS)),
        }
    }
}

const KINDS: &str =
    "must be shared_key, sas, client_secret, workload_identity, managed_identity or default_credentials";

/// What is meant where only keys are given, as it stood in configurations before there was a type.
fn guessed(key: Option<&String>, sas: Option<&String>) -> &'static str {
    match (key, sas) {
        (Some(_), _) => "shared_key",
        (None, Some(_)) => "sas",
        (None, None) => "default_credentials",
    }
}

fn read_key(key: &str) -> Result<Identity> {
    let read = STANDARD.decode(key.trim()).map_err(|_| invalid("accountkey", "is not written in base64"))?;
    Ok(Identity::Key(read))
}

impl CopySettings {
    fn take(parameters: &mut Parameters) -> Result<Self> {
        let looks: Option<i64> = alias(parameters, "copy_status_poll_max_retry", "max_retries")?;
        let delay: Option<GoDuration> = alias(parameters, "copy_status_poll_delay", "retry_delay")?;
        let looks = looks.map(|looks| u32::try_from(looks.max(0)).unwrap_or(u32::MAX));
        Ok(CopySettings { poll: delay.map_or(POLL_DEFAULT, |delay| delay.0), looks })
    }
}

/// One thing that has had two names.
fn alias<T: std::str::FromStr<Err: std::fmt::Display>>(
    parameters: &mut Parameters,
    one: &str,
    other: &str,
) -> Result<Option<T>> {
    let (first, second) = (parameters.take_parsed(one)?, parameters.take_parsed(other)?);
    Ok(first.or(second))
}

/// A time as Go writes it: `100ms`, `1m30s`.
struct GoDuration(Duration);

impl std::str::FromStr for GoDuration {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PROBLEM: &str = "write a time such as 100ms or 1m30s";
        let (mut rest, mut sum) = (text, Duration::ZERO);
        while !rest.is_empty() {
            let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or(PROBLEM)?;
            let (number, tail) = rest.split_at(end);
            let end = tail.find(|letter: char| letter.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            let number: f64 = number.parse().map_err(|_| PROBLEM)?;
            let seconds = number * unit_seconds(unit).ok_or(PROBLEM)?;
            sum += Duration::try_from_secs_f64(seconds).map_err(|_| PROBLEM)?;
            rest = tail;
        }
        if sum.is_zero() { Err(PROBLEM) } else { Ok(GoDuration(sum)) }
    }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

fn secret(parameters: &mut Parameters, key: &str) -> Result<Option<String>> {
    Ok(parameters.take_secret(key)?.filter(|text| !text.is_empty()))
}

fn needed(key: &str, value: Option<String>) -> Result<String> {
    value.ok_or_else(|| invalid(key, "is missing"))
}

fn url(parameters: &mut Parameters, key: &str) -> Result<Option<Url>> {
    parameters.take_text(key).map(|text| read_url(key, &text)).transpose()
}

/// Without a slash at its end, which would become an empty component.
fn read_url(key: &str, text: &str) -> Result<Url> {
    let read = Url::parse(text.trim_end_matches('/')).ok();
    let read = read.filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    read.ok_or_else(|| invalid(key, "must be a URL that begins with http:// or https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (&str, &str) = ("accountkey", "a2V5");

    fn take(rows: &[(&str, &str)]) -> Result<Settings> {
        Settings::take(&mut Parameters::new(rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))))
    }

    #[test]
    fn every_parameter_of_distribution_is_taken() {
        let rows = [
            ("accountname", "me"),
            KEY,
            ("container", "c"),
            ("credentials.type", "client_secret"),
            ("credentials.clientid", "i"),
            ("credentials.tenantid", "t"),
            ("credentials.secret", "hush"),
            ("realm", "core.usgovcloudapi.net"),
            ("rootdirectory", "/x"),
            ("max_retries", "-1"),
            ("retry_delay", "1m0.5s"),
            ("skipverify", "false"),
            ("trimlegacyrootprefix", "true"),
        ];
        let mut parameters = Parameters::new(rows.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let settings = Settings::take(&mut parameters).unwrap();
        assert_eq!(format!("{parameters:?}"), "[]");
        assert_eq!(settings.server.endpoint.as_str(), "https://me.blob.core.usgovcloudapi.net/");
        assert_eq!(settings.copies, CopySettings { poll: Duration::from_millis(60_500), looks: Some(0) });
        assert_eq!(settings.leading_slash, Some(false));
        assert!(matches!(&settings.identity, Identity::ClientSecret { secret, .. } if secret == "hush"));
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn who_the_driver_is_follows_from_what_is_given() {
        let base = [("accountname", "me"), ("container", "c")];
        let connection = "AccountName=other;AccountKey=a2V5";
        let rows: [(&[(&str, &str)], Identity); 6] = [
            (&[KEY], Identity::Key(b"key".to_vec())),
            (&[("sastoken", "?sv=1&sig=x")], Identity::Sas("sv=1&sig=x".to_owned())),
            (&[("connectionstring", connection)], Identity::Key(b"key".to_vec())),
            (&[], Identity::Found(Federation::default())),
            (&[("credentials.type", "managed_identity")], Identity::Managed { client: None }),
            (&[KEY, ("credentials.type", "workload_identity")], Identity::Workload(Federation::default())),
        ];
        for (more, wanted) in rows {
            let settings = take(&[&base, more].concat()).unwrap();
            assert!(settings.identity == wanted, "{more:?} gives {:?}", settings.identity);
            assert_eq!((settings.server.account.as_str(), settings.part), ("me", PART_DEFAULT));
        }
    }

    #[test]
    fn the_account_is_read_from_where_it_is() {
        let rows = [
            (vec![("endpoint", "https://me.blob.core.windows.net")], "me", "https://me.blob.core.windows.net/"),
            (vec![("connectionstring", "AccountName=me;AccountKey=a2V5")], "me", "https://me.blob.core.windows.net/"),
            (vec![("accountname", "me"), ("serviceurl", "http://[::1]:10000/me/")], "me", "http://[::1]:10000/me"),
        ];
        for (rows, account, endpoint) in rows {
            let server = take(&[&rows[..], &[("container", "c")]].concat()).unwrap().server;
            assert_eq!((server.account.as_str(), server.endpoint.as_str()), (account, endpoint));
            assert_eq!(server.redirect_endpoint, server.endpoint);
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        let rows = [
            (vec![], "the parameter accountname is missing"),
            (vec![("accountname", "a"), ("accountkey", "%")], "the parameter accountkey is not"),
            (vec![("accountname", "a"), ("credentials.type", "shared_key")], "the parameter accountkey is missing"),
            (vec![("accountname", "a"), ("credentials.type", "sas")], "the parameter sastoken is missing"),
            (vec![("accountname", "a"), ("credentials.type", "magic")], "the parameter credentials.type must be"),
            (
                vec![("accountname", "a"), ("credentials.type", "client_secret")],
                "the parameter credentials.tenantid is missing",
            ),
            (vec![("endpoint", "me.example")], "the parameter endpoint must be a URL"),
            (vec![("endpoint", "https://me.example")], "the parameter accountname is missing"),
            (vec![("accountname", "a"), ("chunksize", "1024")], "the parameter chunksize must be"),
            (vec![("accountname", "a"), ("retry_delay", "5")], "the parameter retry_delay cannot be read"),
            (vec![("accountname", "a"), ("uploadmaxdays", "3")], "the parameter uploadmaxdays must"),
            (vec![("accountname", "a"), ("skipverify", "true")], "the parameter skipverify is true"),
            (
                vec![("accountname", "a"), ("legacyrootprefix", "true"), ("trimlegacyrootprefix", "true")],
                "the parameter trimlegacyrootprefix says",
            ),
        ];
        for (row, sentence) in rows {
            let refused = take(&[row, vec![("container", "c")]].concat()).unwrap_err().to_string();
            assert!(refused.starts_with(sentence), "{refused}");
        }
        assert!(take(&[("accountname", "a")]).unwrap_err().to_string().contains("container is missing"));
    }
}
