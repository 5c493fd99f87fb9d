//! Key Vault and managed HSM: secure key release, key import, secrets.
