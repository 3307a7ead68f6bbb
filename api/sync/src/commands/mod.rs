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
use futures_util::{Stream, StreamExt};
use node_world::World;

use crate::args::{Arguments, Command, Global};
use crate::engine::{Engine, TransferError};
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

/// Ends a command that moved many files: what was moved is told also where something was not.
fn finish(desk: &Desk, engine: &Engine, mut problems: Vec<Failure>) -> Result<(), Failure> {
    engine.bar.finish_and_clear();
    desk.output.figures(&engine.figures())?;
    if problems.len() < 2 {
        return problems.pop().map_or(Ok(()), Err);
    }
    desk.output.some_of(problems.iter().map(|problem| format!("error: {}", problem.line())));
    let text = format!("{} things were not moved", problems.len());
    let first = problems.swap_remove(0);
    let failure = Failure::new(first.exit, text);
    Err(match first.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

/// Takes note of what became of files until nothing is left, or until something comes up that
/// every other file would meet, too.
async fn gather(
    mut results: impl Stream<Item = Vec<(String, TransferError)>> + Unpin,
    problems: &mut Vec<Failure>,
) {
    while let Some(failed) = results.next().await {
        let ends = failed.iter().any(|(_, error)| error.ends_the_run());
        problems.extend(failed.into_iter().map(|(path, error)| error.of(&path)));
        if ends {
            return;
        }
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
