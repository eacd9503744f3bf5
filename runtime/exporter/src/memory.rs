//! Memory that the process does not need any more.

/// Gives what the allocator keeps for later back to the system. Worth it after many streams have been open at once; for an
/// exporter that then has nothing to do for hours, later may be never.
///
/// Does nothing where the allocator is not glibc's; others give back by themselves.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: The function has no preconditions; it takes the allocator's own locks.
    #[expect(unsafe_code, reason = "there is no safe binding")]
    let _ = unsafe { libc::malloc_trim(0) };
}
