//! Certificates, and the HTTP client that has them.

use std::fmt;
use std::sync::Arc;

use reqwest::{Client, Proxy, redirect};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// Holds what was said about certificates.
#[derive(Clone, Default)]
pub(super) struct Tls {
    pub(super) roots: Option<Vec<u8>>,
    pub(super) identity: Option<Identity>,
}

/// Holds our own certificate and its key.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) chain: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl Tls {
    /// Builds a client whose TLS is ring's, whatever else the process has installed.
    pub(super) fn client(self, https: bool, proxy: Option<Proxy>) -> Result<Client, String> {
        let mut builder = Client::builder()
            .tls_backend_preconfigured(self.config(https)?)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("canary-prometheus/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(failed)
    }

    fn config(self, https: bool) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let roots =
            self.roots.map(|pem| certificates("the root certificates", &pem)).transpose()?;
        // A container without certificates can still reach a server over plain HTTP.
        let config = if https {
            let verifier: Arc<dyn ServerCertVerifier> = match roots {
                Some(roots) => {
                    Arc::new(Verifier::new_with_extra_roots(roots, provider).map_err(failed)?)
                }
                None => Arc::new(Verifier::new(provider).map_err(failed)?),
            };
            config.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            config.with_root_certificates(RootCertStore::empty())
        };
        let Some(Identity { chain, key }) = self.identity else {
            return Ok(config.with_no_client_auth());
        };
        let chain = certificates("ours", &chain)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| "there is no key in our key")?;
        config.with_client_auth_cert(chain, key).map_err(failed)
    }
}

fn certificates(which: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    // What is wrong with it is not shown: it may have been taken for a key.
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => Err(format!("there is no certificate in {which}")),
    }
}

fn failed(error: impl fmt::Display) -> String {
    error.to_string()
}
