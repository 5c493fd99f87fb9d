//! The identity sidecar: Entra ID tokens by federated credential, cached.
