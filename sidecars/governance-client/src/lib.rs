//! What a sidecar asks of the governance sidecar: consent, events, tokens.
