//! The `tls-…` directives: which files and which rules. Reads no certificate.

use std::path::PathBuf;

use bellwether_core::Secret;

use crate::diagnostic::Fault;
use crate::generic::{flag, number, path, port, secret, set, single};
use crate::options::DaemonOptions;
use crate::source::Statement;
use crate::value;

/// How connections are encrypted. Files are only named here; whether they are any good shows at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// `tls-port`: where to listen for TLS; 0 means nowhere.
    pub port: u16,
    /// `tls-replication`: whether outgoing links use TLS.
    pub replication: bool,
    /// `tls-cert-file` with its key: what we show to clients, and to servers unless `client` is given.
    pub server: KeyFiles,
    /// `tls-client-cert-file` with its key: what we show to servers.
    pub client: KeyFiles,
    /// `tls-ca-cert-file`: who may sign the certificates of others.
    pub ca_file: Option<PathBuf>,
    /// `tls-ca-cert-dir`: the same, a directory with a file for each, named by `openssl rehash`.
    pub ca_dir: Option<PathBuf>,
    /// `tls-auth-clients`: whether clients must show a certificate.
    pub auth_clients: AuthClients,
    /// `tls-protocols`: whether TLS 1.2 and TLS 1.3 are spoken.
    pub protocols: TlsProtocols,
    /// `tls-session-caching` and `tls-session-cache-size`: how many sessions clients may take up again; 0 for none.
    pub cached_sessions: u32,
    /// `bellwether tls-verify-hostname`: whether a server's certificate must bear the name or the address by which we
    /// know the server.
    pub verify_hostname: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            port: 0,
            replication: false,
            server: KeyFiles::default(),
            client: KeyFiles::default(),
            ca_file: None,
            ca_dir: None,
            auth_clients: AuthClients::Yes,
            protocols: TlsProtocols::default(),
            cached_sessions: DEFAULT_CACHED_SESSIONS,
            verify_hostname: false,
        }
    }
}

/// As the reference.
const DEFAULT_CACHED_SESSIONS: u32 = 20 * 1024;

/// The most sessions that are kept, whatever `tls-session-cache-size` says. One takes up to 1 KiB, and there are
/// never more clients than this that would gain from it.
const MAX_CACHED_SESSIONS: u32 = 64 * 1024;

/// A certificate and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFiles {
    /// The certificate, followed by those between it and the authority.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// What the private key is encrypted with.
    pub key_pass: Option<Secret>,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthClients {
    /// They must.
    Yes,
    /// They are not asked for one.
    No,
    /// They need not, but one that is shown must be good.
    Optional,
}

/// Which versions of the protocol are spoken; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsProtocols {
    /// TLS 1.2
    pub v1_2: bool,
    /// TLS 1.3
    pub v1_3: bool,
}

impl Default for TlsProtocols {
    fn default() -> Self {
        Self {
            v1_2: true,
            v1_3: true,
        }
    }
}

type Run = fn(&mut DaemonOptions, &Statement) -> Result<(), Fault>;

/// The directives that are honoured.
pub(crate) const HONOURED: &[(&str, Run)] = &[
    ("tls-port", |o, s| set(&mut o.tls.port, port(s))),
    ("tls-replication", |o, s| set(&mut o.tls.replication, flag(s))),
    ("tls-cert-file", |o, s| set(&mut o.tls.server.cert, path(s))),
    ("tls-key-file", |o, s| set(&mut o.tls.server.key, path(s))),
    ("tls-key-file-pass", |o, s| {
        set(&mut o.tls.server.key_pass, secret(s))
    }),
    ("tls-client-cert-file", |o, s| {
        set(&mut o.tls.client.cert, path(s))
    }),
    ("tls-client-key-file", |o, s| set(&mut o.tls.client.key, path(s))),
    ("tls-client-key-file-pass", |o, s| {
        set(&mut o.tls.client.key_pass, secret(s))
    }),
    ("tls-ca-cert-file", |o, s| set(&mut o.tls.ca_file, path(s))),
    ("tls-ca-cert-dir", |o, s| set(&mut o.tls.ca_dir, path(s))),
    ("tls-auth-clients", |o, s| {
        set(&mut o.tls.auth_clients, auth_clients(s))
    }),
    ("tls-protocols", |o, s| set(&mut o.tls.protocols, protocols(s))),
    ("tls-session-caching", |o, s| {
        let keeps = flag(s)?;
        // The size may have been given before.
        o.tls.cached_sessions = match (keeps, o.tls.cached_sessions) {
            (false, _) => 0,
            (true, 0) => DEFAULT_CACHED_SESSIONS,
            (true, size) => size,
        };
        Ok(())
    }),
    ("tls-session-cache-size", |o, s| {
        let size = number(s, 0, i32::MAX as u32)?;
        // As OpenSSL: 0 is no limit. After `tls-session-caching no` there is nothing to limit.
        if o.tls.cached_sessions != 0 {
            let unlimited = size == 0;
            o.tls.cached_sessions = if unlimited {
                MAX_CACHED_SESSIONS
            } else {
                size.min(MAX_CACHED_SESSIONS)
            };
        }
        Ok(())
    }),
];

/// Directives about what the TLS library decides by itself, with what it decides.
pub(crate) const DECIDED: &[(&str, &str)] = &[
    ("tls-ciphers", CIPHERS),
    ("tls-ciphersuites", CIPHERS),
    (
        "tls-prefer-server-ciphers",
        "all suites in use are equally strong, and the server's order holds",
    ),
    (
        "tls-dh-params-file",
        "keys are agreed on elliptic curves only, which need no parameters",
    ),
    (
        "tls-session-cache-timeout",
        "a session is kept until newer ones take its place",
    ),
];

const CIPHERS: &str = "only suites with forward secrecy and authenticated encryption are in use";

fn auth_clients(statement: &Statement) -> Result<AuthClients, Fault> {
    single(statement, 1)?;
    let choices = [
        ("no", AuthClients::No),
        ("yes", AuthClients::Yes),
        ("optional", AuthClients::Optional),
    ];
    value::choice(statement, 1, &choices)
}

fn protocols(statement: &Statement) -> Result<TlsProtocols, Fault> {
    let Some(names) = single(statement, 1)? else {
        return Ok(TlsProtocols::default());
    };
    let mut protocols = TlsProtocols {
        v1_2: false,
        v1_3: false,
    };
    for name in names.split_whitespace() {
        match name.to_ascii_lowercase().as_str() {
            "tlsv1.2" => protocols.v1_2 = true,
            "tlsv1.3" => protocols.v1_3 = true,
            "tlsv1" | "tlsv1.1" => {
                let message = format!("'{name}' is not supported: it has been broken for years");
                return Err(Fault::new(1, message).hint("leave TLSv1.2 and TLSv1.3"));
            }
            _ => {
                let message = "Invalid tls-protocols specified. Use a combination of TLSv1.2 and TLSv1.3";
                return Err(Fault::new(1, message).hint(format!("'{name}' was given")));
            }
        }
    }
    if protocols.v1_2 || protocols.v1_3 {
        Ok(protocols)
    } else {
        Ok(TlsProtocols::default())
    }
}

#[cfg(test)]
mod tests {
    use crate::{AuthClients, Config, Diagnostic, Source, TlsOptions, TlsProtocols, parse};

    fn load(text: &str) -> Result<Config, Vec<Diagnostic>> {
        parse(&Source::new("f", text), &[], &mut |_: &str| Ok(Vec::new()))
    }

    fn tls(text: &str) -> TlsOptions {
        load(text)
            .unwrap_or_else(|problems| panic!("{problems:#?}"))
            .daemon
            .tls
    }

    #[test]
    fn every_file_finds_its_place() {
        let options = tls(
            "tls-port 26380\ntls-replication yes\ntls-cert-file a\ntls-key-file b\n\
            tls-key-file-pass c\ntls-client-cert-file d\ntls-client-key-file e\ntls-client-key-file-pass f\n\
            tls-ca-cert-file g\ntls-ca-cert-dir h\ntls-auth-clients optional",
        );
        assert_eq!((options.port, options.replication), (26380, true));
        assert_eq!(options.auth_clients, AuthClients::Optional);
        let paths = [
            options.server.cert,
            options.server.key,
            options.client.cert,
            options.client.key,
            options.ca_file,
            options.ca_dir,
        ];
        let paths: Vec<_> = paths
            .iter()
            .flatten()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(paths, ["a", "b", "d", "e", "g", "h"]);
        let passwords = [options.server.key_pass, options.client.key_pass];
        let passwords: Vec<_> = passwords.iter().flatten().map(|pass| pass.expose()).collect();
        assert_eq!(passwords, ["c", "f"]);
        assert_eq!(tls("tls-cert-file \"\""), TlsOptions::default());
        assert!(tls("bellwether tls-verify-hostname yes").verify_hostname);
    }

    #[test]
    fn versions_are_chosen_and_old_ones_refused() {
        let both = TlsProtocols::default();
        for (text, v1_2, v1_3) in [
            ("\"TLSv1.2 tlsv1.3\"", true, true),
            ("TLSv1.3", false, true),
            ("TLSv1.2", true, false),
        ] {
            let protocols = tls(&format!("tls-protocols {text}")).protocols;
            assert_eq!(protocols, TlsProtocols { v1_2, v1_3 }, "{text}");
        }
        assert_eq!(tls("tls-protocols \"\"").protocols, both);
        for (text, part) in [
            ("\"TLSv1.1 TLSv1.2\"", "'TLSv1.1' is not supported"),
            ("SSLv3", "Invalid tls-protocols"),
            ("TLSv1.2 TLSv1.3", "wrong number of arguments"),
        ] {
            let problems = load(&format!("tls-protocols {text}")).expect_err(text);
            assert!(problems[0].message.contains(part), "{problems:?}");
        }
    }

    #[test]
    fn sessions_are_kept_as_said_in_either_order() {
        for (text, count) in [
            ("", 20 * 1024),
            ("tls-session-cache-size 5", 5),
            ("tls-session-cache-size 0", 64 * 1024),
            ("tls-session-caching no", 0),
            ("tls-session-caching no\ntls-session-cache-size 5", 0),
            ("tls-session-cache-size 5\ntls-session-caching yes", 5),
        ] {
            assert_eq!(tls(text).cached_sessions, count, "{text}");
        }
    }

    #[test]
    fn what_the_library_decides_is_a_warning() {
        let config = load("tls-ciphers DEFAULT:!MEDIUM\ntls-prefer-server-ciphers yes").expect("good");
        assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
        assert!(
            config.warnings[0].message.contains("forward secrecy"),
            "{:?}",
            config.warnings
        );
    }

    #[test]
    fn a_slip_does_not_leave_connections_plain() {
        for text in [
            "tls-replicaton yes",
            "tls-auth-client yes",
            "tls-auth-clients-user CN",
        ] {
            let problems = load(text).expect_err(text);
            assert!(problems[0].message.contains("Bad directive"), "{problems:?}");
        }
        let problems = load("tls-replicaton yes").expect_err("a slip");
        assert!(
            problems[0]
                .hint
                .as_deref()
                .is_some_and(|hint| hint.contains("tls-replication"))
        );
        assert_eq!(load("tls-cluster no").expect("good").warnings.len(), 1);
    }
}
