//! Passwords in files of their own, read again while the daemon runs.
//!
//! Owns what was read last. A file that cannot be used changes nothing: what was good stays in use, and the log says why.
//! Never touches a connection that stands.

use std::path::Path;
use std::sync::Arc;

use bellwether_conf::{Config, SecretFiles};
use bellwether_core::{RenewedPasswords, Request, Secret};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::from_file;
use crate::access::Access;
use crate::handle::Handle;

/// The passwords that came from files, and what must be done to read them again.
#[derive(Debug)]
pub(crate) struct Renewal {
    files: SecretFiles,
    hang_up: Arc<Notify>,
    /// What was read last. It is what is in use, unless an operator has set another one meanwhile.
    last: RenewedPasswords,
}

impl Renewal {
    /// For a configuration whose files were read just now.
    pub(crate) fn new(config: &Config) -> Self {
        let files = config.secret_files.clone();
        let password_of = |group| config.groups.get(group)?.options.auth_pass.clone();
        let groups = files.auth_pass.keys();
        Self {
            last: RenewedPasswords {
                own: config
                    .daemon
                    .requirepass
                    .clone()
                    .filter(|_| files.requirepass.is_some()),
                peers: config
                    .sentinel
                    .sentinel_pass
                    .clone()
                    .filter(|_| files.sentinel_pass.is_some()),
                groups: groups
                    .filter_map(|group| Some((group.clone(), password_of(group)?)))
                    .collect(),
            },
            hang_up: Arc::default(),
            files,
        }
    }

    /// Has all files read again when it is notified.
    pub(crate) fn trigger(&self) -> Arc<Notify> {
        Arc::clone(&self.hang_up)
    }

    /// Takes up changed passwords until the daemon stops.
    pub(crate) async fn watch(mut self, access: Access, handle: Handle, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.hang_up.notified() => {}
            }
            let looked = tokio::task::spawn_blocking(move || {
                let changed = self.look();
                (self, changed)
            });
            let Ok((this, changed)) = looked.await else {
                warn!(
                    "passwords are not read from their files any more: reading them has failed in a way that it never should"
                );
                return;
            };
            self = this;
            if changed == RenewedPasswords::default() {
                continue;
            }
            if let Some(password) = &changed.own {
                access.renew_password(password);
            }
            // The driver stops with the daemon, and so do we.
            let _ = handle.ask(Request::RenewPasswords(changed)).await;
        }
    }

    /// Reads all files; gives what is not as before.
    fn look(&mut self) -> RenewedPasswords {
        let mut changed = RenewedPasswords::default();
        let own = &self.files.requirepass;
        changed.own = renewed("requirepass-file", own.as_deref(), self.last.own.as_mut());
        let peers = &self.files.sentinel_pass;
        changed.peers = renewed("sentinel-pass-file", peers.as_deref(), self.last.peers.as_mut());
        for (group, path) in &self.files.auth_pass {
            let last = self.last.groups.get_mut(group);
            if let Some(password) = renewed("auth-pass-file", Some(path), last) {
                changed.groups.insert(group.clone(), password);
            }
        }
        changed
    }
}

/// The password in a file if it is another than `last`, which it becomes.
fn renewed(directive: &'static str, path: Option<&Path>, last: Option<&mut Secret>) -> Option<Secret> {
    let (path, last) = (path?, last?);
    match from_file(directive, path) {
        Ok(password) if password == *last => None,
        Ok(password) => {
            info!(
                "bellwether {directive}: the password in {} is another one now",
                path.display()
            );
            last.clone_from(&password);
            Some(password)
        }
        Err(error) => {
            let reason = crate::daemon::chain(&error);
            warn!("a password cannot be read again, that of before stays in use: {reason}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bellwether_conf::{Source, parse};
    use bellwether_core::GroupName;

    use super::*;
    use crate::secrets::{read_groups, read_own};

    #[test]
    fn only_what_changed_is_renewed_and_the_last_good_one_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
        for name in ["own", "peers", "m"] {
            write(name, name);
        }
        let here = dir.path().display();
        let text = format!(
            "sentinel monitor m 10.0.0.1 1 1\nbellwether requirepass-file {here}/own\n\
             bellwether sentinel-pass-file {here}/peers\nbellwether auth-pass-file m {here}/m\n"
        );
        let config = parse(&Source::new("f", text), &[], &mut |_| Ok(Vec::new()));
        let mut config = config.expect("good");
        read_own(&mut config).expect("readable");
        read_groups(&mut config).expect("readable");
        let mut renewal = Renewal::new(&config);
        assert_eq!(renewal.look(), RenewedPasswords::default());

        write("own", "new\n");
        write("m", "new m\n");
        fs::remove_file(dir.path().join("peers")).expect("removed");
        let changed = renewal.look();
        assert_eq!(changed.own, Some(Secret::new("new")));
        assert_eq!(changed.peers, None);
        let group = GroupName::new("m").expect("a name");
        assert_eq!(changed.groups, [(group, Secret::new("new m"))].into());

        write("own", "");
        write("peers", "peers\n");
        assert_eq!(renewal.look(), RenewedPasswords::default());
        write("peers", "others");
        assert_eq!(renewal.look().peers, Some(Secret::new("others")));
    }
}
