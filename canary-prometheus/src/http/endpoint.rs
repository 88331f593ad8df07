//! Where a server is and how it is spoken to.

use std::fmt;
use std::path::PathBuf;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Proxy, Url};

use super::Http;
use super::tls::{Identity, Tls};
use crate::error::BuildError;

/// Names the tenant, which is no secret.
const TENANT: &str = "x-scope-orgid";

/// Says where a server is and how it is spoken to: credentials, certificates, headers, a proxy.
///
/// Whatever speaks the query API will do: Prometheus, Thanos, Mimir, Cortex, VictoriaMetrics. Secrets are shown nowhere:
/// not in errors, not in records, not in `Debug`.
///
/// ```
/// use canary_prometheus::{Endpoint, Prometheus};
///
/// let mimir = Endpoint::new("https://mimir.example/prometheus")
///     .bearer_token_file("/var/run/secrets/token")
///     .tenant("shop");
/// let source = Prometheus::builder(mimir);
/// # drop(source);
/// ```
#[derive(Clone)]
#[must_use = "an endpoint does nothing by itself"]
pub struct Endpoint {
    address: String,
    client: Option<Client>,
    headers: Vec<(String, String)>,
    token_file: Option<PathBuf>,
    basic: Option<(String, String)>,
    proxy: Option<String>,
    tls: Tls,
    get: bool,
}

impl Endpoint {
    /// Begins with an address such as `http://prometheus:9090`. A path is kept, and a name and password in it are
    /// sent with every query.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            client: None,
            headers: Vec::new(),
            token_file: None,
            basic: None,
            proxy: None,
            tls: Tls::default(),
            get: false,
        }
    }

    /// Sends requests through a client of your own, instead of one with this endpoint's certificates and proxy.
    ///
    /// Its redirect policy should be `none`: a redirected query loses its body.
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Sends the token in a file with every query; the file is read each time, since such tokens expire.
    pub fn bearer_token_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.token_file = Some(file.into());
        self
    }

    /// Sends a name and a password with every query.
    pub fn basic_auth(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.basic = Some((name.into(), password.into()));
        self
    }

    /// Sends a header with every query; a later one of the same name replaces an earlier one.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Names the tenant whose data is asked for: the header `X-Scope-OrgID` of Mimir, Cortex and Thanos.
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        self.header(TENANT, tenant)
    }

    /// Sends requests through a proxy; unless said, the one that the environment names, if any.
    pub fn proxy(mut self, address: impl Into<String>) -> Self {
        self.proxy = Some(address.into());
        self
    }

    /// Trusts certificates that these have signed (PEM), beside those that the machine trusts.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.roots = Some(pem.into());
        self
    }

    /// Shows the server a certificate of ours (PEM), with its key (PEM).
    pub fn client_certificate(
        mut self,
        chain: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.identity = Some(Identity { chain: chain.into(), key: key.into() });
        self
    }

    /// Asks with GET instead of POST, for a proxy that lets nothing else through. Long queries may not fit then.
    pub fn with_get(mut self) -> Self {
        self.get = true;
        self
    }

    /// Checks everything, without a word to the server.
    pub(crate) fn open(self) -> Result<Http, BuildError> {
        let base = parse_address(&self.address)?;
        let headers = self.headers()?;
        let client = match self.client {
            Some(client) => client,
            None => {
                let proxy = self.proxy.map(Proxy::all).transpose();
                // What does not parse is not shown: there may be a password in it.
                let proxy = proxy
                    .map_err(|_| BuildError::Client("the proxy's address is none".to_owned()))?;
                self.tls.client(base.scheme() == "https", proxy).map_err(BuildError::Client)?
            }
        };
        let http = Http::new(client, base, headers, self.token_file, self.basic, self.get);
        match http.token() {
            Ok(_) => Ok(http),
            Err(error) => Err(BuildError::Client(error.to_string())),
        }
    }

    fn headers(&self) -> Result<HeaderMap, BuildError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let bad = || BuildError::Header(name.clone());
            let known = HeaderName::try_from(name).map_err(|_| bad())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| bad())?;
            value.set_sensitive(known != TENANT);
            headers.insert(known, value);
        }
        Ok(headers)
    }
}

impl<A: Into<String>> From<A> for Endpoint {
    fn from(address: A) -> Self {
        Self::new(address)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = parse_address(&self.address).map(|url| super::shown(&url));
        f.debug_tuple("Endpoint").field(&shown.as_deref().unwrap_or("?")).finish()
    }
}

fn parse_address(address: &str) -> Result<Url, BuildError> {
    let refuse = |why: String| Err(BuildError::Address(why));
    // What does not parse is not shown: there may be a password in it.
    let url = match Url::parse(address) {
        Ok(url) => url,
        Err(error) => return refuse(format!("cannot be read: {error}")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse(format!("has the scheme `{}`", url.scheme()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("has a `?` or `#` part".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let endpoint = Endpoint::new("http://ana:secret@127.0.0.1:9090/prom/");
        assert_eq!(format!("{endpoint:?}"), r#"Endpoint("http://127.0.0.1:9090/prom")"#);
        let http = endpoint.open().unwrap();
        assert_eq!(format!("{http:?}"), r#"Http("http://127.0.0.1:9090/prom")"#);
    }

    #[test]
    fn what_is_wrong_is_refused_without_being_shown() {
        let plain = || Endpoint::new("http://127.0.0.1");
        for (endpoint, text) in [
            (Endpoint::new(""), "expected one such as"),
            (Endpoint::new("prometheus:9090"), "expected one such as"),
            (Endpoint::new("ftp://ana:secret@prometheus"), "expected one such as"),
            (Endpoint::new("http://ana:secret@"), "expected one such as"),
            (Endpoint::new("http://ana:secret@x/?token=secret"), "expected one such as"),
            (Endpoint::new("http://ana:secret@x:99999"), "expected one such as"),
            (plain().header("x-key", "secret\n"), "the header `x-key`"),
            (plain().tenant("secret\n"), "the header `x-scope-orgid`"),
            (plain().proxy("http://ana:secret@"), "the proxy's address is none"),
            (plain().bearer_token_file("/nowhere/token"), "the token file /nowhere/token"),
            (plain().root_certificates("secret"), "no certificate in the root certificates"),
            (plain().client_certificate("secret", "secret"), "no certificate in ours"),
        ] {
            assert!(!format!("{endpoint:?}").contains("secret"));
            let error = endpoint.open().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn https_uses_the_certificates_of_the_machine_or_says_that_there_are_none() {
        if let Err(error) = Endpoint::new("https://127.0.0.1").open() {
            assert!(error.to_string().starts_with("no HTTP client"), "{error}");
        }
    }
}
