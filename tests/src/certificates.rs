//! Certificates made for one test: an authority, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// A directory with `ca.pem` and, for each name that was signed, `<name>.pem` and `<name>.key`.
pub struct Certificates {
    issuer: Issuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Certificates {
    /// Makes an authority in `dir`.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn new(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority for tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        fs::write(dir.join("ca.pem"), params.self_signed(&key)?.pem())?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            dir: dir.to_owned(),
        })
    }

    /// Makes a certificate for 127.0.0.1 that is valid now; replaces an earlier one of that name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sign(&self, name: &str) -> Result<()> {
        self.write(name, Self::params()?)
    }

    /// Makes one for another host.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sign_for(&self, name: &str, host: &str) -> Result<()> {
        self.write(name, CertificateParams::new([host.to_owned()])?)
    }

    /// Makes one that was valid once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sign_expired(&self, name: &str) -> Result<()> {
        let mut params = Self::params()?;
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.write(name, params)
    }

    /// The path of a file, such as `ca.pem`.
    pub fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    fn params() -> Result<CertificateParams> {
        Ok(CertificateParams::new([
            "127.0.0.1".to_owned(),
            "localhost".to_owned(),
        ])?)
    }

    fn write(&self, name: &str, params: CertificateParams) -> Result<()> {
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem())?;
        fs::write(self.path(&format!("{name}.pem")), cert.pem())?;
        Ok(())
    }
}
