//! `flash` of flashers: one image, or several with the partitions that they belong to.

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use jumpstarter_client::Device;
use jumpstarter_core::client::Client as _;
use jumpstarter_interfaces::{Compression, FlasherClient, StorageMuxFlasherClient};

use super::transfer::Transfers;
use crate::{
    report::{Outcome, Stop},
    words::Place,
};

/// Whose command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One that has partitions.
    Flasher,
    /// A medium, which is written as a whole.
    Medium,
}

const COMPRESSIONS: [(&str, Compression); 5] = [
    ("gzip", Compression::Gzip),
    ("xz", Compression::Xz),
    ("bz2", Compression::Bz2),
    ("zstd", Compression::Zstd),
    ("auto", Compression::Auto),
];

pub(super) fn arguments(command: Command) -> Command {
    let file = Arg::new("file")
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .help("The image: a file, or a URL that the exporter fetches");
    let target = Arg::new("target")
        .short('t')
        .long("target")
        .value_name("NAME:FILE")
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .help("A partition and the image for it, as often as needed");
    let names = COMPRESSIONS.map(|(name, _)| name);
    let compression = Arg::new("compression")
        .long("compression")
        .value_name(format!("[{}]", names.join("|")))
        .value_parser(names.to_vec())
        .ignore_case(true)
        .help("The images are packed like this; the exporter unpacks them");
    command.args([file, target, compression])
}

/// Flashes one image after the other.
pub(super) async fn flash(device: &Device, kind: Kind, matches: &ArgMatches, place: &Place) -> Outcome {
    let compression = matches.get_one::<String>("compression").and_then(|typed| {
        COMPRESSIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(typed)).map(|(_, it)| *it)
    });
    let images = images(
        matches.get_one::<String>("file").map(String::as_str),
        matches.get_many::<String>("target").unwrap_or_default().map(String::as_str),
    )
    .map_err(|reason| place.wrong(reason))?;
    if kind == Kind::Medium
        && let Some(name) = images.iter().find_map(|image| image.partition)
    {
        return Err(place.wrong(format!(
            "this medium is written as a whole and has no partition '{name}': leave out --target"
        )));
    }
    for Image { partition, file } in images {
        let mut transfers = Transfers::default();
        let source = transfers.source(file, compression.is_some()).await.map_err(|e| wrong(e, place))?;
        let flashed = match kind {
            Kind::Flasher => {
                let client = FlasherClient::from_target(device.target());
                client.flash_file(source, partition.map(str::to_owned), compression).await
            }
            Kind::Medium => {
                StorageMuxFlasherClient::from_target(device.target()).flash(source, compression).await
            }
        };
        flashed.map_err(|error| match partition {
            Some(name) => wrong(error.context(format_args!("partition '{name}'")), place),
            None => wrong(error, place),
        })?;
    }
    Ok(0)
}

/// A mistake of whoever typed the command is a mistake in the command line.
fn wrong(error: jumpstarter_core::Error, place: &Place) -> Stop {
    super::call::wrong(error, place)
}

#[derive(Debug, PartialEq, Eq)]
struct Image<'a> {
    partition: Option<&'a str>,
    file: &'a str,
}

fn images<'a>(
    file: Option<&'a str>,
    targets: impl Iterator<Item = &'a str>,
) -> Result<Vec<Image<'a>>, String> {
    let targets: Vec<_> = targets.collect();
    let unnamed = |name: &str| format!("the partition's name is empty in '{name}': write --target NAME:FILE");
    match (file, targets.as_slice()) {
        (None, []) => Err("Missing argument 'FILE': name an image, or write --target NAME:FILE.".to_owned()),
        (Some(file), []) => Ok(vec![Image { partition: None, file }]),
        // One image for one partition can be said in two words.
        (Some(_), [name]) if name.is_empty() => Err(unnamed(name)),
        (Some(file), [name]) if !name.contains(':') => Ok(vec![Image { partition: Some(name), file }]),
        (Some(_), _) => Err("give FILE, or --target NAME:FILE for each image, but not both".to_owned()),
        (None, targets) => targets
            .iter()
            .map(|target| match target.split_once(':') {
                Some(("", _)) => Err(unnamed(target)),
                Some((_, "")) | None => Err(format!("Invalid target spec '{target}', expected NAME:FILE")),
                Some((name, file)) => Ok(Image { partition: Some(name), file }),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image<'a>(partition: Option<&'a str>, file: &'a str) -> Image<'a> {
        Image { partition, file }
    }

    #[test]
    fn images_are_told_with_and_without_their_partitions() {
        let images = |file, targets: &[&'static str]| images(file, targets.iter().copied());
        assert_eq!(images(Some("a"), &[]).unwrap(), [image(None, "a")]);
        assert_eq!(images(Some("a"), &["boot"]).unwrap(), [image(Some("boot"), "a")]);
        assert_eq!(
            images(None, &["boot:a", "root:http://host:80/b"]).unwrap(),
            [image(Some("boot"), "a"), image(Some("root"), "http://host:80/b")]
        );
        for (file, targets) in [
            (None, &[][..]),
            (Some("a"), &["b:c"]),
            (Some("a"), &[""]),
            (None, &["b"]),
            (None, &["b:"]),
            (None, &[":b"]),
        ] {
            images(file, targets).unwrap_err();
        }
    }
}
