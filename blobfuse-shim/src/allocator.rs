/// Buffers of file content are large and short-lived: each is a mapping of its own, so that the budget is what stays
/// resident. By default the C library keeps them in one heap per thread. Must be called before any thread starts.
#[allow(unsafe_code)]
pub fn tune_allocator() {
    // SAFETY: sets two numbers, before any thread is started.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}
