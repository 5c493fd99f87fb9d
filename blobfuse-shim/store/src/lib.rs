//! Blob storage as a mount needs it: trait and Azure implementation.
