//! The ACL file: one line for each user.
//!
//! Reads and writes the file. What is in it counts as a whole or not at all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::rules::{self, MAX_USER_BYTES};
use super::user::User;
use super::{DEFAULT_USER, MAX_USERS};
use crate::disk::{SaveError, replace};
use crate::small_file;

/// Longest file that is read: more than all users with all their rules. Passwords in the clear and remarks are
/// shorter than that.
const MAX_FILE_BYTES: u64 = (MAX_USERS * MAX_USER_BYTES * 2) as u64;

/// How many errors are told of. The reply is one line, which nobody reads to the end.
const MAX_ERRORS: usize = 20;

/// Why a file cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("Error loading ACLs, opening file '{}'", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Some of its lines are wrong; each with the file and its number.
    #[error("{0}WARNING: ACL errors detected, no change to the previously active ACL rules was performed")]
    Lines(String),
}

/// Reads all users of a file.
pub(super) fn load(path: &Path, all_channels: bool) -> Result<BTreeMap<Arc<str>, Arc<User>>, FileError> {
    let text = small_file::read_small_text(path, MAX_FILE_BYTES).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, &path.display().to_string(), all_channels)
}

/// Replaces a file by one with these users. After a crash at any moment either the old or the new one is there.
pub(super) fn save<'a>(path: &Path, users: impl Iterator<Item = &'a User>) -> Result<(), SaveError> {
    let text: String = users.map(|user| format!("{user}\n")).collect();
    // The file behind a symbolic link is replaced, not the link.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    replace::replace(&path, text.as_bytes(), None)
}

fn parse(text: &str, name: &str, all_channels: bool) -> Result<BTreeMap<Arc<str>, Arc<User>>, FileError> {
    let mut users = BTreeMap::new();
    let (mut errors, mut count) = (String::new(), 0);
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let problem = match read_line(line, all_channels) {
            Ok(user) if users.contains_key(&user.name) => {
                format!("{name}:{number}: Duplicate user '{}' found. ", user.name)
            }
            Ok(_) if users.len() == MAX_USERS => format!("{name}:{number}: more than {MAX_USERS} users. "),
            Ok(user) => {
                users.insert(Arc::clone(&user.name), Arc::new(user));
                continue;
            }
            Err(problem) => format!("{name}:{number}: {problem}. "),
        };
        count += 1;
        if count <= MAX_ERRORS {
            // Writing to memory cannot fail.
            let _ = write!(errors, "{problem}");
        }
    }
    if count > 0 {
        return Err(FileError::Lines(errors));
    }
    // As Sentinel, a file that does not name the default user leaves it open.
    users
        .entry(DEFAULT_USER.into())
        .or_insert_with(|| Arc::new(User::everyone()));
    Ok(users)
}

fn read_line(line: &str, all_channels: bool) -> Result<User, String> {
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let (Some("user"), Some(name)) = (words.next(), words.next()) else {
        return Err("line should start with user keyword followed by the username".to_owned());
    };
    if !rules::is_name(name.as_bytes()) {
        return Err(format!("username '{name}' contains invalid characters"));
    }
    let mut user = User::new(name, all_channels);
    rules::follow(&mut user, words.map(str::as_bytes), all_channels).map_err(|error| error.in_public())?;
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_line_is_named_and_nothing_is_taken() {
        let text = "# ours\nuser a on >x +ping\nusr b\nuser c +nope\nuser a off\nuser d (+ping\n";
        let error = parse(text, "f", false).expect_err("wrong lines").to_string();
        assert_eq!(
            error,
            "f:3: line should start with user keyword followed by the username. \
             f:4: Unknown command or category name in ACL (rule 1, '+nope'). f:5: Duplicate user 'a' found. \
             f:6: Unmatched parenthesis in acl selector starting at '(+ping'.. \
             WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
        );
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let text = "user default off\nuser bob on >pw ~k* %R~r &a* +@all -@dangerous +sentinel|masters (+info &b)\n\
                    user eve skip-sanitize-payload nopass";
        let users = parse(text, "f", false).expect("good lines");
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("users.acl");
        save(&path, users.values().map(|user| &**user)).expect("saved");
        assert_eq!(load(&path, true).expect("good lines"), users);
        let saved = std::fs::read_to_string(path).expect("the file");
        assert_eq!(saved.lines().count(), 3);
        assert!(!saved.contains(">pw"));
    }

    #[test]
    fn a_file_without_the_default_user_leaves_it_open() {
        let users = parse("", "f", false).expect("nothing is wrong");
        assert!(users[DEFAULT_USER].admits_all());
    }

    #[test]
    fn what_is_no_regular_file_is_neither_loaded_nor_replaced() {
        let place = tempfile::tempdir().expect("a directory");
        let pipe = small_file::tests::pipe(place.path());
        let error = crate::daemon::chain(&load(&pipe, true).expect_err("a pipe"));
        let name = pipe.display();
        assert_eq!(
            error,
            format!("Error loading ACLs, opening file '{name}': it is a named pipe and no regular file")
        );
        let error = save(&pipe, std::iter::empty()).expect_err("a pipe").to_string();
        assert_eq!(
            error,
            format!("cannot replace {name}: it is a named pipe and no regular file")
        );
    }

    #[test]
    fn errors_are_counted_and_not_all_told() {
        let error = parse(&"x\n".repeat(100_000), "f", false).expect_err("wrong lines");
        assert_eq!(error.to_string().matches("f:").count(), MAX_ERRORS);
    }
}
