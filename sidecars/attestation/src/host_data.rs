/// host_data of the two published sample policies that allow everything: a key released to them is released to anyone.
pub const ALLOW_ALL_HOST_DATA: [&str; 2] = [
    "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20",
    "7ec5120f0f497e22b18e59ed702ed82e2732562245c9a944f54cd41db4f491af",
];

/// Whether a host_data belongs to one of the well-known policies that allow everything.
pub fn is_allow_all(host_data: &[u8; 32]) -> bool {
    let text = hex::encode(host_data);
    ALLOW_ALL_HOST_DATA.contains(&text.as_str())
}
