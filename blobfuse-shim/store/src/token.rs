//! Where bearer tokens for the storage service come from.

use std::fmt;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sidecar_http::Coded;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// A bearer token; wiped on drop, never printed.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Takes a token.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The token's text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Gives tokens for `https://storage.azure.com`.
pub trait TokenSource: Send + Sync + 'static {
    /// A token that is valid for a while; with `renew`, not the one that was just refused.
    fn token(&self, renew: bool) -> BoxFuture<'_, Result<Token, Box<dyn Coded>>>;
}

/// One token, for a command that lives shorter than it.
#[derive(Debug)]
pub struct FixedToken(pub Token);

impl TokenSource for FixedToken {
    fn token(&self, _renew: bool) -> BoxFuture<'_, Result<Token, Box<dyn Coded>>> {
        let token = self.0.clone();
        Box::pin(async move { Ok(token) })
    }
}

type Fetched = Result<(Token, Duration), Box<dyn Coded>>;

/// Keeps a token for 80 % of its life and fetches one at a time, however many ask.
pub struct CachedTokens<F> {
    fetch: F,
    kept: Mutex<Option<(Token, Instant, Instant)>>,
}

impl<F> CachedTokens<F>
where
    F: Fn() -> BoxFuture<'static, Fetched> + Send + Sync + 'static,
{
    /// `fetch` answers with a token and how long it is valid.
    pub fn new(fetch: F) -> Self {
        Self {
            fetch,
            kept: Mutex::new(None),
        }
    }
}

impl<F> TokenSource for CachedTokens<F>
where
    F: Fn() -> BoxFuture<'static, Fetched> + Send + Sync + 'static,
{
    fn token(&self, renew: bool) -> BoxFuture<'_, Result<Token, Box<dyn Coded>>> {
        let asked = Instant::now();
        Box::pin(async move {
            let mut kept = self.kept.lock().await;
            if let Some((token, fetched, until)) = &*kept {
                // Whoever waited for another's renewal takes its result.
                let good = if renew {
                    *fetched > asked
                } else {
                    Instant::now() < *until
                };
                if good {
                    return Ok(token.clone());
                }
            }
            let (token, life) = (self.fetch)().await?;
            let now = Instant::now();
            let until = now.checked_add(life.mul_f64(0.8)).unwrap_or(now);
            *kept = Some((token.clone(), now, until));
            Ok(token)
        })
    }
}

impl<F> fmt::Debug for CachedTokens<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CachedTokens(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counted(life: Duration) -> (Arc<AtomicUsize>, impl TokenSource) {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let tokens = CachedTokens::new(move || {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                tokio::task::yield_now().await;
                Ok((Token::new(format!("token {number}")), life))
            })
        });
        (count, tokens)
    }

    #[tokio::test]
    async fn many_callers_share_one_fetch_and_a_refused_token_is_renewed_once() {
        let (count, tokens) = counted(Duration::from_secs(3600));
        let all = futures::future::join_all((0..20).map(|_| tokens.token(false))).await;
        assert!(
            all.iter()
                .all(|token| token.as_ref().unwrap().expose() == "token 0")
        );
        let all = futures::future::join_all((0..20).map(|_| tokens.token(true))).await;
        assert!(
            all.iter()
                .all(|token| token.as_ref().unwrap().expose() == "token 1")
        );
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_token_past_its_life_is_not_used() {
        let (count, tokens) = counted(Duration::ZERO);
        for _ in 0..3 {
            tokens.token(false).await.unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), 3);
        assert_eq!(
            format!("{:?}", Token::new("secret".to_owned())),
            "Token(..)"
        );
    }
}
