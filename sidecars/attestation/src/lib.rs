//! SEV-SNP evidence: reports, endorsements, attesters, verification, MAA tokens.
