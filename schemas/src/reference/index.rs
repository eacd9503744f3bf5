//! The page that leads to all others.

use std::fmt::Write as _;

use super::{
    Source, interface_file,
    words::{summary, table},
};

pub(super) fn page(source: &Source<'_>) -> String {
    let drivers: Vec<_> = source
        .drivers
        .iter()
        .map(|driver| {
            let spec = driver.spec();
            let provides: Vec<_> = spec
                .provides
                .iter()
                .map(|interface| format!("[{}](interfaces/{}.md)", interface.name, interface_file(interface)))
                .collect();
            [format!("[{0}](drivers/{0}.md)", spec.type_name), provides.join(", "), summary(spec.doc)]
        })
        .collect();
    let interfaces: Vec<_> = source
        .interfaces
        .iter()
        .map(|interface| {
            let name = interface_file(interface);
            [format!("[{name}](interfaces/{name}.md)"), summary(interface.doc)]
        })
        .collect();
    let mut text = "# Reference\n\nWhat drivers, interfaces, files and commands say about themselves: printed from the Rust \
                    types that do the work, like the schemas in [`schemas/`](../../schemas) and the definitions in \
                    [`proto/interfaces/`](../../proto/interfaces).\n"
        .to_owned();
    let _ = write!(
        text,
        "\n## Drivers\n\nA driver stands under `type` in an [exporter file](../exporter-file.md).\n\n{}",
        table(["Driver", "Provides", "Meaning"], &drivers)
    );
    let _ = write!(
        text,
        "\n## Interfaces\n\nWhat can be done with a device follows from the interfaces that its driver provides.\n\n{}",
        table(["Interface", "Meaning"], &interfaces)
    );
    text.push_str(
        "\n## Files\n\n| File | Meaning |\n|---|---|\n\
         | [exporter](files/exporter.md) | which devices an exporter has |\n\
         | [client](files/client.md) | which controller a client speaks with |\n\
         | [lab](files/lab.md) | how a lab is run |\n\
         | [user](files/user.md) | which client is used where none is named |\n\n\
         ## Commands\n\n[All commands of `jmp`](commands.md); those of `j` are on the pages of the interfaces.\n",
    );
    text
}
