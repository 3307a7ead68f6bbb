//! What people type.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Files on a ScaiDrive server, from the command line.
#[derive(Debug, Parser)]
#[command(
    name = "scaidrive",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  scaidrive login https://drive.example.com\n  \
                  scaidrive share create Team\n  scaidrive sync ./team Team --once\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not signed in or not allowed,\n\
                  4 not found, 5 conflict or already exists, 6 unavailable, 7 quota or budget"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The server; several addresses of one cluster are separated by commas
    #[arg(long, global = true, env = "SCAIDRIVE_URL", value_delimiter = ',', value_name = "URL")]
    pub(crate) server: Vec<String>,
    /// An access token, instead of the one that login keeps
    #[arg(long, global = true, env = "SCAIDRIVE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file of certificates in PEM that are trusted beside those of this machine
    #[arg(long, global = true, env = "SCAIDRIVE_CA_CERT", value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// One JSON document, or one a line, on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in to a server, in a browser, by a code, or with --token
    #[command(after_help = "Example:\n  scaidrive login http://127.0.0.1:8000\n  \
                            scaidrive login https://a.example.com https://b.example.com")]
    Login {
        /// The server; with the addresses of several nodes of one cluster, another is asked where
        /// one does not answer
        #[arg(value_name = "URL", required = true, value_delimiter = ',')]
        urls: Vec<String>,
        /// Show a code to be entered in a browser elsewhere
        #[arg(long)]
        device: bool,
    },
    /// Forget the server and its token
    #[command(after_help = "Example:\n  scaidrive logout")]
    Logout,
    /// Who is signed in, and where
    #[command(after_help = "Example:\n  scaidrive whoami --json")]
    Whoami,
    /// List the shares you are a member of
    #[command(after_help = "Example:\n  scaidrive shares")]
    Shares,
    /// Make and change shares
    #[command(after_help = "Example:\n  scaidrive share create Team")]
    Share {
        #[command(subcommand)]
        command: ShareCommand,
    },
    /// List a folder
    #[command(after_help = "Example:\n  scaidrive ls Team:/reports")]
    Ls {
        #[arg(value_name = "SHARE[:/PATH]")]
        place: String,
        /// With sizes and times
        #[arg(short, long)]
        long: bool,
    },
    /// Show all that is known of a file or folder
    #[command(after_help = "Example:\n  scaidrive stat Team:/reports/may.pdf")]
    Stat {
        #[arg(value_name = "SHARE[:/PATH]")]
        place: String,
    },
    /// Make a folder
    #[command(after_help = "Example:\n  scaidrive mkdir -p Team:/reports/2026")]
    Mkdir {
        #[arg(value_name = "SHARE:/PATH")]
        place: String,
        /// Make the folders above it too; that it is there already is as good
        #[arg(short, long)]
        parents: bool,
    },
    /// Move a file or folder to the trash
    #[command(after_help = "Example:\n  scaidrive rm -r Team:/old")]
    Rm {
        #[arg(value_name = "SHARE:/PATH", required = true)]
        places: Vec<String>,
        /// Folders too, with all that is in them
        #[arg(short, long)]
        recursive: bool,
        /// For good, past the trash
        #[arg(long)]
        permanent: bool,
    },
    /// Move or rename
    #[command(after_help = "Example:\n  scaidrive mv Team:/draft.txt Team:/final/")]
    Mv {
        #[arg(value_name = "SHARE:/PATH")]
        from: String,
        #[arg(value_name = "SHARE:/PATH")]
        to: String,
    },
    /// Copy; no bytes move
    #[command(after_help = "Example:\n  scaidrive cp Team:/form.txt Other:/")]
    Cp {
        #[arg(value_name = "SHARE:/PATH")]
        from: String,
        #[arg(value_name = "SHARE:/PATH")]
        to: String,
    },
    /// Write a file's content to standard output
    #[command(after_help = "Example:\n  scaidrive cat Team:/notes.txt")]
    Cat {
        #[arg(value_name = "SHARE:/PATH")]
        place: String,
        /// An old version
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// Upload files; only what the server lacks travels
    #[command(after_help = "Example:\n  scaidrive put disk.img Team:/images/\n  \
                            scaidrive put -r ./photos Team:/\n\n\
                            A folder goes into a folder that is there, under its own name. One \
                            that has its name already is brought up to date, unless the place \
                            ends with a slash. What is there is not sent again.")]
    Put {
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        #[arg(value_name = "SHARE:/PATH")]
        place: String,
        /// Folders too, with all that is in them
        #[arg(short, long)]
        recursive: bool,
    },
    /// Download a file or folder; only what is not here travels
    #[command(after_help = "Example:\n  scaidrive get Team:/images/disk.img\n  \
                            scaidrive get -r Team:/photos ./photos\n\n\
                            A folder goes into a folder that is there, under its own name. One \
                            that has its name already is brought up to date, unless the target \
                            ends with a slash.")]
    Get {
        #[arg(value_name = "SHARE:/PATH")]
        place: String,
        #[arg(value_name = "FILE")]
        target: Option<PathBuf>,
        /// Folders too, with all that is in them
        #[arg(short, long)]
        recursive: bool,
        /// An old version
        #[arg(long, value_name = "N", conflicts_with = "recursive")]
        version: Option<u32>,
    },
    /// List a file's versions
    #[command(after_help = "Example:\n  scaidrive versions Team:/report.txt")]
    Versions {
        #[arg(value_name = "SHARE:/PATH")]
        place: String,
    },
    /// Bring back an old version, or something from the trash
    #[command(after_help = "Example:\n  scaidrive restore Team:/report.txt --version 3\n  \
                            scaidrive restore Team:/deleted.txt")]
    Restore {
        #[arg(value_name = "SHARE:/PATH")]
        place: String,
        /// The version whose content becomes the newest
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// List what was deleted
    #[command(after_help = "Example:\n  scaidrive trash Team")]
    Trash {
        #[arg(value_name = "SHARE")]
        share: String,
        /// Delete this for good
        #[arg(long, value_name = "ID")]
        purge: Option<String>,
    },
    /// Keep a folder and a share in step, both ways
    #[command(after_help = "Example:\n  scaidrive sync ./team Team --once --exclude target")]
    Sync(SyncArguments),
}

#[derive(Debug, Args)]
pub(crate) struct SyncArguments {
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    #[arg(value_name = "SHARE[:/PATH]")]
    pub(crate) place: String,
    /// Once, and no more
    #[arg(long, required = true)]
    pub(crate) once: bool,
    /// Leave alone what matches; a pattern without a slash matches at any depth
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Keep only this folder in step; may be given more than once
    #[arg(long, value_name = "FOLDER")]
    pub(crate) select: Vec<String>,
    /// Deletions are meant, even where they leave a side with nothing
    #[arg(long)]
    pub(crate) accept_deletions: bool,
    /// Bring both sides together as if for the first time, and delete nothing
    #[arg(long)]
    pub(crate) merge: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShareCommand {
    /// Make a share
    #[command(after_help = "Example:\n  scaidrive share create Team --name-policy any")]
    Create {
        name: String,
        #[arg(long = "type", value_enum, default_value = "project")]
        share_type: TypeArgument,
        /// A user's or group's id; you, if it is left out
        #[arg(long)]
        owner: Option<String>,
        #[arg(long)]
        description: Option<String>,
        #[arg(long, value_name = "BYTES")]
        quota: Option<u64>,
        /// portable: names that Windows, macOS and Linux can all hold; any: names byte for byte
        #[arg(long, value_enum, default_value = "portable")]
        name_policy: PolicyArgument,
    },
    /// Move a share to the trash
    #[command(after_help = "Example:\n  scaidrive share delete Team")]
    Delete {
        #[arg(value_name = "SHARE")]
        share: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TypeArgument {
    Project,
    Central,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PolicyArgument {
    Portable,
    Any,
}
