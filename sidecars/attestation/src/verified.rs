/// Something that has been checked. Nothing but the checks of this crate makes one: [`crate::verify_token`] of a token,
/// [`crate::Evidence::verified`] of evidence.
#[derive(Clone, Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) const fn new(checked: T) -> Self {
        Self(checked)
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
