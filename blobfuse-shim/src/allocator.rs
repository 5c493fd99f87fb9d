//! The process's memory beside what counts against the budget for file content.

/// Code, threads, what HTTP and TLS hold on the way, and what the allocator keeps, in bytes.
const PROCESS: u64 = 24 << 20;

/// The part of a limit for the whole process that file content may have, in bytes.
pub const fn content_memory(limit: u64) -> u64 {
    limit.saturating_sub(PROCESS)
}

/// The limit for the whole process with which file content may have `bytes`.
pub(crate) const fn limit_for(bytes: u64) -> u64 {
    bytes.saturating_add(PROCESS)
}

/// Buffers of file content are large and short-lived: each is a mapping of its own, so that the budget is what stays
/// resident. By default the C library keeps them in one heap per thread. Must be called before any thread starts.
#[allow(unsafe_code)]
pub fn tune_allocator() {
    // SAFETY: sets numbers, before any thread is started.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_ARENA_MAX, 2);
        // Shorter ones come and go with every request: giving each back to the kernel costs more than using it.
        libc::mallopt(libc::M_TRIM_THRESHOLD, 4 << 20);
    }
}
