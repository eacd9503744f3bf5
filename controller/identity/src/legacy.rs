//! The key that the existing controller derives from its `CONTROLLER_KEY`.
//!
//! It takes 40 bytes from Go's seeded generator (`math/rand`), so there are fewer than 2³¹ such keys, whatever the seed:
//! **whoever has one token can find the key.** It is here so that a lab can take over from the existing controller without
//! all tokens becoming invalid, and for nothing else.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};

/// Words of state of Go's generator.
const LENGTH: usize = 607;

/// How far back the second of the two words is that make the next one.
const TAP: usize = 273;

/// Modulus of the small generator that fills the state: 2³¹ − 1.
const SMALL: u64 = (1 << 31) - 1;

/// How many steps the constants of Go's generator have been run from a plain seed of 1.
const STEPS: i64 = 7_800_000_000_000;

/// The order of P-256, less one (NIST SP 800-186), in 64-bit words, the lowest first.
const ORDER_LESS_ONE: [u64; 4] =
    [0xf3b9_cac2_fc63_2550, 0xbce6_faad_a717_9e84, 0xffff_ffff_ffff_ffff, 0xffff_ffff_0000_0000];

/// The private scalar that belongs to a `CONTROLLER_KEY`, given as the bytes of its text.
pub fn scalar(seed: &[u8]) -> [u8; 32] {
    let hash = digest(&SHA256, seed);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    let mut random = GoRandom::new(i64::from_be_bytes(first));
    let mut bytes = [0; 40];
    random.fill(&mut bytes);
    reduce(&bytes)
}

/// A big-endian number modulo the order of P-256 less one, plus one.
fn reduce(bytes: &[u8; 40]) -> [u8; 32] {
    let mut rest = [0u64; 4];
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        let mut carry = u64::from(bit);
        for word in &mut rest {
            let next = *word >> 63;
            *word = *word << 1 | carry;
            carry = next;
        }
        let (less, borrowed) = subtract(rest, ORDER_LESS_ONE);
        // The bit that was shifted out is what a borrow takes.
        if carry == 1 || !borrowed {
            rest = less;
        }
    }
    // The largest rest is two less than the order, so the sum fits.
    let mut carry = true;
    let mut scalar = [0; 32];
    for (word, out) in rest.iter().zip(scalar.rchunks_exact_mut(8)) {
        let (sum, over) = word.overflowing_add(u64::from(carry));
        carry = over;
        out.copy_from_slice(&sum.to_be_bytes());
    }
    scalar
}

fn subtract(from: [u64; 4], what: [u64; 4]) -> ([u64; 4], bool) {
    let mut borrowed = false;
    let mut result = [0; 4];
    for (place, out) in result.iter_mut().enumerate() {
        let (first, one) = from[place].overflowing_sub(what[place]);
        let (second, two) = first.overflowing_sub(u64::from(borrowed));
        (*out, borrowed) = (second, one || two);
    }
    (result, borrowed)
}

/// Go's seeded generator: each word is the sum of the one 607 and the one 273 places back.
struct GoRandom {
    state: [u64; LENGTH],
    tap: usize,
    feed: usize,
}

impl GoRandom {
    fn new(seed: i64) -> Self {
        let constants = &*CONSTANTS;
        let mut state = plain(seed, [40, 20]);
        for (word, constant) in state.iter_mut().zip(constants) {
            *word ^= constant;
        }
        Self { state, tap: 0, feed: LENGTH - TAP }
    }

    /// 63 bits.
    fn next(&mut self) -> u64 {
        self.tap = (self.tap + LENGTH - 1) % LENGTH;
        self.feed = (self.feed + LENGTH - 1) % LENGTH;
        let sum = self.state[self.feed].wrapping_add(self.state[self.tap]);
        self.state[self.feed] = sum;
        sum & (u64::MAX >> 1)
    }

    /// Seven bytes of each number, the lowest first.
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(7) {
            let number = self.next().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}

/// The state that a seed gives, before anything is mixed in: three numbers of a small generator for each word.
fn plain(seed: i64, shifts: [u32; 2]) -> [u64; LENGTH] {
    let modulus = i64::try_from(SMALL).unwrap_or(i64::MAX);
    let reduced = seed.rem_euclid(modulus);
    let mut small = match u64::try_from(reduced) {
        Ok(0) | Err(_) => 89_482_311,
        Ok(reduced) => reduced,
    };
    let mut step = || {
        small = small * 48_271 % SMALL;
        small
    };
    for _ in 0..20 {
        step();
    }
    std::array::from_fn(|_| (step() << shifts[0]) ^ (step() << shifts[1]) ^ step())
}

/// What Go mixes into every state. It is published as a table; the table is the generator itself, seeded plainly with 1, after
/// 7.8 · 10¹² steps. They are made at once here: n steps are the polynomial zⁿ modulo z⁶⁰⁷ − z³³⁴ − 1.
static CONSTANTS: LazyLock<[u64; LENGTH]> = LazyLock::new(|| {
    // Those that are there before the first step count as made by the 607 steps before it.
    let start = plain(1, [20, 10]);
    let mut words: Vec<u64> = (-606..=0).map(|step| start[place(step)]).collect();
    for index in LENGTH..2 * LENGTH {
        words.push(words[index - LENGTH].wrapping_add(words[index - TAP]));
    }
    let jump = power(STEPS.unsigned_abs());
    let mut constants = [0; LENGTH];
    for (offset, step) in (STEPS - 606..=STEPS).enumerate() {
        let terms = jump.iter().zip(&words[offset..]).map(|(factor, word)| factor.wrapping_mul(*word));
        constants[place(step)] = terms.fold(0, u64::wrapping_add);
    }
    constants
});

/// Where the word is that this step makes.
fn place(step: i64) -> usize {
    usize::try_from((334 - step).rem_euclid(607)).unwrap_or(0)
}

/// z to this power, modulo z⁶⁰⁷ − z³³⁴ − 1.
fn power(exponent: u64) -> Vec<u64> {
    let mut result = vec![0; LENGTH];
    result[0] = 1;
    for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
        result = square(&result);
        if exponent >> bit & 1 == 1 {
            result.insert(0, 0);
            fold(&mut result);
        }
    }
    result
}

fn square(factor: &[u64]) -> Vec<u64> {
    let mut product = vec![0u64; 2 * LENGTH - 1];
    for (place, one) in factor.iter().enumerate().filter(|(_, one)| **one != 0) {
        for (sum, other) in product[place..].iter_mut().zip(factor) {
            *sum = sum.wrapping_add(one.wrapping_mul(*other));
        }
    }
    fold(&mut product);
    product
}

/// Brings a polynomial below degree 607.
fn fold(polynomial: &mut Vec<u64>) {
    while polynomial.len() > LENGTH {
        let Some(top) = polynomial.pop() else { return };
        let degree = polynomial.len();
        for lower in [degree - LENGTH, degree - TAP] {
            polynomial[lower] = polynomial[lower].wrapping_add(top);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    #[test]
    fn the_generator_gives_what_go_gives() {
        let mut random = GoRandom::new(1);
        let first: Vec<_> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, [5_577_006_791_947_779_410, 8_674_665_223_082_153_551, 6_129_484_611_666_145_821]);
        for (seed, start) in [(0, "0194fdc2fa2ffcc0"), (1, "52fdfc072182654f")] {
            let mut bytes = [0; 8];
            GoRandom::new(seed).fill(&mut bytes);
            assert_eq!(hex(&bytes), start);
        }
    }

    #[test]
    fn the_bytes_of_a_seed_are_those_that_were_recorded() {
        for (seed, bytes) in [
            (
                -2_039_914_840_885_289_964,
                "e89fb81d205713945e203848e2f5c312067649f9a40727ca26b672b164cd1f9108f564958b203121",
            ),
            (
                -6_951_639_720_043_709_083,
                "8f83b7189b6998c57cc211b5690b8eac994f43a7e750f390fb48cb8859c441bc966e0f6402d26740",
            ),
            (
                -5_598_310_515_406_825_619,
                "6f8c65269b9fcd4f4838e2149080c4b983eb76442943b5593edbdea253c6afad729d2a1e8bfdd6a3",
            ),
        ] {
            let mut filled = [0; 40];
            GoRandom::new(seed).fill(&mut filled);
            assert_eq!(hex(&filled), bytes);
        }
    }

    #[test]
    fn the_scalar_of_a_key_is_the_one_that_was_recorded() {
        for (key, wanted) in [
            ("", "7e774bdbd9fef761436ed3986dda3f9c91fc3c92ea0e91dbbf5615d2111cf4d2"),
            ("test", "182baa7a3e1e3ecebeecc36c1b9df17fbda53bf64e72ecece4874db1e1445be1"),
            ("jumpstarter", "e3d8af6285549244a1281bc4e1b00c1323c833d4875490fce22a86e0fba42914"),
        ] {
            assert_eq!(hex(&scalar(key.as_bytes())), wanted, "{key}");
        }
    }

    #[test]
    fn a_number_is_reduced_at_its_edges() {
        let mut order = [0; 40];
        for (word, out) in ORDER_LESS_ONE.iter().zip(order.rchunks_exact_mut(8)) {
            out.copy_from_slice(&word.to_be_bytes());
        }
        assert_eq!(hex(&reduce(&order)), format!("{:064x}", 1), "the order less one is zero, plus one");
        order[39] -= 1;
        assert!(hex(&reduce(&order)).ends_with("632550"), "the largest one");
        assert_eq!(hex(&reduce(&[0; 40])), format!("{:064x}", 1));
        // By Python: (2**320 - 1) % (n - 1) + 1.
        let largest = "fffffffe00000001431905529c0166cd22159165b6faae71f756a572fc632550";
        assert_eq!(hex(&reduce(&[0xff; 40])), largest);
    }
}
