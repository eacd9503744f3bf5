//! How much memory a check takes, counted where it is allocated.

#![expect(
    unsafe_code,
    reason = "an allocator can be written no other way; it hands everything on to the system's"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Counts what each thread holds.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that ends frees memory after its counters are gone.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every method hands its arguments to the system's allocator as they are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above; `pointer` came from this allocator, that is, from the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What no file may need.
pub(crate) const LIMIT: usize = 64 * 1024 * 1024;

/// The most bytes that this thread held at once while `run` ran, beyond those before.
pub(crate) fn most(run: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    run();
    (MOST.get() - before).max(0).cast_unsigned()
}

#[test]
fn the_counter_sees_what_is_allocated() {
    let most = most(|| drop(std::hint::black_box(vec![0_u8; 5_000_000])));
    assert!((5_000_000..5_100_000).contains(&most), "{most}");
}
