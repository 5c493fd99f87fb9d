//! Every Azure service a clean room talks to, on the real wire, in memory.
//!
//! A library first, so that one test owns one [`world`]; the binary `azure-emulator` serves the same world to other
//! processes. Nothing here depends on the product's crates: what the product sends is judged by a second implementation.
pub mod amd;
pub mod blob;
pub mod cgs;
pub mod entra;
pub mod maa;
pub mod registry;
pub mod thim;
pub mod upset;
pub mod vault;
pub mod world;
