//! Private directories.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::PathBuf,
};

use http::uri::Authority;
use jumpstarter_core::ErrorKind;
use jumpstarter_transport::socket::{HOOK, MAIN, MAX_PATH, RuntimeDirectory};
use tokio::net::UnixStream;

#[tokio::test]
async fn pitfall_p3_the_directory_is_private_and_its_name_cannot_be_guessed() {
    let one = RuntimeDirectory::create().expect("a directory");
    let two = RuntimeDirectory::create().expect("a directory");
    assert_ne!(one.path(), two.path());
    let mode = fs::metadata(one.path()).expect("it exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let name = one.path().file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(name.starts_with("jumpstarter-") && name.len() >= "jumpstarter-".len() + 8, "{name}");
}

#[tokio::test]
async fn the_directory_and_its_sockets_vanish_with_their_owner() {
    let directory = RuntimeDirectory::create().expect("a directory");
    let (main, path) = directory.listen(MAIN).expect("a socket");
    let (_hook, hook) = directory.listen(HOOK).expect("a second socket");
    assert!(fs::metadata(&path).expect("it exists").file_type().is_socket());
    assert_ne!(path, hook);
    let (client, _) = tokio::join!(UnixStream::connect(&path), main.accept());
    client.expect("connected");
    let parent = directory.path().to_owned();
    drop(directory);
    assert!(!parent.exists());
}

#[test]
fn what_a_program_that_was_killed_has_left_goes_with_the_next_directory() {
    let place = tempfile::tempdir().expect("a place");
    let (used, killed) =
        (RuntimeDirectory::create_in(place.path()), place.path().join("jumpstarter-run-12345678"));
    let used = used.expect("a directory");
    fs::create_dir(&killed).expect("a directory");
    fs::write(killed.join(MAIN), "").expect("a file");
    // Whoever locks nothing cannot be told from somebody dead.
    fs::create_dir(place.path().join("jumpstarter-12345678")).expect("a directory");
    let next = RuntimeDirectory::create_in(place.path()).expect("a directory");
    assert!(!killed.exists());
    assert!(used.path().exists() && next.path().exists());
    assert!(place.path().join("jumpstarter-12345678").exists());
}

#[tokio::test]
async fn pitfall_p8_an_existing_socket_is_never_unlinked() {
    let directory = RuntimeDirectory::create().expect("a directory");
    let (first, path) = directory.listen(MAIN).expect("a socket");
    let error = directory.listen(MAIN).expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::Busy);
    let (client, _) = tokio::join!(UnixStream::connect(&path), first.accept());
    client.expect("the first one still listens");
}

#[test]
fn pitfall_p4_paths_that_are_too_long_are_refused_with_the_limit() {
    let base = tempfile::tempdir().expect("a directory");
    let long = base.path().join("d".repeat(MAX_PATH));
    fs::create_dir(&long).expect("a directory");
    let error = RuntimeDirectory::create_in(&long).expect_err("too long");
    assert!(error.message().contains(&MAX_PATH.to_string()), "{error}");
    assert_eq!(fs::read_dir(&long).expect("readable").count(), 0, "nothing is left behind");

    // The next place is tried, and the reasons of all are told when none will do.
    let places = [long.clone(), base.path().to_owned()];
    RuntimeDirectory::create_in_first(&places).expect("the second place");
    let error = RuntimeDirectory::create_in_first(&[long, PathBuf::from("relative")]).expect_err("no place");
    for part in ["the limit is", "not an absolute path", "XDG_RUNTIME_DIR"] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[test]
fn names_stay_inside_the_directory() {
    let directory = RuntimeDirectory::create().expect("a directory");
    for name in ["", "../x", "a/b"] {
        directory.socket(name).expect_err(name);
    }
}

#[test]
fn pitfall_t1_paths_of_our_own_sockets_make_acceptable_authorities() {
    let directory = RuntimeDirectory::create().expect("a directory");
    for name in [MAIN, HOOK] {
        let path = directory.socket(name).expect("a short path");
        // What clients on gRPC's C core make of it.
        let path = path.to_str().expect("text").trim_start_matches('/').replace('/', "%2F");
        assert!(Authority::try_from(path.as_str()).is_ok(), "{path}");
    }
}
