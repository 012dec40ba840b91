//! Who may come in, and what each may do: users, their passwords and permissions.
//!
//! [`Access`] is shared by all connections. The users are a snapshot that is replaced as a whole when one changes, and
//! its number with it: a connection compares one number for each command and looks its user up again only after a
//! change. So changes count at once, and cost nothing while there are none.
//!
//! Never keeps or logs a password, and writes no file but the ACL file. What goes into the configuration file
//! is told by [`Access::lines`].

mod file;
mod log;
mod password;
mod rules;
mod selector;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use bellwether_conf::{DaemonOptions, UserLine};
use bellwether_core::Secret;

pub use file::FileError;
pub(crate) use log::{Entry as LogEntry, Reason};
pub(crate) use rules::{CATEGORIES, RulesError, is_name};
pub(crate) use selector::{Attempt, Denied};
pub(crate) use user::User;

use log::Log;

/// The user of every connection that names no other.
pub(crate) const DEFAULT_USER: &str = "default";

/// Most users. Each change copies the list of them; fleets have a handful.
pub(crate) const MAX_USERS: usize = 1024;

/// The users, shared by all connections. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Access {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    users: ArcSwap<Users>,
    /// The number of the snapshot in `users`.
    generation: AtomicU64,
    /// Held while a new snapshot is made.
    editing: Mutex<()>,
    /// The password of `requirepass`, to find it among those of the default user.
    requirepass: Mutex<Option<password::Digest>>,
    log: Mutex<Log>,
    options: Options,
}

/// What of the configuration counts after the start.
#[derive(Clone, Debug, Default)]
struct Options {
    /// The ACL file.
    file: Option<PathBuf>,
    /// Whether a new user may listen to everything.
    all_channels: bool,
    /// Where changes go to a state directory, beside a configuration that is never written: what that says.
    beside: Option<Beside>,
}

/// What a configuration that is never written says about users.
#[derive(Clone, Debug)]
struct Beside {
    /// The users that it names.
    named: BTreeSet<String>,
    /// Whether it has the password of the default user.
    requirepass: bool,
}

/// All users at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    generation: u64,
    default_user: Arc<User>,
    by_name: BTreeMap<Arc<str>, Arc<User>>,
}

/// Who a connection is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) user: Arc<User>,
    /// Whether it has authenticated, or did not have to when it came.
    pub(crate) is_known: bool,
    /// Whether it has to authenticate before anything else.
    pub(crate) must_log_in: bool,
    generation: u64,
}

/// Why the users of a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A `user` line is wrong.
    #[error("{file}:{line}: {problem}")]
    User {
        /// The file, or what stands for it.
        file: String,
        /// The line.
        line: usize,
        /// The user.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// There are too many.
    #[error("there are more than {MAX_USERS} users")]
    TooMany,
    /// The ACL file cannot be loaded.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why the users cannot be loaded from the ACL file or saved to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AclFileError {
    #[error(
        "This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER \
         command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store \
         users in the Redis configuration."
    )]
    None,
    #[error(transparent)]
    Load(#[from] FileError),
    #[error("There was an error trying to save the ACLs. Please check the server logs for more information")]
    Save(#[source] crate::disk::SaveError),
}

/// Why a user cannot be changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    #[error("Usernames can't contain spaces or null characters")]
    Name,
    #[error("There can be {MAX_USERS} users at most")]
    TooMany,
    #[error(transparent)]
    Rules(#[from] RulesError),
}

impl Default for Shared {
    fn default() -> Self {
        let everyone = Arc::new(User::everyone());
        Self::new(
            [(Arc::clone(everyone.name()), everyone)].into(),
            Options::default(),
            DaemonOptions::default().acllog_max_len,
        )
    }
}

impl Shared {
    fn new(by_name: BTreeMap<Arc<str>, Arc<User>>, options: Options, log_len: usize) -> Self {
        Self {
            users: ArcSwap::from_pointee(Users::new(0, by_name)),
            generation: AtomicU64::new(0),
            editing: Mutex::new(()),
            requirepass: Mutex::default(),
            log: Mutex::new(Log::new(log_len)),
            options,
        }
    }
}

impl Access {
    /// With only the default user and the password of `requirepass`; without one, or with an empty one,
    /// everyone is in from the start.
    #[must_use]
    pub fn new(requirepass: Option<Secret>) -> Self {
        let options = DaemonOptions {
            requirepass,
            ..DaemonOptions::default()
        };
        // Without users and without a file there is nothing to be wrong.
        Self::load(&options).unwrap_or_default()
    }

    /// With the users of a configuration, or of the ACL file that it names.
    ///
    /// # Errors
    /// If a rule is wrong or the file cannot be read.
    pub fn load(options: &DaemonOptions) -> Result<Self, AccessError> {
        let kept = Options {
            file: options.aclfile.clone(),
            all_channels: options.acl_pubsub_allchannels,
            beside: Beside::of(options),
        };
        let mut users = match &options.aclfile {
            Some(path) => file::load(path, kept.all_channels)?,
            None => configured(&options.users, kept.all_channels)?,
        };
        let of_state = |user: &UserLine| user.name == DEFAULT_USER && user.is_edited;
        let is_older = options.users.iter().any(of_state);
        require_password(&mut users, options.requirepass.as_ref(), is_older);
        if users.len() > MAX_USERS {
            return Err(AccessError::TooMany);
        }
        let mut shared = Shared::new(users, kept, options.acllog_max_len);
        let password = options.requirepass.as_ref().filter(|it| !it.expose().is_empty());
        let digest = password.map(|it| password::Digest::of(it.expose().as_bytes()));
        shared.requirepass = Mutex::new(digest);
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// All that is wrong with the users of a configuration: each user, and the ACL file if there is one.
    #[must_use]
    pub fn problems(options: &DaemonOptions) -> Vec<AccessError> {
        if options.aclfile.is_some() {
            return Self::load(options).err().into_iter().collect();
        }
        let all_channels = options.acl_pubsub_allchannels;
        let judge = |line| configured(std::slice::from_ref(line), all_channels).err();
        options.users.iter().filter_map(judge).collect()
    }

    /// The users as they are now.
    pub(crate) fn users(&self) -> Arc<Users> {
        self.shared.users.load_full()
    }

    /// Whether the default user lets everyone in, so that nothing protects the port.
    #[must_use]
    pub fn needs_password(&self) -> bool {
        !self.users().default_user.admits_all()
    }

    /// Who a connection is that has said nothing yet.
    pub(crate) fn newcomer(&self) -> Identity {
        let users = self.users();
        let user = Arc::clone(&users.default_user);
        let is_known = user.admits_all();
        Identity {
            user,
            is_known,
            must_log_in: !is_known,
            generation: users.generation,
        }
    }

    /// The identity of who knows this password. Takes about as long if there is no such user.
    pub(crate) fn log_in(&self, name: &[u8], password: &[u8]) -> Option<Identity> {
        // Digests are quick, but one of a password of megabytes would hold up everyone else on this thread.
        if password.len() > rules::MAX_USER_BYTES {
            return None;
        }
        let users = self.users();
        let nobody = User::new("", false);
        let user = users.get(name);
        let admitted = user.map_or(&nobody, |user| user).admits(password);
        let user = Arc::clone(user.filter(|_| admitted)?);
        Some(Identity {
            user,
            is_known: true,
            must_log_in: false,
            generation: users.generation,
        })
    }

    /// Brings an identity up to date. `false` if the user does not exist any more.
    pub(crate) fn refresh(&self, identity: &mut Identity) -> bool {
        if identity.generation == self.shared.generation.load(Ordering::Acquire) {
            return true;
        }
        let users = self.users();
        identity.generation = users.generation;
        identity.must_log_in = !identity.is_known && !users.default_user.admits_all();
        let user = users.by_name.get(identity.user.name());
        if let Some(user) = user {
            identity.user = Arc::clone(user);
        }
        user.is_some()
    }

    /// The password of `requirepass` is another one from now on. Who is in stays in. A default user that has other
    /// passwords, by a `user` line or by `ACL SETUSER`, keeps them.
    pub(crate) fn renew_password(&self, password: &Secret) {
        let _editing = self.editing();
        let mut known = self
            .shared
            .requirepass
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let renewed = password::Digest::of(password.expose().as_bytes());
        let Some(before) = known.replace(renewed) else {
            return;
        };
        let mut users = self.users().by_name.clone();
        let user = users.get_mut(DEFAULT_USER).map(Arc::make_mut);
        let place = user.and_then(|user| user.passwords.iter_mut().find(|it| **it == before));
        match place {
            Some(place) => {
                *place = renewed;
                self.publish(users);
            }
            None => tracing::warn!(
                "the default user has passwords of its own, so that of 'requirepass' does not count"
            ),
        }
    }

    /// Makes or changes a user; on an error it is as before.
    pub(crate) fn edit<'a>(
        &self,
        name: &[u8],
        rules: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), EditError> {
        let Some(name) = std::str::from_utf8(name)
            .ok()
            .filter(|name| is_name(name.as_bytes()))
        else {
            return Err(EditError::Name);
        };
        let all_channels = self.shared.options.all_channels;
        let _editing = self.editing();
        let mut users = self.users().by_name.clone();
        let known = users.get(name);
        if known.is_none() && users.len() >= MAX_USERS {
            return Err(EditError::TooMany);
        }
        let mut user = known.map_or_else(|| User::new(name, all_channels), |user| User::clone(user));
        rules::follow(&mut user, rules, all_channels)?;
        user.is_edited = true;
        users.insert(Arc::clone(&user.name), Arc::new(user));
        self.publish(users);
        Ok(())
    }

    /// Removes users; gives the names of those that there were.
    pub(crate) fn remove<'a>(&self, names: impl IntoIterator<Item = &'a [u8]>) -> Vec<Arc<str>> {
        let _editing = self.editing();
        let mut users = self.users().by_name.clone();
        let names = names
            .into_iter()
            .filter_map(|name| std::str::from_utf8(name).ok());
        let removed: Vec<Arc<str>> = names
            .filter(|name| *name != DEFAULT_USER)
            .filter_map(|name| users.remove_entry(name))
            .map(|(name, _)| name)
            .collect();
        if !removed.is_empty() {
            self.publish(users);
        }
        removed
    }

    /// Takes the users from the ACL file, all or none. Blocks while it reads.
    pub(crate) fn reload(&self) -> Result<(), AclFileError> {
        let _editing = self.editing();
        let users = file::load(self.file()?, self.shared.options.all_channels)?;
        self.publish(users);
        Ok(())
    }

    /// Saves the users to the ACL file. Blocks until they are there.
    pub(crate) fn save(&self) -> Result<(), AclFileError> {
        let _editing = self.editing();
        let users = self.users();
        file::save(self.file()?, users.iter().map(|user| &**user)).map_err(AclFileError::Save)
    }

    /// Whether a change of users is to be saved at once: with a state directory, and no ACL file.
    pub(crate) fn saves_changes(&self) -> bool {
        self.shared.options.beside.is_some()
    }

    /// Why a change of this user will not outlast the process, where users are kept in the state.
    pub(crate) fn why_lost(&self, name: &str) -> Option<&'static str> {
        let beside = self.shared.options.beside.as_ref()?;
        if beside.named.contains(name) {
            return Some("the configuration names this user");
        }
        let is_default = name == DEFAULT_USER && beside.requirepass;
        is_default.then_some("the password of this user is the one of 'requirepass'")
    }

    /// The users for the state: those that were changed and that the configuration does not name.
    pub(crate) fn for_state(&self, loaded: &[UserLine]) -> Vec<UserLine> {
        let Some(beside) = &self.shared.options.beside else {
            return Vec::new();
        };
        let mut lines = self.lines(loaded);
        lines.retain(|line| line.is_edited && !beside.named.contains(&line.name));
        lines
    }

    /// What the `user` lines of the configuration must say now, given what they said when they were loaded.
    #[must_use]
    pub fn lines(&self, loaded: &[UserLine]) -> Vec<UserLine> {
        if self.shared.options.file.is_some() {
            return loaded.to_vec();
        }
        let users = self.users();
        let line = |user: &Arc<User>| {
            let before = loaded.iter().find(|line| *line.name == **user.name());
            match user.is_edited {
                false => before.cloned(),
                true => Some(UserLine {
                    rules: user.rules(),
                    is_edited: true,
                    ..before
                        .cloned()
                        .unwrap_or_else(|| UserLine::unplaced(user.name().to_string()))
                }),
            }
        };
        users.iter().filter_map(line).collect()
    }

    /// Notes a refusal for `ACL LOG`.
    pub(crate) fn note_refusal(
        &self,
        reason: Reason,
        object: &[u8],
        user: &[u8],
        client: Vec<u8>,
        now_ms: u64,
    ) {
        self.log().add(reason, object, user, client, now_ms);
    }

    /// The latest refusals.
    pub(crate) fn refusals(&self, max: usize) -> Vec<LogEntry> {
        self.log().latest(max)
    }

    pub(crate) fn forget_refusals(&self) {
        self.log().clear();
    }

    fn file(&self) -> Result<&Path, AclFileError> {
        self.shared.options.file.as_deref().ok_or(AclFileError::None)
    }

    /// Makes these the users. The caller holds the lock on editing.
    fn publish(&self, by_name: BTreeMap<Arc<str>, Arc<User>>) {
        let generation = self.users().generation + 1;
        self.shared.users.store(Arc::new(Users::new(generation, by_name)));
        // After the snapshot: who sees this number finds that snapshot or a later one.
        self.shared.generation.store(generation, Ordering::Release);
    }

    fn editing(&self) -> MutexGuard<'_, ()> {
        self.shared.editing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beside {
    /// `None` where changes are kept in another place.
    fn of(options: &DaemonOptions) -> Option<Self> {
        let is_it = options.state_dir.is_some() && options.aclfile.is_none();
        let named = options.users.iter().filter(|user| !user.is_edited);
        is_it.then(|| Self {
            named: named.map(|user| user.name.clone()).collect(),
            requirepass: options
                .requirepass
                .as_ref()
                .is_some_and(|it| !it.expose().is_empty()),
        })
    }
}

impl Users {
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(std::str::from_utf8(name).ok()?)
    }

    /// All users by name.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.by_name.values()
    }

    fn new(generation: u64, by_name: BTreeMap<Arc<str>, Arc<User>>) -> Self {
        // It always is among them; were it not, nobody should come in for that.
        let default_user = by_name.get(DEFAULT_USER).cloned();
        Self {
            generation,
            default_user: default_user.unwrap_or_else(|| Arc::new(User::new(DEFAULT_USER, false))),
            by_name,
        }
    }
}

/// The users of `user` lines.
fn configured(lines: &[UserLine], all_channels: bool) -> Result<BTreeMap<Arc<str>, Arc<User>>, AccessError> {
    let everyone = Arc::new(User::everyone());
    let mut users = BTreeMap::from([(Arc::clone(everyone.name()), everyone)]);
    for line in lines {
        let refuse = |problem: String| AccessError::User {
            file: line.file.clone(),
            line: line.line,
            name: line.name.clone(),
            problem,
        };
        let mut user = User::new(&line.name, all_channels);
        let rules = line.rules.iter().map(String::as_bytes);
        rules::follow(&mut user, rules, all_channels).map_err(|error| refuse(error.in_public()))?;
        user.is_edited = line.is_edited;
        if !user.is_on {
            tracing::warn!(
                "The user '{}' is disabled (there is no 'on' modifier in the user description). Make sure this is not a \
                 configuration error.",
                line.name
            );
        }
        users.insert(Arc::clone(&user.name), Arc::new(user));
    }
    Ok(users)
}

/// Has the default user need the password of `requirepass`. Unlike Sentinel, which lets everyone in if a line beside
/// it says so: that line is often one that Sentinel wrote by itself before the password was set. A password in that line
/// counts alone, as there; unless the line `is_older`: from the state, while `requirepass` was read just now.
fn require_password(users: &mut BTreeMap<Arc<str>, Arc<User>>, requirepass: Option<&Secret>, is_older: bool) {
    let Some(password) = requirepass.filter(|password| !password.expose().is_empty()) else {
        return;
    };
    if let Some(user) = users
        .get_mut(DEFAULT_USER)
        .filter(|user| user.is_open || is_older)
    {
        let user = Arc::make_mut(user);
        user.is_open = false;
        user.passwords = vec![password::Digest::of(password.expose().as_bytes())];
    }
}

#[cfg(test)]
mod tests;
