use std::borrow::Cow;

use super::read_claims;

/// A token as a log may have it: without its signature if one of Microsoft's providers issued it, else not at all.
///
/// Without the signature no vault takes it; what remains are claims about the group, which are no secret.
pub fn redacted(jwt: &str) -> Cow<'static, str> {
    let of_microsoft = || {
        let claims = read_claims(jwt).ok()?;
        let issuer = claims.get("iss")?.as_str()?;
        let (signed, _) = jwt.rsplit_once('.')?;
        issuer
            .ends_with(".attest.azure.net")
            .then(|| format!("{signed}.***"))
    };
    of_microsoft().map_or(Cow::Borrowed("***"), Cow::Owned)
}
