//! `docs/using-a-device.md`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use jumpstarter_tests::python::python;

use crate::{
    console::{self, Surroundings, programs},
    outside,
    page::Page,
};

const PAGE: &str = "docs/using-a-device.md";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_page_does_what_the_page_says() {
    let page = Page::read(PAGE);
    let folder = outside::built().join("device");
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(folder.join("cert.pem"), cert.pem()).expect("a writable folder");
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).expect("a writable folder");
    let python = python();
    let mut programs = vec![programs()];
    if let Some(python) = &python {
        // What is `python` for somebody who has activated the environment with the existing client, and nothing else of it.
        let active = folder.join("active");
        fs::create_dir_all(&active).expect("a writable folder");
        let wrapper = format!("#!/bin/sh\nexec '{}' \"$@\"\n", python.program("python").display());
        fs::write(active.join("python"), wrapper).expect("a writable folder");
        fs::set_permissions(active.join("python"), fs::Permissions::from_mode(0o755)).expect("a program");
        programs.push(active);
    }
    let around = Surroundings {
        folder,
        programs,
        absent: if python.is_some() { vec![] } else { vec!["python"] },
        ..Surroundings::default()
    };
    console::run(&page, &around).await;
}
