//! Images that are not files: of a registry, and of a Docker engine. Both are streamed into [`image_layers`], which compares
//! every document and blob with its digest; nothing is written to disk.
//!
//! The sources are synchronous, as `image_layers` is: they read on threads of their own, and ask a running multi-threaded
//! runtime of tokio for the bytes. They must not be used on that runtime's own threads, except within `spawn_blocking`. The
//! process must have installed a provider of cryptography for TLS.

mod credential;
mod engine;
mod reader;
mod registry;

pub use credential::{docker_config, find_credential};
pub use engine::{DEFAULT_SOCKET, saved_image};
pub use reader::BlockingReader;
pub use registry::{RegistryAccess, RegistryImage, names_registry};
pub use registry_client::Credential;
