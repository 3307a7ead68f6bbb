//! Shares.

use api_types::Patch;
use api_types::v1::shares::{CreateShare, NamePolicyName, PatchShareSettings, ShareType};

use crate::args::{PolicyArgument, ShareCommand, TypeArgument};
use crate::commands::Desk;
use crate::failure::Failure;
use crate::output;
use crate::place::Place;

pub(crate) async fn list(desk: &Desk) -> Result<(), Failure> {
    let shares = desk.client()?.my_shares().await?;
    desk.output.show(&shares, || {
        let line = |share: &api_types::v1::users::MyShare| {
            let role = format!("{:?}", share.role).to_lowercase();
            let used = output::size(share.used_bytes);
            format!("{}  {role:<11}  {used:>10}  {}", share.id, share.name)
        };
        shares.shares.iter().map(line).collect()
    })
}

pub(crate) async fn run(desk: &Desk, command: ShareCommand) -> Result<(), Failure> {
    let client = desk.client()?;
    match command {
        ShareCommand::Create { name, share_type, owner, description, quota, name_policy } => {
            let owner_id = match owner {
                Some(owner) => owner,
                None => client.me().await?.id,
            };
            let name_policy = match name_policy {
                PolicyArgument::Portable => NamePolicyName::Portable,
                PolicyArgument::Any => NamePolicyName::Any,
            };
            let settings = PatchShareSettings {
                name_policy: Patch::Set(name_policy),
                ..PatchShareSettings::default()
            };
            let share = client
                .create_share(&CreateShare {
                    name,
                    share_type: match share_type {
                        TypeArgument::Project => ShareType::Project,
                        TypeArgument::Central => ShareType::Central,
                    },
                    owner_id,
                    description,
                    quota_bytes: quota,
                    is_public: false,
                    settings: Some(settings),
                })
                .await?;
            desk.output.show(&share, || vec![format!("made {} ({})", share.name, share.id)])
        }
        ShareCommand::Delete { share } => {
            let place = Place::read(&client, &share).await?;
            client.delete_share(&place.share.id, false).await?;
            desk.output.message(&format!("{} is in the trash", place.share.name));
            Ok(())
        }
    }
}
