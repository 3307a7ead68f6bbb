//! Who is signed in where: kept in the user's configuration, readable by the user alone.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use api_client::{BuildError, Client, Credentials, Keeper, Kept, Patience, Settings};
use api_types::v1::auth::Tokens;
use directories::ProjectDirs;
use node_world::World;
use serde::{Deserialize, Serialize};

use crate::args::Global;
use crate::disk;
use crate::engine::WorldMachine;
use crate::failure::{Exit, Failure};

/// More than this is no file of ours.
const FILE_MAX: usize = 1 << 20;

/// What login keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) addresses: Vec<String>,
    pub(crate) access_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
}

fn folders() -> Result<ProjectDirs, Failure> {
    ProjectDirs::from("", "", "scaidrive")
        .ok_or_else(|| Failure::new(Exit::Failed, "this user has no home folder"))
}

fn file() -> Result<PathBuf, Failure> {
    Ok(folders()?.config_dir().join("session.json"))
}

/// Where the state of folders that are kept in step is.
pub(crate) fn state_folder() -> Result<PathBuf, Failure> {
    let folders = folders()?;
    let folder = folders.state_dir().unwrap_or_else(|| folders.data_local_dir()).to_owned();
    disk::make_folders(&folder).map_err(|error| Failure::file("making", &folder, &error))?;
    Ok(folder)
}

/// The folders in which this program keeps its own things, as the machine knows them.
pub(crate) fn own_folders() -> Result<Vec<PathBuf>, Failure> {
    let config = folders()?.config_dir().to_owned();
    let own = [config, state_folder()?];
    Ok(own.into_iter().filter_map(|folder| disk::absolute(&folder).ok()).collect())
}

/// What the last login kept, if there was one.
pub(crate) fn load() -> Result<Option<Saved>, Failure> {
    let path = file()?;
    match disk::look(&path) {
        Ok(None) => return Ok(None),
        Ok(Some(_)) => {}
        Err(error) => return Err(Failure::file("reading", &path, &error)),
    }
    let bytes = disk::read_small(&path, FILE_MAX)
        .map_err(|error| Failure::file("reading", &path, &error))?
        .unwrap_or_default();
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Failure::new(Exit::Failed, format!("{} cannot be read: {error}", path.display()))
            .hint("sign in again: scaidrive login URL")
    })
}

pub(crate) fn save(saved: &Saved) -> Result<(), Failure> {
    let path = file()?;
    write(&path, saved).map_err(|error| Failure::file("writing", &path, &error))
}

fn write(path: &Path, saved: &Saved) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        disk::make_folders(folder)?;
    }
    disk::write_private(path, &serde_json::to_vec_pretty(saved)?)
}

pub(crate) fn forget() -> Result<(), Failure> {
    let path = file()?;
    disk::remove_private(&path).map_err(|error| Failure::file("removing", &path, &error))
}

/// A client of the server that flags, environment or the last login name.
pub(crate) fn client(world: &World, global: &Global) -> Result<Client, Failure> {
    let saved = load()?;
    let addresses = match (&saved, global.server.is_empty()) {
        (_, false) => global.server.clone(),
        (Some(saved), true) => saved.addresses.clone(),
        (None, true) => {
            return Err(Failure::new(Exit::NotAllowed, "nobody is signed in")
                .hint("sign in first: scaidrive login URL"));
        }
    };
    let credentials = match (&global.token, saved) {
        (Some(token), _) => {
            Credentials { access_token: Some(token.clone()), ..Credentials::default() }
        }
        // A kept token goes to the server it is of, and to no other.
        (None, Some(saved)) if addresses.iter().all(|to| saved.addresses.contains(to)) => {
            kept(world, saved)
        }
        (None, _) => {
            let text = format!("there is no token for {}", addresses.join(", "));
            return Err(Failure::new(Exit::NotAllowed, text)
                .hint("sign in there: scaidrive login URL, or give --token"));
        }
    };
    build(world, global, addresses, credentials)
}

/// The kept credentials, which keep themselves when they are renewed.
fn kept(world: &World, saved: Saved) -> Credentials {
    Credentials {
        access_token: Some(saved.access_token.clone()),
        refresh_token: saved.refresh_token.clone(),
        client_id: saved.client_id.clone(),
        keeper: Some(Arc::new(SessionFile { world: world.clone(), saved })),
    }
}

/// The file of the last login, which several runs may use at a time.
struct SessionFile {
    world: World,
    /// As it was when this run began.
    saved: Saved,
}

impl SessionFile {
    /// What is in it now, unless somebody has signed in elsewhere since.
    fn now(&self) -> Option<Saved> {
        load().ok().flatten().filter(|now| now.addresses == self.saved.addresses)
    }
}

impl Keeper for SessionFile {
    fn hold(&self) -> Pin<Box<dyn Future<Output = Box<dyn Send>> + Send + '_>> {
        Box::pin(async {
            let lock = || {
                let path = file()?.with_extension("lock");
                disk::lock(&path).map_err(|error| Failure::file("locking", &path, &error))
            };
            match self.world.blocking(lock).await {
                Ok(lock) => Box::new(lock) as Box<dyn Send>,
                Err(failure) => {
                    tracing::debug!(reason = failure.line(), "the session cannot be locked");
                    Box::new(())
                }
            }
        })
    }

    fn load(&self) -> Option<Kept> {
        let Saved { access_token, refresh_token, .. } = self.now()?;
        Some(Kept { access_token, refresh_token })
    }

    fn keep(&self, tokens: &Tokens) {
        // Who has signed out or in elsewhere meanwhile is left so.
        let Some(mut saved) = self.now() else { return };
        saved.access_token.clone_from(&tokens.access_token);
        if tokens.refresh_token.is_some() {
            saved.refresh_token.clone_from(&tokens.refresh_token);
        }
        if let Err(failure) = save(&saved) {
            tracing::warn!(reason = failure.line(), "the renewed token was not kept");
        }
    }
}

/// A client of these addresses.
pub(crate) fn build(
    world: &World,
    global: &Global,
    addresses: Vec<String>,
    credentials: Credentials,
) -> Result<Client, Failure> {
    let mut extra_roots_pem = Vec::new();
    if let Some(path) = &global.ca_cert {
        let pem = disk::read_small(path, FILE_MAX)
            .map_err(|error| Failure::file("reading", path, &error))?;
        extra_roots_pem.push(pem.unwrap_or_default());
    }
    let settings = Settings {
        addresses,
        credentials,
        patience: Patience::default(),
        extra_roots_pem,
        user_agent: format!("scaidrive/{}", env!("CARGO_PKG_VERSION")),
    };
    Client::new(settings, WorldMachine(world.clone())).map_err(|error| {
        let exit = match error {
            BuildError::NoAddress | BuildError::Address { .. } => Exit::Usage,
            BuildError::Certificate(_) | BuildError::Protocol(_) | BuildError::Tls(_) => {
                Exit::Failed
            }
        };
        Failure::new(exit, error.to_string())
    })
}

/// What this machine calls itself, in characters that names and ids may have.
pub(crate) fn device() -> String {
    let told = std::env::var("SCAIDRIVE_DEVICE").or_else(|_| std::env::var("HOSTNAME"));
    let name = told.ok().or_else(|| {
        let bytes = disk::read_small(Path::new("/proc/sys/kernel/hostname"), 256).ok()??;
        String::from_utf8(bytes).ok()
    });
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '_';
    let name: String = name.unwrap_or_default().chars().filter(plain).take(40).collect();
    if name.is_empty() { "computer".to_owned() } else { name }
}
