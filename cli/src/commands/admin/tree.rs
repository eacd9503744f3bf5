//! The commands below `jmp admin`, and those of Kubernetes that are not there.

use clap::Command;

use crate::{
    commands::{Does, Invocation, VERSION, Verb, admin},
    logging,
    report::Outcome,
    words::Word as _,
};

/// What the owner of a lab does.
pub(crate) const ADMIN: Verb = Verb {
    name: "admin",
    aliases: &["a"],
    about: "Clients, exporters and leases of a lab, for its owner",
    arguments: |command| admin::lab(command).arg(logging::level_option()),
    does: Does::Group(&[
        verb(
            "backup",
            &[],
            "Write a copy of everything that the lab remembers",
            admin::backup_arguments,
            admin::backup,
        ),
        group(
            "create",
            &["c"],
            "Make clients, exporters and access policies",
            &[
                verb("client", CLIENTS, "Make a client", admin::create_client, admin::create_a_client),
                verb(
                    "exporter",
                    EXPORTERS,
                    "Make an exporter",
                    admin::create_exporter,
                    admin::create_an_exporter,
                ),
                verb(
                    "policy",
                    POLICIES,
                    "Make an access policy",
                    admin::create_policy,
                    admin::create_a_policy,
                ),
            ],
        ),
        group(
            "delete",
            &["del", "d"],
            "Remove clients, exporters and access policies",
            &[
                verb(
                    "client",
                    CLIENTS,
                    "Remove a client; its leases end",
                    admin::delete,
                    admin::delete_client,
                ),
                verb(
                    "exporter",
                    EXPORTERS,
                    "Remove an exporter with its leases",
                    admin::delete,
                    admin::delete_exporter,
                ),
                verb(
                    "policy",
                    POLICIES,
                    "Remove an access policy",
                    admin::delete_policy_arguments,
                    admin::delete_policy,
                ),
            ],
        ),
        group(
            "get",
            &["g"],
            "Look at what is there",
            &[
                verb("client", CLIENTS, "Show clients", admin::get, admin::get_clients),
                verb("exporter", EXPORTERS, "Show exporters", admin::get_exporter, admin::get_exporters),
                verb("lease", &["leases", "l"], "Show leases", admin::get, admin::get_leases),
                verb("policy", POLICIES, "Show access policies", admin::get, admin::get_policies),
            ],
        ),
        group(
            "import",
            &["i"],
            "Write files for clients and exporters that are there",
            &[
                verb(
                    "client",
                    CLIENTS,
                    "Write a file for a client, with its token",
                    admin::import_client,
                    admin::import_a_client,
                ),
                verb(
                    "exporter",
                    EXPORTERS,
                    "Write a file for an exporter, with its token",
                    admin::import_exporter,
                    admin::import_an_exporter,
                ),
            ],
        ),
        verb(
            "restore",
            &[],
            "Put a backup in the place of what a lab remembers; the lab must not be running",
            admin::restore_arguments,
            admin::restore,
        ),
        group(
            "rotate",
            &[],
            "New tokens in place of all old ones",
            &[
                verb(
                    "client",
                    CLIENTS,
                    "A new token for a client",
                    admin::rotate_client,
                    admin::rotate_a_client,
                ),
                verb(
                    "exporter",
                    EXPORTERS,
                    "A new token for an exporter",
                    admin::rotate_exporter,
                    admin::rotate_an_exporter,
                ),
            ],
        ),
        VERSION,
    ]),
};

/// Other names of the kinds of objects.
const CLIENTS: &[&str] = &["clients", "c"];
const EXPORTERS: &[&str] = &["exporters", "e"];
const POLICIES: &[&str] = &["policies", "p"];

/// Commands of Kubernetes that existing scripts may have.
const OF_CLUSTERS: [&str; 5] = ["cluster", "clusters", "install", "uninstall", "ip"];

const fn verb(
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    arguments: fn(Command) -> Command,
    run: fn(&Invocation<'_>) -> Outcome,
) -> Verb {
    Verb { name, aliases, about, arguments, does: Does::Run(run) }
}

const fn group(
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    words: &'static [Verb],
) -> Verb {
    Verb { name, aliases, about, arguments: |command| command, does: Does::Group(words) }
}

/// Why a word is no command, where somebody expects a cluster.
pub(crate) fn refused_word(group: &Verb, typed: &str) -> Option<String> {
    // Some groups have the names of others, which are not below this one.
    let is_admin = group.name == ADMIN.name
        || ADMIN.words().is_some_and(|groups| groups.iter().any(|known| known.about == group.about));
    (is_admin && OF_CLUSTERS.contains(&typed)).then(|| {
        format!(
            "No such command '{typed}': this is a lab without Kubernetes. `jmp serve` starts one, and `jmp admin` works on the \
             one that `--lab` or `--endpoint` names."
        )
    })
}
