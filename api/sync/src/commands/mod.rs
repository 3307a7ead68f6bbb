//! One function for each command.

mod change;
mod get;
mod history;
mod login;
mod look;
mod put;
mod shares;
mod sync;

use api_client::Client;
use node_world::World;

use crate::args::{Arguments, Command, Global};
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

/// What every command has at hand.
pub(crate) struct Desk {
    pub(crate) world: World,
    pub(crate) global: Global,
    pub(crate) output: Output,
}

impl Desk {
    fn client(&self) -> Result<Client, Failure> {
        session::client(&self.world, &self.global)
    }
}

/// Does what was asked.
pub(crate) async fn run(world: World, arguments: Arguments, output: Output) -> Result<(), Failure> {
    let desk = Desk { world, global: arguments.global, output };
    // Boxed: the command with the largest future must not make every future that large.
    match arguments.command {
        Command::Login { urls, device } => Box::pin(login::login(&desk, urls, device)).await,
        Command::Logout => login::logout(&desk),
        Command::Whoami => Box::pin(login::whoami(&desk)).await,
        Command::Shares => Box::pin(shares::list(&desk)).await,
        Command::Share { command } => Box::pin(shares::run(&desk, command)).await,
        Command::Ls { place, long } => Box::pin(look::ls(&desk, &place, long)).await,
        Command::Stat { place } => Box::pin(look::stat(&desk, &place)).await,
        Command::Cat { place, version } => Box::pin(look::cat(&desk, &place, version)).await,
        Command::Mkdir { place, parents } => Box::pin(change::mkdir(&desk, &place, parents)).await,
        Command::Rm { places, recursive, permanent } => {
            Box::pin(change::rm(&desk, &places, recursive, permanent)).await
        }
        Command::Mv { from, to } => Box::pin(change::mv(&desk, &from, &to)).await,
        Command::Cp { from, to } => Box::pin(change::cp(&desk, &from, &to)).await,
        Command::Put { files, place, recursive } => {
            Box::pin(put::put(&desk, &files, &place, recursive)).await
        }
        Command::Get { place, target, recursive, version } => {
            Box::pin(get::get(&desk, &place, target, recursive, version)).await
        }
        Command::Versions { place } => Box::pin(history::versions(&desk, &place)).await,
        Command::Restore { place, version } => {
            Box::pin(history::restore(&desk, &place, version)).await
        }
        Command::Trash { share, purge } => Box::pin(history::trash(&desk, &share, purge)).await,
        Command::Sync(arguments) => Box::pin(sync::sync(&desk, arguments)).await,
    }
}
