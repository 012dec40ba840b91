//! What the numbers were measured on.

use std::fs;
use std::process::Command;

use serde::Serialize;

use crate::program;

/// The machine and the programs of a measurement, in words.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Processor model as the kernel names it.
    pub cpu: String,
    /// Processors available to this process.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Kernel name and release.
    pub kernel: String,
    /// The first line of `redis-server --version`.
    pub redis: String,
    /// The first line of `bellwether --version`.
    pub bellwether: String,
}

impl Machine {
    /// Looks at the machine this runs on; what cannot be told is `unknown`.
    pub fn describe() -> Self {
        let field = |path: &str, key: &str| -> Option<String> {
            let text = fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let unknown = || "unknown".to_owned();
        let uname = rustix::system::uname();
        let memory_kib = field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0);
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory_kib / 1024,
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            redis: program::redis_server()
                .ok()
                .and_then(|path| version(&path))
                .unwrap_or_else(unknown),
            bellwether: program::bellwether()
                .ok()
                .and_then(|path| version(&path))
                .unwrap_or_else(unknown),
        }
    }
}

fn version(program: &std::path::Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}
