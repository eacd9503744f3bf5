//! Which client speaks with a controller: the two options that choose one, and connecting.

use clap::{ArgMatches, Command, ValueHint};
use jumpstarter_core::ErrorClass;
use jumpstarter_lease::{Access, Choice, Chosen, Controller, Unusable, choose};

use crate::{
    files::environment,
    report::Stop,
    runtime, tokens,
    waiting::waits,
    words::{Place, option},
};

/// `--client` and `--client-config`.
pub(crate) fn options(command: Command) -> Command {
    command
        .arg(option("client", "ALIAS", "Client, by the name of its file"))
        .arg(option("client-config", "FILE", "Client, by its file").value_hint(ValueHint::FilePath))
}

/// The client that the options name.
pub(crate) fn choice(matches: &ArgMatches, place: &Place) -> Result<Choice, Stop> {
    let text = |name| matches.get_one::<String>(name).cloned();
    match (text("client"), text("client-config")) {
        (Some(_), Some(_)) => {
            Err(place.wrong("Invalid value: only one of --client, --client-config should be specified"))
        }
        (Some(alias), None) => Ok(Choice::Alias(alias)),
        (None, Some(file)) => Ok(Choice::File(file.into())),
        (None, None) => Ok(Choice::Default),
    }
}

/// Finds a client and reads it.
pub(crate) fn chosen(choice: &Choice) -> Result<Chosen, Stop> {
    Ok(choose(choice, &environment)?)
}

/// Everything that is needed to speak with its controller. A token that has expired is renewed, if that asks nobody.
pub(crate) async fn access(choice: &Choice) -> Result<Access, Stop> {
    Ok(with_its_file(choice).await?.1)
}

/// The same, with the client that was chosen, for those whose token has to be renewed later.
pub(crate) async fn with_its_file(choice: &Choice) -> Result<(Chosen, Access), Stop> {
    let mut chosen = chosen(choice)?;
    tokens::renew(&mut chosen).await?;
    tracing::debug!(alias = chosen.alias, file = ?chosen.file, "this client was chosen");
    let access = Access::new(&chosen, &environment)?;
    Ok((chosen, access))
}

/// Connects to its controller. Whoever waits for that, or for the first answer, is told so.
pub(crate) async fn connect(access: Access) -> Result<Controller, Stop> {
    Ok(Controller::connect_showing(access, waits()).await?)
}

/// Does something with the controller of a client.
pub(crate) fn with<T>(
    choice: &Choice,
    what: impl AsyncFnOnce(&Controller) -> Result<T, Stop>,
) -> Result<T, Stop> {
    runtime::single()?.block_on(async {
        let controller = connect(access(choice).await?).await?;
        what(&controller).await
    })
}

impl From<Unusable> for Stop {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Problems(problems) => Self::Problems(problems),
            Unusable::Failed(message) | Unusable::Nobody(message) => {
                Self::of(ErrorClass::Configuration, message)
            }
        }
    }
}
