//! What every sidecar speaks: Unix-socket server and client with peer checks, HTTPS client, retry, error bodies.
