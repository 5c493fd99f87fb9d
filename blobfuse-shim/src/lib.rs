//! An encrypting FUSE mount: clear text inside, cipher text in storage.
