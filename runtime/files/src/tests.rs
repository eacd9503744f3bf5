use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

async fn write(path: &Path, pieces: &[Bytes]) {
    let mut writer = Writer::create(path).await.unwrap();
    for piece in pieces {
        writer.write(piece.clone()).await.unwrap();
    }
    writer.finish().await.unwrap();
}

async fn read(path: &Path, position: u64) -> Vec<u8> {
    let file = std::sync::Arc::new(fs::File::open(path).unwrap());
    let mut reader = Reader::of_file(file, position).unwrap();
    let mut all = Vec::new();
    while let Some(piece) = reader.next().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    assert_eq!(reader.position(), position + all.len() as u64);
    all
}

/// How much of the disk a file takes, in bytes.
fn taken(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

#[tokio::test]
async fn runs_of_zeros_become_holes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let (zeros, data) = (Bytes::from(vec![0; 1 << 20]), Bytes::from(vec![7; 1 << 16]));
    let mut pieces = vec![data.clone()];
    pieces.extend(std::iter::repeat_n(zeros.clone(), 64));
    pieces.push(data.clone());
    pieces.extend(std::iter::repeat_n(zeros, 16));
    write(&path, &pieces).await;
    assert_eq!(fs::metadata(&path).unwrap().len(), (80 << 20) + (2 << 16), "the hole at the end counts");
    assert!(taken(&path) <= 4 << 16, "{} bytes of the disk are taken", taken(&path));
    let content = read(&path, 0).await;
    assert_eq!(content, pieces.concat());
}

#[tokio::test]
async fn runs_of_zeros_become_holes_however_the_pieces_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    // No boundary of a piece is one of a block.
    let mut pieces = vec![Bytes::from(vec![7; 100_001])];
    pieces.extend(std::iter::repeat_n(Bytes::from(vec![0; 65_535]), 1_000));
    write(&path, &pieces).await;
    assert!(taken(&path) <= 1 << 17, "{} bytes of the disk are taken", taken(&path));
    assert_eq!(read(&path, 0).await, pieces.concat());
}

#[tokio::test]
async fn what_a_file_held_before_does_not_show_through_its_holes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    fs::write(&path, vec![9; 1 << 20]).unwrap();
    write(&path, &[Bytes::from(vec![0; 1 << 19])]).await;
    assert_eq!(fs::read(&path).unwrap(), vec![0; 1 << 19]);
}

#[tokio::test]
async fn a_file_of_holes_only_is_read_without_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    fs::File::create(&path).unwrap().set_len(3 << 30).unwrap();
    let mut reader = Reader::open(&path).await.unwrap();
    assert_eq!(reader.len().unwrap(), Some(3 << 30));
    let mut count = 0_u64;
    while let Some(piece) = reader.next().await.unwrap() {
        assert_eq!(piece.as_ptr(), ZEROS.as_ptr(), "the same zeros again and again");
        count += piece.len() as u64;
    }
    assert_eq!(count, 3 << 30);
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    fs::write(&path, vec![1; 4 << 20]).unwrap();
    let mut source = Reader::open(&path).await.unwrap().into_source().unwrap();
    source.next().await.unwrap().unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
    let error = source.finish().await.unwrap_err();
    assert_eq!(error.kind(), jumpstarter_core::ErrorKind::Truncated, "{error}");
}

#[tokio::test]
async fn a_full_device_is_an_error_at_the_latest_at_the_end() {
    let mut writer = Writer::create(Path::new("/dev/full")).await.unwrap();
    let mut result = Ok(());
    for _ in 0..4 {
        result = writer.write(Bytes::from(vec![1; 1 << 20])).await;
        if result.is_err() {
            break;
        }
    }
    let error = match result {
        Err(error) => error,
        Ok(()) => writer.finish().await.unwrap_err(),
    };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
}

#[tokio::test]
async fn an_error_is_not_forgotten_by_the_calls_after_it() {
    let mut writer = Writer::create(Path::new("/dev/full")).await.unwrap();
    let mut failed = 0;
    for _ in 0..8 {
        failed += usize::from(writer.write(Bytes::from(vec![1; 1 << 20])).await.is_err());
    }
    assert!(failed >= 6, "{failed}");
    writer.finish().await.unwrap_err();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_file_holds_what_was_written_whatever_the_pieces(
        pieces in prop::collection::vec((0_u8..3, 0_usize..200_000), 0..24),
        from in 0_u64..400_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("image");
            // Mostly zeros, with bytes here and there.
            let pieces: Vec<_> = pieces.iter().map(|(kind, length)| {
                let mut piece = vec![0; *length];
                match kind {
                    0 => {}
                    1 => piece.fill(5),
                    _ => piece.iter_mut().step_by(70_001).for_each(|byte| *byte = 1),
                }
                Bytes::from(piece)
            }).collect();
            write(&path, &pieces).await;
            let whole = pieces.concat();
            assert_eq!(fs::read(&path).unwrap(), whole);
            let start = usize::try_from(from).unwrap().min(whole.len());
            assert_eq!(read(&path, from.min(whole.len() as u64)).await, &whole[start..]);
        });
    }
}
