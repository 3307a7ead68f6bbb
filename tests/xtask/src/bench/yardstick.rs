//! What others do on this machine: openssl's SHA-256, and rsync to a daemon on loopback.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::project::{describe, output};

use super::data::{self, Sizes};
use super::row::Figure;

/// The seconds that `openssl dgst -sha256` takes, the file being in memory.
pub(crate) fn openssl_sha256(file: &Path) -> Result<Figure, Failure> {
    let start = Instant::now();
    output(Command::new("openssl").args(["dgst", "-sha256"]).arg(file))?;
    Ok(Figure::Seconds(start.elapsed().as_secs_f64()))
}

/// An rsync daemon with one writable module, `bench`; ends when dropped.
pub(crate) struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    /// Starts it over the folder `scratch/rsync`.
    pub(crate) fn start(scratch: &Path) -> Result<Self, Failure> {
        let folder = scratch.join("rsync");
        fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
        let config = scratch.join("rsyncd.conf");
        fs::write(&config, configuration(&folder)?).map_err(Failure::file(&config))?;
        let port = free_port()?;
        let mut command = Command::new("rsync");
        command
            .args(["--daemon", "--no-detach", "--address=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--config={}", config.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().map_err(Failure::io(describe(&command)))?;
        let daemon = Self { child, port };
        daemon.wait_until_it_listens()?;
        Ok(daemon)
    }

    fn wait_until_it_listens(&self) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                Ok(_) => return Ok(()),
                Err(_) if start.elapsed() < Duration::from_secs(10) => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(Failure::io("the rsync daemon")(error)),
            }
        }
    }

    fn address(&self, name: &str) -> String {
        format!("rsync://127.0.0.1:{}/bench/{name}", self.port)
    }

    /// The seconds to copy a folder there, every file synced.
    pub(crate) fn copy_synced(&self, folder: &Path, name: &str) -> Result<Figure, Failure> {
        let start = Instant::now();
        let mut from = folder.as_os_str().to_owned();
        from.push("/");
        output(Command::new("rsync").args(["-r", "--fsync"]).arg(from).arg(self.address(name)))?;
        Ok(Figure::Seconds(start.elapsed().as_secs_f64()))
    }

    /// The bytes sent to bring the daemon's copy of a file to its present content.
    pub(crate) fn send(&self, file: &Path, name: &str) -> Result<Figure, Failure> {
        let mut command = Command::new("rsync");
        command.args(["--ignore-times", "--stats"]).arg(file).arg(self.address(name));
        // Grouping of digits depends on the locale.
        let answer = output(command.env("LC_ALL", "C"))?;
        bytes_sent(&answer).map(Figure::Bytes).ok_or_else(|| Failure::Answer {
            from: describe(&command),
            wanted: "Total bytes sent",
            got: answer,
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(folder: &Path) -> Result<String, Failure> {
    let owner = fs::metadata(folder).map_err(Failure::file(folder))?;
    // Only root may choose whom the daemon acts as, and only root needs to.
    let acts_as = if owner.uid() == 0 { "uid = 0\ngid = 0\n" } else { "" };
    let path = folder.display();
    Ok(format!("use chroot = no\n{acts_as}[bench]\npath = {path}\nread only = no\n"))
}

pub(crate) fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(Failure::io("a free port"))
}

fn bytes_sent(stats: &str) -> Option<u64> {
    let line = stats.lines().find_map(|line| line.strip_prefix("Total bytes sent: "))?;
    line.chars().filter(|c| *c != ',').collect::<String>().trim().parse().ok()
}

/// Every yardstick by itself, to see what a machine gives.
pub(crate) fn all(scratch: &Path, sizes: &Sizes) -> Result<Vec<(&'static str, Figure)>, Failure> {
    let large = scratch.join("large.bin");
    data::file(&large, sizes.large, 1)?;
    let hashing = openssl_sha256(&large)?;
    let daemon = Daemon::start(scratch)?;
    let small: PathBuf = scratch.join("small");
    data::small_files(&small, sizes.small_files, sizes.small, 2)?;
    let copying = daemon.copy_synced(&small, "small")?;
    let edited = scratch.join("edited.bin");
    data::file(&edited, sizes.edited, 3)?;
    let first = daemon.send(&edited, "edited.bin")?;
    data::overwrite(&edited, sizes.edited / 2, sizes.edit, 4)?;
    let overwritten = daemon.send(&edited, "edited.bin")?;
    data::insert(&edited, sizes.edited / 100, sizes.edit, 5)?;
    let inserted = daemon.send(&edited, "edited.bin")?;
    Ok(vec![
        ("openssl dgst -sha256, the large file", hashing),
        ("rsync --fsync, the small files", copying),
        ("rsync, the file at first", first),
        ("rsync, after the overwrite", overwritten),
        ("rsync, after the insertion", inserted),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsyncs_figures_are_read() {
        let stats = "Total file size: 5\nTotal bytes sent: 2,345,678\nTotal bytes received: 1\n";
        assert_eq!(bytes_sent(stats), Some(2_345_678));
        assert_eq!(bytes_sent("sent 12 bytes"), None);
    }
}
