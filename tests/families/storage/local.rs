//! Directories of the exporter's machine.

use std::os::unix::fs::{MetadataExt, symlink};

use bytes::Bytes;
use jumpstarter::Source;
use jumpstarter_client::files;
use jumpstarter_driver_storage::DRIVERS;
use jumpstarter_exporter::{Registry, check};
use jumpstarter_interfaces::opendal::{OpenMode, StorageClient};
use jumpstarter_interfaces::{Compression, FlasherClient};

use super::{exporter, file, node};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_is_removed_at_the_end_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
    for place in [&root, &outside] {
        std::fs::create_dir_all(place).expect("a folder");
        std::fs::write(place.join("before"), "content").expect("written");
    }
    symlink(&outside, root.join("link")).expect("a link");
    let nodes = node("storage", "fs", &[("root", &root.display().to_string())])
        .replace("      scheme", "      remove_created_on_close: true\n      scheme");
    let (exporter, device) = exporter(&nodes).await;
    let storage: StorageClient = device.client("storage").expect("a storage");
    storage.write("made/deep/file", &b"x"[..]).await.expect("written");
    storage.create_dir("made/empty/".to_owned()).await.expect("a folder");
    storage.rename("made/deep/file".to_owned(), "moved".to_owned()).await.expect("renamed");
    storage.copy("before".to_owned(), "copy".to_owned()).await.expect("copied");
    std::fs::write(root.join("by-others"), "").expect("written");
    storage.register_path("by-others".to_owned()).await.expect("registered");
    storage.register_path("../outside/before".to_owned()).await.expect("registered");
    storage.register_path("link/before".to_owned()).await.expect("registered");
    // Nobody closes this one.
    let fd = storage.open("forgotten".to_owned(), OpenMode::Write).await.expect("an open file");
    storage.file_write(fd, Source::from_bytes(&b"y"[..])).await.expect("written");
    exporter.stop().await;
    let mut left: Vec<_> = std::fs::read_dir(&root)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    // The folder `made/deep` came with a file, and goes with it.
    assert_eq!(left, ["before", "link"]);
    assert!(outside.join("before").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_of_the_root_is_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("secret"), "content").expect("written");
    let root = folder.path().join("root").display().to_string();
    let (exporter, device) = exporter(&node("storage", "fs", &[("root", &root)])).await;
    let storage: StorageClient = device.client("storage").expect("a storage");
    for path in ["../secret", "a/../../secret", "/../secret"] {
        storage.read(path).await.expect_err(path);
        storage.write(path, &b"x"[..]).await.expect_err(path);
        storage.delete(path.to_owned()).await.expect_err(path);
    }
    // A path that begins with `/` begins at the root of the storage.
    storage.write("/inside", &b"x"[..]).await.expect("written");
    assert_eq!(storage.read("inside").await.expect("read"), &b"x"[..]);
    assert_eq!(std::fs::read(folder.path().join("secret")).expect("a file"), b"content");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_image_takes_no_room_on_either_side() {
    const SIZE: u64 = 1 << 30;
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("image");
    let local = std::fs::File::create(&image).expect("a file");
    local.set_len(SIZE).expect("a hole");
    std::os::unix::fs::FileExt::write_all_at(&local, &vec![1; 100_000], SIZE / 2).expect("written");
    let root = folder.path().join("root");
    let (exporter, device) = exporter(&node("storage", "fs", &[("root", &root.display().to_string())])).await;
    let storage: StorageClient = device.client("storage").expect("a storage");
    storage
        .write_from_path("image".to_owned(), files::read(&image).await.expect("a file"))
        .await
        .expect("written");
    let back = folder.path().join("back");
    storage
        .read_into_path("image".to_owned(), files::write(&back).await.expect("a file"))
        .await
        .expect("read");
    for place in [root.join("image"), back] {
        let metadata = std::fs::metadata(&place).expect("a file");
        assert_eq!(metadata.len(), SIZE);
        assert!(metadata.blocks() * 512 < 1 << 20, "{}: {} blocks", place.display(), metadata.blocks());
        let mut data = vec![0; 100_002];
        let file = std::fs::File::open(&place).expect("a file");
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut data, SIZE / 2 - 1).expect("read");
        assert_eq!((data[0], &data[1..100_001], data[100_001]), (0, &vec![1; 100_000][..], 0));
    }
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packing_is_found_out_only_where_it_is_asked_for() {
    // An empty file, packed.
    const GZIP: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let (exporter, device) = exporter("  flasher: {type: mock-flasher}\n").await;
    let flasher: FlasherClient = device.client("flasher").expect("a flasher");
    for (compression, stored) in [(None, Bytes::from_static(GZIP)), (Some(Compression::Auto), Bytes::new())] {
        flasher.flash_file(Source::from_bytes(GZIP), None, compression).await.expect("flashed");
        let (sink, bytes) = jumpstarter::Sink::to_memory();
        flasher.dump(sink, None).await.expect("dumped");
        assert_eq!(bytes.await.expect("all of it"), stored);
    }
    let url = Source::from_url("http://localhost/image", std::collections::BTreeMap::new());
    let error = flasher.flash_file(url, None, Some(Compression::Auto)).await.expect_err("it is elsewhere");
    assert!(error.message().contains("name the compression"), "{error}");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_file_say_what_there_is() {
    let registry = Registry::new(&[DRIVERS]);
    let text = file(&(node("a", "floppy", &[("root", "/")]) + &node("b", "azblob", &[])));
    let problems = check("exporter.yaml", &text, &registry, |_| None).map(drop).expect_err("two schemes");
    insta::assert_snapshot!("mistakes", problems.render());
    let text = file(&node("c", "fs", &[("rot", "/srv")]));
    let opened = jumpstarter_testing::serve_text("exporter.yaml", &text, &[DRIVERS]).await;
    let error = opened.map(drop).expect_err("an unknown key");
    assert!(
        error.message().contains("unknown key `rot` in `kwargs` of the configuration of driver `opendal`"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_everything_leaves_the_storage_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    for (path, scheme) in
        [("/", "fs"), ("", "fs"), ("./", "fs"), (" ", "fs"), ("/", "memory"), (" ", "memory")]
    {
        let (exporter, device) =
            exporter(&node("storage", scheme, &[("root", &root.display().to_string())])).await;
        let storage: StorageClient = device.client("storage").expect("a storage");
        for file in ["file", "a/b/file"] {
            storage.write(file, &b"x"[..]).await.expect("written");
        }
        if scheme == "fs" {
            // For the library, this name is that of the storage.
            std::fs::write(root.join(" "), "x").expect("written");
        }
        storage.remove_all(path.to_owned()).await.expect("removed");
        assert!(!storage.exists("file".to_owned()).await.expect("an answer"), "{path:?} {scheme}");
        assert!(!storage.exists("a/b/file".to_owned()).await.expect("an answer"), "{path:?} {scheme}");
        if scheme == "fs" {
            assert_eq!(std::fs::read_dir(&root).expect("it is still there").count(), 0, "{path:?}");
        }
        storage.write("again", &b"x"[..]).await.expect("it is of use");
        storage.delete("again".to_owned()).await.expect("deleted");
        exporter.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_everything_below_another_name_leaves_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let ways = [
        (r"\", "fs"),
        (r"x\..", "fs"),
        (".", "memory"),
        (r"\", "memory"),
        ("/..", "memory"),
        ("a/..", "memory"),
    ];
    for (path, scheme) in ways {
        let (exporter, device) = exporter(&node("storage", scheme, &[("root", &root)])).await;
        let storage: StorageClient = device.client("storage").expect("a storage");
        storage.write("a/file", &b"x"[..]).await.expect("written");
        storage.remove_all(path.to_owned()).await.expect("there is nothing of that name");
        assert_eq!(storage.read("a/file").await.expect("it is still there"), &b"x"[..], "{path:?} {scheme}");
        exporter.stop().await;
    }
    let (exporter, device) = exporter(&node("storage", "fs", &[("root", &root)])).await;
    let storage: StorageClient = device.client("storage").expect("a storage");
    storage.write("a/file", &b"x"[..]).await.expect("written");
    for path in ["..", "/..", "a/..", "a/../"] {
        storage.remove_all(path.to_owned()).await.expect_err(path);
        assert_eq!(storage.read("a/file").await.expect("it is still there"), &b"x"[..], "{path:?}");
    }
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_survives_a_rename_onto_what_was_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    std::fs::create_dir(&root).expect("a folder");
    std::fs::write(root.join("old"), "from before").expect("written");
    let nodes = node("storage", "fs", &[("root", &root.display().to_string())])
        .replace("      scheme", "      remove_created_on_close: true\n      scheme");
    let (exporter, device) = exporter(&nodes).await;
    let storage: StorageClient = device.client("storage").expect("a storage");
    storage.write("tmp", &b"x"[..]).await.expect("written");
    storage.rename("old".to_owned(), "tmp".to_owned()).await.expect("renamed");
    // A folder takes what is in it along.
    storage.write("made/deep/file", &b"x"[..]).await.expect("written");
    storage.rename("made/deep".to_owned(), "other/place".to_owned()).await.expect("renamed");
    // These fail, and make folders on the way.
    storage.copy("tmp".to_owned(), format!("on/the/way/{}", "x".repeat(300))).await.expect_err("a long name");
    storage
        .rename("tmp".to_owned(), format!("also/made/{}", "x".repeat(300)))
        .await
        .expect_err("a long name");
    storage.open(format!("and/this/{}", "x".repeat(300)), OpenMode::Write).await.expect_err("a long name");
    assert!(
        root.join("also/made").exists() && root.join("and/this").exists() && root.join("on/the/way").exists()
    );
    exporter.stop().await;
    assert_eq!(std::fs::read_to_string(root.join("tmp")).expect("it is there"), "from before");
    let left = std::fs::read_dir(&root).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["tmp"]);
}
