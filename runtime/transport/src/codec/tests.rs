use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use proptest::prelude::*;

use super::*;

const PLAIN: &[u8] = include_bytes!("fixtures/plain.bin");

/// Written by Python's `gzip`, `lzma` and `bz2` and by the `zstd` tool. The `-two` files hold the same bytes in
/// two members; xz with padding between and behind them, zstd with a skippable frame between them.
const ONE: [(Encoding, &[u8]); 5] = [
    (Encoding::Gzip, include_bytes!("fixtures/gzip.bin")),
    (Encoding::Gzip, include_bytes!("fixtures/zlib.bin")),
    (Encoding::Xz, include_bytes!("fixtures/xz.bin")),
    (Encoding::Bz2, include_bytes!("fixtures/bz2.bin")),
    (Encoding::Zstd, include_bytes!("fixtures/zstd.bin")),
];
const TWO: [(Encoding, &[u8]); 4] = [
    (Encoding::Gzip, include_bytes!("fixtures/gzip-two.bin")),
    (Encoding::Xz, include_bytes!("fixtures/xz-two.bin")),
    (Encoding::Bz2, include_bytes!("fixtures/bz2-two.bin")),
    (Encoding::Zstd, include_bytes!("fixtures/zstd-two.bin")),
];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Feeds `data` in pieces of the given sizes, repeated.
fn chunks(data: &[u8], sizes: &[usize]) -> Vec<Result<Bytes, Error>> {
    let mut rest = Bytes::copy_from_slice(data);
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        pieces.push(Ok(rest.split_to((*size).clamp(1, rest.len()))));
    }
    pieces
}

async fn unpacked(encoding: Encoding, data: &[u8], sizes: &[usize]) -> Result<Vec<u8>, Error> {
    let pieces: Vec<Bytes> = unpack(Some(encoding), stream::iter(chunks(data, sizes))).try_collect().await?;
    assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= PIECE));
    Ok(pieces.concat())
}

async fn packed(encoding: Encoding, data: &[u8], sizes: &[usize]) -> Result<Vec<u8>, Error> {
    let pieces: Vec<Bytes> = pack(Some(encoding), stream::iter(chunks(data, sizes))).try_collect().await?;
    assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= PIECE));
    Ok(pieces.concat())
}

/// Bytes that no format can shorten.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

#[test]
fn names_are_upstreams() {
    for encoding in Encoding::ALL {
        assert_eq!(encoding.to_string().parse(), Ok(encoding));
    }
    assert_eq!(Encoding::ALL.map(Encoding::name), ["gzip", "xz", "bz2", "zstd"]);
    for wrong in ["", "GZIP", "bzip2", "none", "br"] {
        let error = wrong.parse::<Encoding>().unwrap_err().to_string();
        assert!(error.contains("gzip, xz, bz2 or zstd"), "{error}");
    }
}

#[tokio::test]
async fn files_of_other_programs_are_unpacked_whatever_the_chunks() {
    for (encoding, data) in ONE.into_iter().chain(TWO) {
        for size in [1, 2, 3, 7, 64, data.len()] {
            assert_eq!(unpacked(encoding, data, &[size]).await.unwrap(), PLAIN, "{encoding} by {size}");
        }
    }
}

#[tokio::test]
async fn pitfall_r6_a_cut_at_every_byte_is_an_error() {
    for (encoding, data) in ONE.into_iter().chain(TWO) {
        for end in 1..data.len() {
            let result = unpacked(encoding, &data[..end], &[5]).await;
            match result {
                Err(Error::Truncated { format, offset }) => {
                    assert_eq!((format, offset), (encoding.name(), end as u64));
                }
                // Padding of xz that is cut within its group of four.
                Err(Error::Trailing { .. }) if encoding == Encoding::Xz => {
                    assert_eq!(data[end - 1], 0);
                }
                // Between two members, or in the padding behind one, the input is a complete file by itself.
                Ok(plain) => assert!(
                    TWO.iter().any(|(_, two)| *two == data) && (plain == PLAIN || plain == PLAIN[..500]),
                    "{encoding} cut at {end} was taken for complete"
                ),
                Err(other) => panic!("{encoding} cut at {end}: {other}"),
            }
        }
    }
}

#[tokio::test]
async fn pitfall_r6_what_could_be_unpacked_comes_before_the_error() {
    let plain = noise(300_000);
    for encoding in Encoding::ALL {
        let data = packed(encoding, &plain, &[10_000]).await.unwrap();
        let cut = &data[..data.len() - 4];
        let items: Vec<_> = unpack(Some(encoding), stream::iter(chunks(cut, &[9_000]))).collect().await;
        let (last, before) = items.split_last().unwrap();
        assert!(matches!(last, Err(Error::Truncated { .. })), "{encoding}: {last:?}");
        let given: Vec<u8> = before.iter().flat_map(|item| item.clone().unwrap()).collect();
        assert!(plain.starts_with(&given));
    }
}

#[tokio::test]
async fn pitfall_r10_members_follow_each_other_in_one_chunk_or_many() {
    for encoding in Encoding::ALL {
        let mut data = Vec::new();
        let mut plain = Vec::new();
        for part in [b"one".to_vec(), b"two".to_vec(), vec![0; 70_000], b"four".to_vec()] {
            data.extend(packed(encoding, &part, &[1_000]).await.unwrap());
            plain.extend(part);
        }
        for size in [1, 13, data.len()] {
            assert_eq!(unpacked(encoding, &data, &[size]).await.unwrap(), plain, "{encoding} by {size}");
        }
    }
}

#[tokio::test]
async fn pitfall_r10_trailing_garbage_is_an_error() {
    for (encoding, data) in ONE.into_iter().chain(TWO) {
        for garbage in [&b"garbage behind the end"[..], &[0xff; 12], &[0; 6], &[0x42]] {
            let mut longer = data.to_vec();
            longer.extend_from_slice(garbage);
            for size in [1, longer.len()] {
                match unpacked(encoding, &longer, &[size]).await {
                    Err(Error::Trailing { offset, .. }) => assert!(offset <= data.len() as u64),
                    // One byte may begin a header.
                    Err(Error::Truncated { .. }) if garbage.len() == 1 => {}
                    other => panic!("{encoding} with {garbage:?}: {other:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn damage_and_the_wrong_format_are_errors() {
    for (encoding, data) in ONE {
        let mut damaged = data.to_vec();
        let at = damaged.len() / 2;
        damaged[at] ^= 0x55;
        assert!(unpacked(encoding, &damaged, &[50]).await.is_err(), "{encoding}");
        for other in Encoding::ALL.into_iter().filter(|other| *other != encoding) {
            let error = unpacked(other, data, &[50]).await.unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{encoding} as {other}: {error}");
        }
        let error = unpacked(encoding, PLAIN, &[50]).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{encoding}: {error}");
    }
}

#[tokio::test]
async fn pitfall_r7_an_empty_transfer_stays_empty_unless_told_otherwise() {
    let nothing = || stream::iter([Ok::<_, Error>(Bytes::new()), Ok(Bytes::new())]);
    for encoding in Encoding::ALL {
        assert_eq!(pack(Some(encoding), nothing()).count().await, 0);
        assert_eq!(unpack(Some(encoding), nothing()).even_if_empty().count().await, 0);
        let file: Vec<Bytes> = pack(Some(encoding), nothing()).even_if_empty().try_collect().await.unwrap();
        let file = file.concat();
        assert!(!file.is_empty());
        assert_eq!(unpacked(encoding, &file, &[1]).await.unwrap(), b"", "{encoding}");
    }
}

#[tokio::test]
async fn pitfall_r8_the_tail_comes_before_the_end() {
    for encoding in Encoding::ALL {
        let data = packed(encoding, b"short", &[1]).await.unwrap();
        assert_eq!(unpacked(encoding, &data, &[64]).await.unwrap(), b"short");
    }
}

#[tokio::test]
async fn pitfall_r9_an_error_of_the_input_ends_both_directions_without_a_tail() {
    let broken = || Error::Stopped { format: "test", reason: "connection lost".to_owned() };
    for encoding in Encoding::ALL.map(Some).into_iter().chain([None]) {
        let input = || stream::iter([Ok(Bytes::from_static(b"part")), Err(broken())]);
        for mut coded in [pack(encoding, input()).boxed(), unpack(encoding, input()).boxed()] {
            let mut last = None;
            while let Some(item) = coded.next().await {
                last = Some(item);
            }
            assert_eq!(last, Some(Err(broken())), "{encoding:?}");
            assert!(coded.next().await.is_none());
        }
    }
}

#[tokio::test]
async fn pitfall_r12_a_bomb_is_unpacked_piece_by_piece_as_it_is_read() {
    let plain = vec![0_u8; 8 * 1024 * 1024];
    for encoding in [Encoding::Gzip, Encoding::Xz, Encoding::Zstd] {
        let data = packed(encoding, &plain, &[1 << 20]).await.unwrap();
        let mut coded = unpack(Some(encoding), stream::iter(chunks(&data, &[256])));
        let first = coded.next().await.unwrap().unwrap();
        assert_eq!(first.len(), PIECE);
        // What waits beside the piece in hand is a slice at most.
        assert!(coded.pieces.len() < 8, "{encoding}");
        let rest: usize =
            coded.map_ok(|piece| piece.len()).try_fold(0, |sum, n| async move { Ok(sum + n) }).await.unwrap();
        assert_eq!(first.len() + rest, plain.len());
    }
}

#[tokio::test]
async fn pieces_held_back_come_without_further_input() {
    // The whole bomb arrives in one chunk, and then nothing: not even an end.
    let plain = vec![7_u8; 4 * 1024 * 1024];
    for encoding in Encoding::ALL {
        let data = packed(encoding, &plain, &[1 << 20]).await.unwrap();
        let input = stream::iter([Ok::<_, Error>(Bytes::from(data))]).chain(stream::pending());
        let mut coded = unpack(Some(encoding), input);
        let mut length = 0;
        while length < plain.len() {
            length += coded.next().await.unwrap().unwrap().len();
        }
        assert_eq!(length, plain.len());
    }
}

#[tokio::test]
async fn input_is_taken_only_as_it_is_needed() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let endless = stream::iter(std::iter::repeat_with(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Error>(Bytes::from(noise(PIECE)))
    }));
    let mut coded = pack(Some(Encoding::Zstd), endless);
    for _ in 0..4 {
        coded.next().await.unwrap().unwrap();
    }
    // Four pieces read, at most two slices of four ahead, and what the packer holds back.
    assert!(taken.load(Ordering::Relaxed) <= 20, "{taken:?}");
}

#[tokio::test]
async fn dropping_it_drops_the_input() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, Error>>(1);
    let mut coded = pack(Some(Encoding::Gzip), tokio_stream::wrappers::ReceiverStream::new(receiver));
    sender.send(Ok(Bytes::from_static(b"data"))).await.unwrap();
    assert!(coded.next().await.unwrap().is_ok(), "the header comes at once");
    assert!(futures::poll!(coded.next()).is_pending());
    drop(coded);
    sender.closed().await;
}

#[tokio::test]
async fn without_an_encoding_bytes_pass_in_bounded_pieces() {
    let plain = noise(1_000_000);
    let pieces: Vec<Bytes> =
        unpack(None, stream::iter([Ok::<_, Error>(Bytes::from(plain.clone()))])).try_collect().await.unwrap();
    assert!(pieces.iter().all(|piece| piece.len() <= PIECE));
    assert_eq!(pieces.concat(), plain);
}

#[tokio::test]
async fn one_large_buffer_is_worked_on_in_slices() {
    let plain = noise(3_000_000);
    for encoding in Encoding::ALL {
        let data = packed(encoding, &plain, &[plain.len()]).await.unwrap();
        assert_eq!(unpacked(encoding, &data, &[data.len()]).await.unwrap(), plain, "{encoding}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_packed_unpacks_to_the_same(
        data in proptest::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 1..20_000),
        repeat in 1_usize..12,
        sizes_in in proptest::collection::vec(1_usize..40_000, 1..6),
        sizes_out in proptest::collection::vec(1_usize..5_000, 1..6),
        which in 0_usize..4,
    ) {
        let data = data.repeat(repeat);
        let encoding = Encoding::ALL[which];
        runtime().block_on(async {
            let middle = packed(encoding, &data, &sizes_in).await.unwrap();
            assert!(unpacked(encoding, &middle, &sizes_out).await.unwrap() == data);
        });
    }

    #[test]
    fn arbitrary_input_never_panics(
        mut data in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        fixture in 0_usize..9,
    ) {
        let (encoding, good) = ONE.into_iter().chain(TWO).nth(fixture).unwrap();
        let at = at.index(good.len());
        let mut mixed = good[..at].to_vec();
        mixed.append(&mut data);
        runtime().block_on(async {
            if let Ok(plain) = unpacked(encoding, &mixed, &[17]).await {
                assert!(PLAIN.starts_with(&plain) || mixed[..] != good[..mixed.len().min(good.len())]);
            }
        });
    }
}
