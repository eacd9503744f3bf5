//! Header compression for sending, in the forms that grpcio uses.
//!
//! A header that is new goes out as a literal with a literal name (also where the static table has the name) and without
//! Huffman coding, and is remembered by both ends; repeated, it is one index. Servers that rewrite headers on the way
//! meet these forms in practice, so recordings are replayed with them.

use std::collections::VecDeque;

/// Number of entries of the static table; the dynamic one continues from here.
const STATIC: usize = 61;

/// The size that both ends start with.
const TABLE: usize = 4096;

/// Headers larger than this are not remembered, as they would push out everything else.
const REMEMBERED: usize = 1024;

/// The sending end of the compression: remembers what the peer remembers.
#[derive(Default)]
pub struct Encoder {
    table: VecDeque<(String, String)>,
    size: usize,
}

impl Encoder {
    /// A header block.
    pub fn encode(&mut self, headers: &[(String, String)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in headers {
            if let Some(index) = self.table.iter().position(|known| known.0 == *name && known.1 == *value) {
                integer(&mut out, 0x80, 7, STATIC + 1 + index);
                continue;
            }
            let size = name.len() + value.len() + 32;
            let remember = size <= REMEMBERED;
            out.push(if remember { 0x40 } else { 0x00 });
            string(&mut out, name.as_bytes());
            string(&mut out, value.as_bytes());
            if remember {
                self.size += size;
                self.table.push_front((name.clone(), value.clone()));
                while self.size > TABLE {
                    let Some((name, value)) = self.table.pop_back() else { break };
                    self.size -= name.len() + value.len() + 32;
                }
            }
        }
        out
    }
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// A number with a prefix of `bits` bits, the bits above it set from `first` (RFC 7541, section 5.1).
fn integer(out: &mut Vec<u8>, first: u8, bits: u32, mut value: usize) {
    let limit = (1_usize << bits) - 1;
    if value < limit {
        out.push(first | u8::try_from(value).unwrap_or(u8::MAX));
        return;
    }
    out.push(first | u8::try_from(limit).unwrap_or(u8::MAX));
    value -= limit;
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0x7f) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0x7f));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_first_use_is_a_literal_with_a_literal_name() {
        let block = Encoder::default().encode(&headers(&[(":authority", "tmp%2Fs")]));
        assert_eq!(block, b"\x40\x0a:authority\x07tmp%2Fs");
    }

    #[test]
    fn a_decoder_follows_over_many_blocks_and_evictions() {
        let (mut encoder, mut decoder) = (Encoder::default(), loona_hpack::Decoder::new());
        for round in 0..200 {
            let long = "x".repeat(round * 17 % 2000);
            let sent = headers(&[
                (":path", "/a"),
                ("te", "trailers"),
                ("n", &round.to_string()),
                ("long", &long),
                ("te", "trailers"),
            ]);
            let block = encoder.encode(&sent);
            let got: Vec<_> = decoder
                .decode(&block)
                .expect("a valid block")
                .into_iter()
                .map(|(name, value)| {
                    (String::from_utf8(name).expect("text"), String::from_utf8(value).expect("text"))
                })
                .collect();
            assert_eq!(got, sent, "round {round}");
        }
    }
}
