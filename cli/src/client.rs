//! Which client speaks with a controller: the two options that choose one, and connecting.

use clap::{ArgMatches, Command, ValueHint};
use jumpstarter_lease::{Access, Choice, Chosen, Controller, Unusable, choose};

use crate::{
    files::environment,
    report::Stop,
    runtime,
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

/// Everything that is needed to speak with its controller.
pub(crate) fn access(choice: &Choice) -> Result<Access, Stop> {
    let chosen = chosen(choice)?;
    tracing::debug!(alias = chosen.alias, file = ?chosen.file, "this client was chosen");
    Ok(Access::new(&chosen, &environment)?)
}

/// Does something with the controller of a client.
pub(crate) fn with<T>(
    choice: &Choice,
    what: impl AsyncFnOnce(&Controller) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let access = access(choice)?;
    runtime::single()?.block_on(async {
        let controller = Controller::connect(access).await?;
        what(&controller).await
    })
}

impl From<Unusable> for Stop {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Problems(problems) => Self::Problems(problems),
            Unusable::Failed(message) | Unusable::Nobody(message) => Self::failed(message),
        }
    }
}
