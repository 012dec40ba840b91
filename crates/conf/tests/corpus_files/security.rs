//! Users and TLS, as far as words alone tell. Rules of users and what is in files is compared with the whole program.

use super::Expected::{self, OnlyTheirs, Refused, Taken};

const LATER: &str = "it is refused there too, but only after the ports are bound";

pub(crate) const SECURITY: &[(&str, Expected)] = &[
    // Users.
    ("user bob on >secret ~* &* +@all\n", Taken),
    ("user default on nopass ~* &* +@all\nuser bob off\n", Taken),
    ("user bob\n", Taken),
    (
        "USER \"bob\" on \"#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\" (+ping ~a)\n",
        Taken,
    ),
    ("user bob on >a\nuser bob on >b\n", Refused),
    ("user \"a b\" on\n", OnlyTheirs(LATER)),
    ("user\n", Refused),
    ("user bob on >a\naclfile users.acl\n", OnlyTheirs(LATER)),
    ("aclfile \"\"\nuser bob on >a\n", Taken),
    ("user bob on >secret\nrequirepass secret\n", Taken),
    // TLS.
    ("tls-port 0\n", Taken),
    ("tls-port -1\n", Refused),
    ("tls-port 65536\n", Refused),
    ("tls-port x\n", Refused),
    ("tls-port\n", Refused),
    ("tls-port 1 2\n", Refused),
    ("tls-replication no\n", Taken),
    ("tls-replication maybe\n", Refused),
    ("tls-cluster no\n", Taken),
    ("tls-cert-file a\ntls-key-file b\ntls-key-file-pass c\n", Taken),
    (
        "tls-client-cert-file a\ntls-client-key-file b\ntls-client-key-file-pass c\n",
        Taken,
    ),
    ("tls-cert-file \"\"\ntls-key-file \"\"\n", Taken),
    ("tls-cert-file a b\n", Refused),
    ("tls-key-file\n", Refused),
    ("tls-ca-cert-file a\ntls-ca-cert-dir b\n", Taken),
    ("tls-auth-clients yes\n", Taken),
    ("tls-auth-clients no\n", Taken),
    ("TLS-Auth-Clients Optional\n", Taken),
    ("tls-auth-clients maybe\n", Refused),
    ("tls-auth-clients\n", Refused),
    ("tls-protocols \"TLSv1.2 TLSv1.3\"\n", Taken),
    ("tls-protocols TLSv1.2\n", Taken),
    ("tls-protocols \"\"\n", Taken),
    ("tls-protocols TLSv1.2 TLSv1.3\n", Refused),
    (
        "tls-protocols \"TLSv1.1 TLSv1.2\"\n",
        OnlyTheirs("versions that have been broken for years"),
    ),
    (
        "tls-ciphers DEFAULT:!MEDIUM\ntls-ciphersuites TLS_CHACHA20_POLY1305_SHA256\n",
        Taken,
    ),
    ("tls-prefer-server-ciphers yes\ntls-dh-params-file x\n", Taken),
    (
        "tls-session-caching no\ntls-session-cache-size 5000\ntls-session-cache-timeout 60\n",
        Taken,
    ),
    ("tls-session-caching maybe\n", Refused),
    ("tls-session-cache-size -1\n", Refused),
    ("tls-session-cache-size x\n", Refused),
    ("tls-nonsense yes\n", Refused),
];
