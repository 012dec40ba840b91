//! Certificates made for tests.

use std::fs;
use std::path::{Path, PathBuf};

use bellwether_conf::{AuthClients, KeyFiles, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// Who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Writes its own certificate.
    pub(crate) fn write(&self, path: &Path) {
        fs::write(path, &self.pem).expect("written");
    }

    /// Writes a certificate and its key, `<name>.pem` and `<name>.key`.
    pub(crate) fn sign(&self, dir: &Path, name: &str, is_expired: bool) -> KeyFiles {
        let mut params = CertificateParams::new(["elsewhere.test".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        if is_expired {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let path = |kind: &str| dir.join(format!("{name}.{kind}"));
        fs::write(path("pem"), cert.pem()).expect("written");
        fs::write(path("key"), key.serialize_pem()).expect("written");
        KeyFiles {
            cert: Some(path("pem")),
            key: Some(path("key")),
            key_pass: None,
        }
    }
}

/// Options that work, with everything in `dir`.
pub(crate) fn options(authority: &Authority, dir: &Path) -> TlsOptions {
    let ca: PathBuf = dir.join("ca.pem");
    authority.write(&ca);
    TlsOptions {
        port: 1,
        replication: true,
        server: authority.sign(dir, "own", false),
        ca_file: Some(ca),
        auth_clients: AuthClients::Yes,
        ..TlsOptions::default()
    }
}
