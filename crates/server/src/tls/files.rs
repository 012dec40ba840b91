//! Certificates, keys and authorities as they lie on disk. Knows PEM; judges no certificate.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bellwether_conf::TlsOptions;
use bellwether_core::Secret;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tracing::warn;

use super::TlsError;
use crate::small_file;

/// Longest file. All authorities of the public web together take a quarter of this.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Most files of a directory of authorities that are read; systems come with fewer than 200.
const MAX_CA_FILES: usize = 1000;

/// What tells a changed file from an unchanged one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    path: PathBuf,
    /// Time of change, length and number; `None` if it cannot be looked at.
    seen: Option<(SystemTime, u64, u64)>,
}

/// All files that the directives name, as they are now.
pub(super) fn stamps(options: &TlsOptions) -> Vec<Stamp> {
    let key_files = [&options.server, &options.client];
    let named = key_files.into_iter().flat_map(|files| [&files.cert, &files.key]);
    let named = named.chain([&options.ca_file]).flatten().cloned();
    let of_dir = options
        .ca_dir
        .iter()
        .flat_map(|dir| authority_files(dir).unwrap_or_default());
    let stamp = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok();
        let seen = metadata.and_then(|file| Some((file.modified().ok()?, file.len(), file.ino())));
        Stamp { path, seen }
    };
    named.chain(of_dir).map(stamp).collect()
}

/// The certificates of a file, in their order; at least one.
pub(super) fn certificates(
    directive: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(directive, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|error| content(directive, path, broken(&error)))?;
    if certificates.is_empty() {
        return Err(content(directive, path, "holds no certificate in PEM form"));
    }
    Ok(certificates)
}

/// The private key of a file, decrypted with `pass` if it has to be.
pub(super) fn private_key(
    directive: &'static str,
    path: &Path,
    pass: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(directive, path)?;
    if fs::metadata(path).is_ok_and(|file| file.mode() & 0o007 != 0) {
        warn!(
            "{directive}: {} is open to every user of this machine",
            path.display()
        );
    }
    let text = String::from_utf8_lossy(&bytes);
    if let Some(start) = text.find(ENCRYPTED_KEY) {
        return decrypt(directive, path, &text[start..], pass);
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        let reason = "is encrypted in a form of old that guards badly and is not supported; \
            turn it into a present one with: openssl pkcs8 -topk8 -in OLD -out NEW";
        return Err(content(directive, path, reason));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::MissingSectionEnd { .. } => content(directive, path, broken(&error)),
        _ => content(directive, path, "holds no private key in PEM form"),
    })
}

/// What is wrong with a PEM file, without a byte of its lines.
fn broken(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            // Of the line only what the section is called.
            let section = String::from_utf8_lossy(end_marker);
            format!("is cut off: there is no line -----END {section}-----")
        }
        pem::Error::IllegalSectionStart { .. } => {
            "is no PEM file: a line that begins with -----BEGIN does not end with -----".to_owned()
        }
        pem::Error::Base64Decode(_) => {
            "is damaged: there is no base64 between a BEGIN and its END".to_owned()
        }
        other => format!("is no PEM file: {other}"),
    }
}

const ENCRYPTED_KEY: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_KEY_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

fn decrypt(
    directive: &'static str,
    path: &Path,
    text: &str,
    pass: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let Some(pass) = pass else {
        let reason = format!("is encrypted: {directive}-pass must be given");
        return Err(content(directive, path, reason));
    };
    let refuse = |reason: String| content(directive, path, reason);
    let end = text
        .find(ENCRYPTED_KEY_END)
        .ok_or_else(|| refuse("is cut off".to_owned()))?;
    let (_, document) = SecretDocument::from_pem(&text[..end + ENCRYPTED_KEY_END.len()])
        .map_err(|error| refuse(format!("is no PEM file: {error}")))?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| refuse(format!("is encrypted in a way that is not supported: {error}")))?;
    // The cause would be "bad padding" or the like, which tells nobody more.
    let key = encrypted
        .decrypt(pass.expose())
        .map_err(|_| refuse(format!("cannot be decrypted: {directive}-pass is wrong")))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The files of a directory of authorities. As OpenSSL, only those named by the hash of their subject: `openssl
/// rehash` makes those names, and who keeps other certificates beside them does not mean to trust those.
///
/// # Errors
/// If the directory cannot be read.
pub(super) fn authority_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if is_hashed(&entry.file_name().to_string_lossy()) && paths.len() < MAX_CA_FILES {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_hashed(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|b| b.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

fn read(directive: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        directive,
        path: path.to_owned(),
        source,
    };
    let file = small_file::read(path, MAX_FILE_BYTES).map_err(failed)?;
    Ok(file.bytes)
}

pub(super) fn content(directive: &'static str, path: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::Content {
        directive,
        path: path.to_owned(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let pipe = small_file::tests::pipe(directory.path());
        for error in [
            certificates("tls-cert-file", &pipe).expect_err("a pipe"),
            private_key("tls-key-file", &pipe, None).expect_err("a pipe"),
        ] {
            assert!(error.to_string().contains("/pipe"), "{error}");
            let cause = std::error::Error::source(&error).expect("a cause").to_string();
            assert_eq!(cause, "it is a named pipe and no regular file");
        }
    }

    #[test]
    fn a_file_that_was_written_in_half_is_called_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file.pem");
        for (text, certificate, key) in [
            (
                "-----BEGIN CERTIFICATE-----\nTUlJ\n",
                "is cut off: there is no line -----END CERTIFICATE-----",
                "is cut off: there is no line -----END CERTIFICATE-----",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRI",
                "is cut off: there is no line -----END PRIVATE KEY-----",
                "is cut off: there is no line -----END PRIVATE KEY-----",
            ),
            (
                "-----BEGIN CERTIFICATE-----\n,,,,\n-----END CERTIFICATE-----\n",
                "is damaged: there is no base64 between a BEGIN and its END",
                "holds no private key in PEM form",
            ),
            (
                "-----BEGIN CERTIF\nTUlJ\n",
                "is no PEM file: a line that begins with -----BEGIN does not end with -----",
                "holds no private key in PEM form",
            ),
        ] {
            fs::write(&path, text).expect("written");
            let name = path.display();
            let error = certificates("tls-cert-file", &path).expect_err(text).to_string();
            assert_eq!(error, format!("tls-cert-file: {name} {certificate}"));
            let error = private_key("tls-key-file", &path, None)
                .expect_err(text)
                .to_string();
            assert_eq!(error, format!("tls-key-file: {name} {key}"));
        }
    }

    #[test]
    fn hashed_names_are_told_from_others() {
        for name in ["0123abcd.0", "DEADBEEF.12"] {
            assert!(is_hashed(name), "{name}");
        }
        for name in [
            "ca.pem",
            "0123abcd",
            "0123abcd.",
            "0123abcd.r0",
            "0123abcde.0",
            "0123abcg.0",
        ] {
            assert!(!is_hashed(name), "{name}");
        }
    }
}
