//! TLS, for clients that come and for links that go out.
//!
//! Owns what `tls-…` directives name: reads certificates and keys, says at the start what is wrong with them, and
//! takes up changed files while the daemon runs. What cannot be used never takes the place of what was good.
//! [`Stream`] is a connection with or without TLS; nothing outside this module knows the difference.

mod caller;
mod files;
mod material;
mod socket;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bellwether_conf::TlsOptions;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::caller::{Caller, CallerFiles, SecureStream};
use self::files::Stamp;
use self::material::Material;
pub(crate) use self::socket::Socket;
pub(crate) use self::stream::Stream;
use crate::telemetry::Telemetry;

/// How often files are looked at for changes. Certificates are replaced days before they expire, so a minute is
/// soon; SIGHUP is there for those who cannot wait.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What is wrong with a certificate, a key or an authority.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A directive is missing.
    #[error("{directive} must be given {reason}")]
    Missing {
        /// The directive.
        directive: &'static str,
        /// When it is needed.
        reason: &'static str,
    },
    /// A file or directory cannot be read.
    #[error("{directive}: cannot read {}", path.display())]
    Read {
        /// Which directive names it.
        directive: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What is in a file cannot be used.
    #[error("{directive}: {} {reason}", path.display())]
    Content {
        /// Which directive names it.
        directive: &'static str,
        /// The file.
        path: PathBuf,
        /// In which way.
        reason: String,
    },
    /// The TLS library refuses the whole.
    #[error("the tls-… directives do not fit together: {0}")]
    Rules(String),
}

impl TlsError {
    /// The directive that names what is wrong, if it is one.
    #[must_use]
    pub const fn directive(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } | Self::Rules(_) => None,
            Self::Read { directive, .. } | Self::Content { directive, .. } => Some(directive),
        }
    }
}

/// Certificates and keys in use, and the files that they came from.
#[derive(Debug)]
pub struct Tls {
    options: TlsOptions,
    current: ArcSwap<Material>,
    /// The files as they were when they were last looked at.
    stamps: Mutex<Vec<Stamp>>,
    hang_up: Notify,
}

impl Tls {
    /// Reads everything that the directives name; `None` if nothing uses TLS.
    ///
    /// # Errors
    /// If anything cannot be used; says which directive and which file.
    pub fn load(options: &TlsOptions) -> Result<Option<Arc<Self>>, TlsError> {
        if options.port == 0 && !options.replication {
            return Ok(None);
        }
        // Before the contents, so that a change between the two is seen the next time.
        let stamps = files::stamps(options);
        Ok(Some(Arc::new(Self {
            options: options.clone(),
            current: ArcSwap::from_pointee(Material::load(options)?),
            stamps: Mutex::new(stamps),
            hang_up: Notify::new(),
        })))
    }

    /// All that is wrong with what the directives name, at most one error for each; nothing if nothing uses TLS.
    #[must_use]
    pub fn problems(options: &TlsOptions) -> Vec<TlsError> {
        match options.port != 0 || options.replication {
            true => material::problems(options),
            false => Vec::new(),
        }
    }

    /// How to answer clients, as of now.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().server)
    }

    /// How to speak to servers and other sentinels, as of now.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current.load().client)
    }

    /// Has everything read again, whether it seems changed or not.
    pub(crate) fn hang_up(&self) {
        self.hang_up.notify_one();
    }

    /// Takes up changed files until the daemon stops.
    pub(crate) async fn watch(self: Arc<Self>, telemetry: Arc<dyn Telemetry>, shutdown: CancellationToken) {
        loop {
            let was_asked = tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.hang_up.notified() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || this.look(was_asked)).await;
            match looked {
                Ok(Ok(true)) => {
                    info!("certificates and keys were loaded anew");
                    telemetry.certificates_loaded(true);
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    let reason = crate::daemon::chain(&error);
                    warn!(
                        "certificates and keys cannot be loaded anew, those of before stay in use: {reason}"
                    );
                    telemetry.certificates_loaded(false);
                }
                Err(error) => debug!("the look at certificates was cut off: {error}"),
            }
        }
    }

    /// Loads everything if a file has changed, or in any case if `was_asked`. Whether it did.
    fn look(&self, was_asked: bool) -> Result<bool, TlsError> {
        let stamps = files::stamps(&self.options);
        {
            let mut before = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
            if !was_asked && *before == stamps {
                return Ok(false);
            }
            *before = stamps;
        }
        self.current.store(Arc::new(Material::load(&self.options)?));
        Ok(true)
    }
}
