use std::time::Duration;

use tokio::time::Instant;

/// The one timer towards a remote service that offers no notification: pauses that double up to a ceiling, with up to a
/// quarter of jitter so that the clean rooms of one service do not ask in step.
#[derive(Debug)]
pub struct Pace {
    next: Duration,
    ceiling: Duration,
    end: Instant,
}

impl Pace {
    /// The first pause, the longest without its jitter, and when asking ends.
    pub fn new(first: Duration, ceiling: Duration, within: Duration) -> Self {
        Self {
            next: first,
            ceiling,
            end: Instant::now() + within,
        }
    }

    /// Pauses; `false` without a pause when the time would be over at its end.
    pub async fn pause(&mut self) -> bool {
        let jitter = cleanroom_crypto::random::bytes::<1>().map_or(0, |[byte]| u32::from(byte));
        let pause = self.next + self.next * jitter / 1024;
        if Instant::now() + pause >= self.end {
            return false;
        }
        tokio::time::sleep(pause).await;
        self.next = (self.next * 2).min(self.ceiling);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_the_ceiling_and_end_with_the_deadline() {
        let start = Instant::now();
        let within = Duration::from_secs(5);
        let mut pace = Pace::new(
            Duration::from_millis(20),
            Duration::from_millis(500),
            within,
        );
        let mut pauses = 0;
        while pace.pause().await {
            pauses += 1;
        }
        assert!(start.elapsed() <= within);
        // 20, 40, 80, 160, 320, then 500 to 625 ms each.
        assert!((11..=14).contains(&pauses), "{pauses}");
    }
}
