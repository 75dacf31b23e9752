//! What happens, told to whoever follows it just then. Nothing is kept for who comes later, and nobody pays while nobody follows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much is kept for followers that lag: who lags more misses some, and is told so.
const KEPT_MAX: usize = 1024;

/// Tells what happens. It waits for nobody.
pub struct Ticker<T> {
    recent: Mutex<Recent<T>>,
    came: event_listener::Event,
    followers: AtomicUsize,
}

struct Recent<T> {
    kept: VecDeque<Arc<T>>,
    /// How much was ever told: the number of what comes next.
    told: u64,
}

impl<T> Default for Ticker<T> {
    fn default() -> Self {
        let recent = Mutex::new(Recent { kept: VecDeque::new(), told: 0 });
        Self { recent, came: event_listener::Event::new(), followers: AtomicUsize::new(0) }
    }
}

impl<T> Ticker<T> {
    /// Whether anybody follows: else nothing need be told.
    pub fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Acquire) > 0
    }

    /// Tells those who follow.
    pub fn tell(&self, news: impl IntoIterator<Item = T>) {
        if !self.is_followed() {
            return;
        }
        let mut news = news.into_iter().peekable();
        if news.peek().is_none() {
            return;
        }
        let mut recent = self.recent();
        for one in news {
            recent.kept.push_back(Arc::new(one));
            recent.told += 1;
        }
        let surplus = recent.kept.len().saturating_sub(KEPT_MAX);
        recent.kept.drain(..surplus);
        drop(recent);
        self.came.notify(usize::MAX);
    }

    /// Follows from now on.
    pub fn follow(self: &Arc<Self>) -> Following<T> {
        self.followers.fetch_add(1, Ordering::AcqRel);
        let cursor = self.recent().told;
        Following { ticker: self.clone(), cursor }
    }

    fn recent(&self) -> MutexGuard<'_, Recent<T>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who follows.
pub struct Following<T> {
    ticker: Arc<Ticker<T>>,
    cursor: u64,
}

/// What a follower has to hear at once.
pub struct News<T> {
    /// What happened, in order.
    pub news: Vec<Arc<T>>,
    /// How much before it was missed, because the follower lagged.
    pub missed: u64,
}

impl<T> Following<T> {
    /// What has happened since, at least one; waits for it.
    pub async fn next(&mut self) -> News<T> {
        loop {
            let came = self.ticker.came.listen();
            if let Some(news) = self.take() {
                return news;
            }
            came.await;
        }
    }

    fn take(&mut self) -> Option<News<T>> {
        let recent = self.ticker.recent();
        let oldest = recent.told - recent.kept.len() as u64;
        let missed = oldest.saturating_sub(self.cursor);
        let from = usize::try_from(self.cursor + missed - oldest).unwrap_or(usize::MAX);
        let news: Vec<Arc<T>> = recent.kept.iter().skip(from).cloned().collect();
        self.cursor = recent.told;
        (!news.is_empty()).then_some(News { news, missed })
    }
}

impl<T> Drop for Following<T> {
    fn drop(&mut self) {
        if self.ticker.followers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ticker.recent().kept.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(following: &mut Following<u32>) -> (Vec<u32>, u64) {
        following.take().map_or_else(Default::default, |it| (it.news.iter().map(|one| **one).collect(), it.missed))
    }

    #[test]
    fn who_follows_hears_what_came_since_and_how_much_was_missed() {
        let ticker = Arc::new(Ticker::default());
        ticker.tell([1]);
        let mut first = ticker.follow();
        assert_eq!(heard(&mut first), (vec![], 0));
        ticker.tell([2, 3]);
        let mut second = ticker.follow();
        ticker.tell([4]);
        assert_eq!((heard(&mut first), heard(&mut second)), ((vec![2, 3, 4], 0), (vec![4], 0)));
        ticker.tell(0..1500);
        let (news, missed) = heard(&mut first);
        assert_eq!((news.first(), news.last(), missed), (Some(&476), Some(&1499), 476));
        drop((first, second));
        ticker.tell([5]);
        assert!(ticker.recent().kept.is_empty());
    }
}
