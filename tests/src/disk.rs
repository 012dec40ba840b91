//! A small file system that can be filled up: a tmpfs mounted on a directory, for tests of a full disk.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// A few dozen pages: enough for every state file of a coordinator, filled in one go.
const SIZE: &str = "size=256k";

/// A mounted tmpfs; unmounted on drop.
pub struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Mounts a small tmpfs on `dir`, which must exist.
    ///
    /// # Errors
    /// When the process may not mount: this needs root (CAP_SYS_ADMIN).
    pub fn mount(dir: &Path) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a full disk is tested on a tmpfs of its own, and only root may mount one: run this test as root"
        );
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(dir)
            .output()
            .context("running mount")?;
        if !done.status.success() {
            bail!(
                "mounting a tmpfs on {} failed (CAP_SYS_ADMIN is needed): {}",
                dir.display(),
                String::from_utf8_lossy(&done.stderr)
            );
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Writes until nothing more fits.
    ///
    /// # Errors
    /// When writing fails for another reason than the full disk.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.ballast()).context("creating the ballast")?;
        loop {
            match file.write(&[0; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("filling the disk"),
            }
        }
    }

    /// Gives the space back.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("removing the ballast")
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since a process that is just being killed may still hold its directory.
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}
