//! Evidence in AMD's and Microsoft's layouts under the test root, each part of which a vector can spoil before it is signed.

pub(crate) mod certificate;
pub(crate) mod crl;
pub(crate) mod der;
pub(crate) mod keys;
pub(crate) mod uvm;
mod world;

pub(crate) use world::{Evidence, World};
