//! `docs/using-a-device.md`.

use std::fs;

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
    let bin =
        python.as_ref().and_then(|python| python.program("python").parent().map(std::path::Path::to_owned));
    let around = Surroundings {
        folder,
        programs: vec![programs()],
        fallback: bin.iter().cloned().collect(),
        absent: if python.is_some() { vec![] } else { vec!["python"] },
        // What users set who have these programs in a virtual environment.
        variables: bin.map(|bin| ("PYTHON", bin.join("python").display().to_string())).into_iter().collect(),
        opened: &[],
    };
    console::run(&page, &around).await;
}
