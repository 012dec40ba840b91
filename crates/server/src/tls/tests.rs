//! What is refused at the start, who trusts whom, what a reload brings, and bytes through a stream.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bellwether_conf::{AuthClients, KeyFiles, TlsOptions, TlsProtocols};
use bellwether_core::{Host, Secret};
use bytes::BytesMut;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::testing::{Authority, options};
use super::{Stream, Tls};

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn load(options: &TlsOptions) -> Arc<Tls> {
    Tls::load(options).expect("good").expect("in use")
}

fn refusal(options: &TlsOptions) -> String {
    crate::daemon::chain(&Tls::load(options).expect_err("refused"))
}

/// A connection between two sockets on this machine.
async fn pair() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (called, calling) = tokio::join!(listener.accept(), TcpStream::connect(address));
    (
        called.expect("a connection").0,
        calling.expect("a connection"),
        address,
    )
}

/// Both ends after the handshake, or what each of them says. A client that is refused learns so at its first read.
async fn meet(called: &Tls, calling: &Tls) -> (io::Result<Stream>, io::Result<Stream>) {
    let (server, client, address) = pair().await;
    let mut server = Stream::called(server, called.server()).expect("settings");
    let mut client = Stream::calling(client, &Host::Ip(address.ip()), calling.client()).expect("settings");
    tokio::join!(
        async move { server.handshake().await.map(|()| server) },
        async move {
            client.handshake().await?;
            Ok(client)
        },
    )
}

async fn read(stream: &mut Stream) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    loop {
        match stream.try_read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable().await?,
            result => return result,
        }
    }
}

#[tokio::test]
async fn bytes_go_both_ways_however_many() {
    let dir = dir();
    for protocols in [(true, false), (false, true)] {
        let (v1_2, v1_3) = protocols;
        let mut options = options(&Authority::new("a"), dir.path());
        options.protocols = TlsProtocols { v1_2, v1_3 };
        let tls = load(&options);
        let (server, client) = meet(&tls, &tls).await;
        let (mut server, mut client) = (server.expect("trusted"), client.expect("trusted"));
        // More than sockets and buffers hold, so that both sides meet a full one.
        let sent: Vec<u8> = (0..4_000_000u32).map(|n| n as u8).collect();
        let write = async {
            let mut rest = &sent[..];
            while !rest.is_empty() || client.has_unsent() {
                match client.try_write(rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        client.writable().await.expect("open");
                        client.try_flush().expect("open");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            // The session tickets. Closed with something unread, a connection is reset, and what is under way lost.
            let tickets = client.try_read(&mut [0; 16]).expect_err("nothing to read");
            assert_eq!(tickets.kind(), io::ErrorKind::WouldBlock);
            drop(client);
        };
        let read = async {
            let mut got = Vec::new();
            let mut buffer = BytesMut::new();
            loop {
                buffer.reserve(1000);
                match server.read_now(&mut buffer) {
                    None => server.readable().await.expect("open"),
                    Some(Ok(0)) => return got,
                    Some(Ok(_)) => got.extend_from_slice(&buffer.split()),
                    Some(Err(error)) => panic!("{error}"),
                }
            }
        };
        let ((), got) = tokio::join!(write, read);
        assert!(got == sent, "{protocols:?}: {} bytes came", got.len());
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (home, elsewhere) = (dir(), dir());
    let ours = load(&options(&Authority::new("ours"), home.path()));
    let theirs = load(&options(&Authority::new("theirs"), elsewhere.path()));
    let (server, client) = meet(&theirs, &ours).await;
    let error = client.expect_err("not trusted").to_string();
    assert!(
        error.contains("certificate of the other side is refused"),
        "{error}"
    );
    let error = server.expect_err("told so").to_string();
    assert!(error.contains("UnknownCA"), "{error}");
}

#[tokio::test]
async fn names_are_checked_if_asked_for() {
    let dir = dir();
    let authority = Authority::new("a");
    // The certificate bears `elsewhere.test` and nothing else.
    let tls = load(&options(&authority, dir.path()));
    let strict = load(&TlsOptions {
        verify_hostname: true,
        ..options(&authority, dir.path())
    });
    for (host, calling, is_trusted) in [
        ("elsewhere.test", &strict, true),
        ("Elsewhere.Test.", &strict, true),
        ("here.test", &strict, false),
        ("127.0.0.1", &strict, false),
        ("here.test", &tls, true),
        ("127.0.0.1", &tls, true),
    ] {
        let (server, client, _) = pair().await;
        let host = Host::parse(host).expect("a host");
        let mut server = Stream::called(server, tls.server()).expect("settings");
        let mut client = Stream::calling(client, &host, calling.client()).expect("settings");
        let (_, met) = tokio::join!(server.handshake(), client.handshake());
        match met {
            Ok(()) => assert!(is_trusted, "{host}"),
            Err(error) => {
                let error = error.to_string();
                assert!(!is_trusted, "{host}: {error}");
                assert!(error.contains("elsewhere.test"), "it says whose it is: {error}");
            }
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_either_side() {
    let (home, old) = (dir(), dir());
    let authority = Authority::new("a");
    let good = load(&options(&authority, home.path()));
    let expired = load(&TlsOptions {
        server: authority.sign(old.path(), "old", true),
        ..options(&authority, home.path())
    });
    let (_, client) = meet(&expired, &good).await;
    let error = client.expect_err("expired").to_string();
    assert!(error.contains("expired"), "{error}");
    let (server, _client) = meet(&good, &expired).await;
    let error = server.expect_err("expired").to_string();
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn clients_need_a_certificate_as_the_directive_says() {
    let dir = dir();
    let authority = Authority::new("a");
    let good = options(&authority, dir.path());
    // A client without a certificate: none of ours can be one, so the library is asked directly.
    let mut roots = rustls::RootCertStore::empty();
    let ca = fs::read(good.ca_file.as_ref().expect("a file")).expect("read");
    let ca =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&ca);
    roots.add(ca.expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let bare = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(super::verify::AnyName::new(
            Arc::new(roots),
            provider.signature_verification_algorithms,
        )))
        .with_no_client_auth();
    let bare = Arc::new(bare);
    for (auth_clients, is_let_in) in [
        (AuthClients::Yes, false),
        (AuthClients::Optional, true),
        (AuthClients::No, true),
    ] {
        let tls = load(&TlsOptions {
            auth_clients,
            ..good.clone()
        });
        let (server, client, address) = pair().await;
        let mut server = Stream::called(server, tls.server()).expect("settings");
        let mut client =
            Stream::calling(client, &Host::Ip(address.ip()), Arc::clone(&bare)).expect("settings");
        let (server, client) = tokio::join!(async move { server.handshake().await.map(drop) }, async move {
            client.handshake().await?;
            read(&mut client).await
        },);
        assert_eq!(server.is_ok(), is_let_in, "{auth_clients:?}: {server:?}");
        assert_eq!(client.is_ok(), is_let_in, "{auth_clients:?}: {client:?}");
        if let Err(error) = server {
            assert_eq!(error.to_string(), "the other side shows no certificate");
        }
    }
}

#[tokio::test]
async fn who_does_not_speak_tls_is_told_from_who_is_not_trusted() {
    let dir = dir();
    let tls = load(&options(&Authority::new("a"), dir.path()));
    let (server, client, _) = pair().await;
    client.writable().await.expect("open");
    client.try_write(b"PING\r\nPING\r\n").expect("written");
    let mut server = Stream::called(server, tls.server()).expect("settings");
    let error = server.handshake().await.expect_err("no TLS").to_string();
    assert_eq!(error, "the other side does not speak TLS");
}

#[tokio::test]
async fn changed_files_are_taken_up_and_bad_ones_are_not() {
    let dir = dir();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let options = options(&old, dir.path());
    let tls = load(&options);
    let before = tls.server();
    assert!(!tls.look(false).expect("good"), "nothing has changed");
    assert!(Arc::ptr_eq(&before, &tls.server()));
    // Half of a change: the key is still that of the old certificate.
    let key = fs::read(dir.path().join("own.key")).expect("read");
    new.sign(dir.path(), "own", false);
    let new_key = fs::read(dir.path().join("own.key")).expect("read");
    fs::write(dir.path().join("own.key"), key).expect("written");
    let error = tls.look(false).expect_err("half a change").to_string();
    assert!(error.contains("is not the key of the certificate"), "{error}");
    assert!(Arc::ptr_eq(&before, &tls.server()));
    // The other half.
    fs::write(dir.path().join("own.key"), new_key).expect("written");
    new.write(&dir.path().join("ca.pem"));
    assert!(tls.look(false).expect("good"), "files have changed");
    let (server, client) = meet(&tls, &tls).await;
    assert!(server.is_ok() && client.is_ok(), "{server:?} {client:?}");
    let after = tls.server();
    assert!(tls.look(true).expect("good"), "it was asked for");
    assert!(!Arc::ptr_eq(&after, &tls.server()));
}

#[test]
fn what_is_wrong_is_named_with_directive_and_file() {
    let dir = dir();
    let path = |name: &str| dir.path().join(name);
    let authority = Authority::new("a");
    let good = options(&authority, dir.path());
    fs::write(path("garbage"), "no pem").expect("written");
    fs::create_dir(path("empty")).expect("a directory");
    let garbage = Some(path("garbage"));
    let server = |cert, key| KeyFiles {
        cert,
        key,
        key_pass: None,
    };
    let other = authority.sign(dir.path(), "other", false);
    let own = good.server.clone();
    let with_server = |server| TlsOptions {
        server,
        ..good.clone()
    };
    let cases = [
        (with_server(server(None, None)), "tls-cert-file must be given"),
        (
            with_server(server(own.cert.clone(), None)),
            "tls-key-file must be given",
        ),
        (
            with_server(server(garbage.clone(), own.key.clone())),
            "tls-cert-file: PATH/garbage holds no certificate",
        ),
        (
            with_server(server(own.cert.clone(), garbage.clone())),
            "tls-key-file: PATH/garbage holds no private key",
        ),
        (
            with_server(server(Some(path("none")), own.key.clone())),
            "tls-cert-file: cannot read PATH/none: No such",
        ),
        (
            with_server(server(own.cert.clone(), other.key.clone())),
            "tls-key-file: PATH/other.key is not the key of the certificate in PATH/own.pem",
        ),
        (
            TlsOptions {
                client: server(other.cert, None),
                ..good.clone()
            },
            "tls-client-key-file must be given",
        ),
        (
            TlsOptions {
                ca_file: garbage,
                ..good.clone()
            },
            "tls-ca-cert-file: PATH/garbage holds no certificate",
        ),
        (
            TlsOptions {
                ca_file: None,
                ca_dir: Some(path("empty")),
                ..good.clone()
            },
            "tls-ca-cert-dir: PATH/empty holds no certificate under the name of its hash",
        ),
        (
            TlsOptions {
                ca_file: None,
                ..good.clone()
            },
            "tls-ca-cert-file or tls-ca-cert-dir must be given",
        ),
    ];
    for (options, expected) in cases {
        let error = refusal(&options);
        let expected = expected.replace("PATH", &dir.path().display().to_string());
        assert!(error.starts_with(&expected), "{error}\n{expected}");
    }
    let unused = TlsOptions {
        port: 0,
        replication: false,
        ..TlsOptions::default()
    };
    assert!(Tls::load(&unused).expect("nothing to read").is_none());
}

#[test]
fn authorities_can_lie_in_a_directory() {
    let dir = dir();
    let good = options(&Authority::new("a"), dir.path());
    let ca_dir = dir.path().join("ca");
    fs::create_dir(&ca_dir).expect("a directory");
    fs::copy(dir.path().join("ca.pem"), ca_dir.join("0123abcd.0")).expect("copied");
    load(&TlsOptions {
        ca_file: None,
        ca_dir: Some(ca_dir),
        ..good
    });
}

/// Encrypts a key as people do.
fn openssl(args: &[&str], input: &Path, output: &Path) {
    let status = Command::new("openssl")
        .args(args)
        .args(["-passout", "pass:secret", "-in"])
        .arg(input)
        .arg("-out")
        .arg(output)
        .status();
    assert!(status.expect("openssl").success(), "{args:?}");
}

#[test]
fn keys_may_be_encrypted() {
    let dir = dir();
    let good = options(&Authority::new("a"), dir.path());
    let (plain, encrypted) = (dir.path().join("own.key"), dir.path().join("encrypted.key"));
    let with = |pass: Option<&str>| {
        let mut options = good.clone();
        options.server.key = Some(encrypted.clone());
        options.server.key_pass = pass.map(Secret::new);
        options
    };
    for form in [&["pkcs8", "-topk8"][..], &["pkcs8", "-topk8", "-scrypt"]] {
        openssl(form, &plain, &encrypted);
        load(&with(Some("secret")));
        let error = refusal(&with(Some("sesame")));
        assert!(
            error.contains("tls-key-file-pass is wrong") && !error.contains("sesame"),
            "{error}"
        );
        let error = refusal(&with(None));
        assert!(error.contains("tls-key-file-pass must be given"), "{error}");
    }
    openssl(&["ec", "-aes256"], &plain, &encrypted);
    let error = refusal(&with(Some("secret")));
    assert!(error.contains("openssl pkcs8 -topk8"), "{error}");
}
