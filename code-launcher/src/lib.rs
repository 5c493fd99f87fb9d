//! Consent, pull, run, audit: the life of the application container.
