//! Certificates and keys made ready for use. Decides what is trusted and which versions are spoken.

use std::path::Path;
use std::sync::Arc;

use bellwether_conf::{AuthClients, KeyFiles, TlsOptions, TlsProtocols};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tracing::warn;

use super::TlsError;
use super::files::{self, content};
use super::verify::AnyName;

/// What both sides of a handshake need from us.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

/// The directives of one certificate and its key.
struct Names {
    cert: &'static str,
    key: &'static str,
    /// When the certificate is needed.
    why: &'static str,
}

const SERVER: Names = Names {
    cert: "tls-cert-file",
    key: "tls-key-file",
    why: "where tls-port or tls-replication is in use",
};
const CLIENT: Names = Names {
    cert: "tls-client-cert-file",
    key: "tls-client-key-file",
    why: "beside the key",
};

/// The options of a command that calls.
pub(super) struct CallerNames {
    pub(super) ca: &'static str,
    pub(super) cert: &'static str,
    pub(super) key: &'static str,
}

impl Material {
    /// Reads and checks everything.
    pub(super) fn load(options: &TlsOptions) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        // As Sentinel, there must be a certificate even if only outgoing links use TLS: servers ask for one
        // unless they were told not to.
        let own = identity(&options.server, &SERVER, &provider)?;
        let shown = match options.client.cert {
            Some(_) => identity(&options.client, &CLIENT, &provider)?,
            None => Arc::clone(&own),
        };
        let roots = Arc::new(authorities(options)?);
        Ok(Self {
            server: Arc::new(server(options, own, &roots, &provider)?),
            client: Arc::new(client(options, shown, &roots, &provider)?),
        })
    }
}

/// All that is wrong. What needs several files is only judged if each of them is good.
pub(super) fn problems(options: &TlsOptions) -> Vec<TlsError> {
    let mut problems = Vec::new();
    for (files, names) in [(&options.server, &SERVER), (&options.client, &CLIENT)] {
        let cert = files.cert.as_ref();
        problems.extend(cert.and_then(|path| files::certificates(names.cert, path).err()));
        let (key, pass) = (files.key.as_ref(), files.key_pass.as_ref());
        problems.extend(key.and_then(|path| files::private_key(names.key, path, pass).err()));
    }
    let provider = ring::default_provider();
    if problems.is_empty() {
        problems.extend(identity(&options.server, &SERVER, &provider).err());
        if options.client.cert.is_some() {
            problems.extend(identity(&options.client, &CLIENT, &provider).err());
        }
    }
    problems.extend(authorities(options).err());
    if problems.is_empty() {
        problems.extend(Material::load(options).err());
    }
    problems
}

fn identity(
    files: &KeyFiles,
    names: &Names,
    provider: &CryptoProvider,
) -> Result<Arc<SingleCertAndKey>, TlsError> {
    let given = |path: &'_ Option<std::path::PathBuf>, directive, reason| {
        path.clone().ok_or(TlsError::Missing { directive, reason })
    };
    let cert = given(&files.cert, names.cert, names.why)?;
    let key = given(&files.key, names.key, "beside the certificate")?;
    let chain = files::certificates(names.cert, &cert)?;
    let private = files::private_key(names.key, &key, files.key_pass.as_ref())?;
    let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            let reason = format!("is not the key of the certificate in {}", cert.display());
            content(names.key, &key, reason)
        }
        Error::InvalidCertificate(error) => content(
            names.cert,
            &cert,
            format!("holds a certificate that cannot be used: {error:?}"),
        ),
        other => content(
            names.key,
            &key,
            format!("holds a key that cannot be used: {other}"),
        ),
    })?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}

/// Who may sign. Empty only where nobody's certificate is looked at.
fn authorities(options: &TlsOptions) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca_file {
        trust(&mut roots, "tls-ca-cert-file", path)?;
        if roots.is_empty() {
            return Err(content(
                "tls-ca-cert-file",
                path,
                "holds no certificate that can be used",
            ));
        }
    }
    if let Some(dir) = &options.ca_dir {
        const DIRECTIVE: &str = "tls-ca-cert-dir";
        let paths = files::authority_files(dir).map_err(|source| TlsError::Read {
            directive: DIRECTIVE,
            path: dir.clone(),
            source,
        })?;
        if paths.is_empty() {
            let reason = "holds no certificate under the name of its hash; run: openssl rehash DIR";
            return Err(content(DIRECTIVE, dir, reason));
        }
        for path in &paths {
            trust(&mut roots, DIRECTIVE, path)?;
        }
    }
    let is_needed = options.replication || options.auth_clients != AuthClients::No;
    if roots.is_empty() && is_needed {
        return Err(TlsError::Missing {
            directive: "tls-ca-cert-file or tls-ca-cert-dir",
            reason: "where tls-replication or tls-auth-clients is on",
        });
    }
    Ok(roots)
}

/// Trusts the certificates of a file. A bundle may hold some that nobody can read any more; those are left out.
fn trust(roots: &mut RootCertStore, directive: &'static str, path: &Path) -> Result<(), TlsError> {
    let (_, ignored) = roots.add_parsable_certificates(files::certificates(directive, path)?);
    if ignored > 0 {
        warn!(
            "{directive}: {ignored} certificates in {} cannot be used",
            path.display()
        );
    }
    Ok(())
}

fn server(
    options: &TlsOptions,
    own: Arc<SingleCertAndKey>,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions(options.protocols))
        .map_err(rules)?;
    let builder = match options.auth_clients {
        AuthClients::No => builder.with_no_client_auth(),
        asked => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
            let verifier = match asked {
                AuthClients::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier
                .build()
                .map_err(|error| TlsError::Rules(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(own);
    // In memory, and new with every certificate: a session of before a reload is not taken up again.
    config.session_storage = match options.cached_sessions {
        0 => Arc::new(NoServerSessionStorage {}),
        count => ServerSessionMemoryCache::new(count as usize),
    };
    if options.cached_sessions == 0 {
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn client(
    options: &TlsOptions,
    shown: Arc<SingleCertAndKey>,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, TlsError> {
    let verifier: Arc<dyn ServerCertVerifier> = match options.verify_hostname && options.replication {
        true => WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|error| TlsError::Rules(error.to_string()))?,
        false => Arc::new(AnyName::new(
            Arc::clone(roots),
            provider.signature_verification_algorithms,
        )),
    };
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&versions(options.protocols))
        .map_err(rules)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(shown);
    // As Sentinel.
    config.enable_sni = false;
    // A link lives for days, so nothing is gained; and each new one should judge the certificate anew.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// How a command speaks to those whose certificates `roots` signed; `None` means to anybody.
pub(super) fn caller(
    roots: Option<Vec<CertificateDer<'static>>>,
    own: &KeyFiles,
    names: &CallerNames,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = match roots {
        None => AnyName::unchecked(algorithms),
        Some(certificates) => {
            let mut store = RootCertStore::empty();
            // A bundle may hold some that nobody can read any more.
            if store.add_parsable_certificates(certificates).0 == 0 {
                let (directive, reason) = (names.ca, "with a certificate that can be used");
                return Err(TlsError::Missing { directive, reason });
            }
            AnyName::new(Arc::new(store), algorithms)
        }
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(rules)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    if own.cert.is_none() && own.key.is_none() {
        return Ok(builder.with_no_client_auth());
    }
    let names = Names {
        cert: names.cert,
        key: names.key,
        why: "beside the key",
    };
    Ok(builder.with_client_cert_resolver(identity(own, &names, &provider)?))
}

fn versions(protocols: TlsProtocols) -> Vec<&'static SupportedProtocolVersion> {
    let chosen = [(protocols.v1_3, &TLS13), (protocols.v1_2, &TLS12)];
    chosen
        .into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, version)| version)
        .collect()
}

fn rules(error: Error) -> TlsError {
    TlsError::Rules(error.to_string())
}
