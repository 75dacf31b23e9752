//! Bytes that wait for whoever reads them, bounded by how many they are and not by how many pieces.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What a piece costs besides its bytes, so that many small ones are bounded too.
const PIECE_COST_BYTES: usize = 64;

/// Where bytes go in. Dropped, no more come.
pub(super) struct Inlet {
    room: Arc<Semaphore>,
    bytes_max: usize,
    pieces: mpsc::UnboundedSender<(Bytes, OwnedSemaphorePermit)>,
}

/// Where they come out. Dropped, nobody waits for them any more.
pub(super) struct Outlet {
    room: Arc<Semaphore>,
    pieces: mpsc::UnboundedReceiver<(Bytes, OwnedSemaphorePermit)>,
}

/// A pipe that holds so many bytes.
pub(super) fn pipe(bytes_max: usize) -> (Inlet, Outlet) {
    let room = Arc::new(Semaphore::new(bytes_max));
    let (sender, receiver) = mpsc::unbounded_channel();
    (Inlet { room: room.clone(), bytes_max, pieces: sender }, Outlet { room, pieces: receiver })
}

impl Inlet {
    /// Puts a piece in once there is room. False when nobody reads.
    pub(super) async fn put(&self, bytes: Bytes) -> bool {
        // A piece larger than the pipe fills it alone.
        let cost = (bytes.len() + PIECE_COST_BYTES).min(self.bytes_max);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let Ok(permit) = self.room.clone().acquire_many_owned(cost).await else { return false };
        self.pieces.send((bytes, permit)).is_ok()
    }
}

impl Outlet {
    /// The next piece; nothing when no more come.
    pub(super) async fn take(&mut self) -> Option<Bytes> {
        self.pieces.recv().await.map(|(bytes, _)| bytes)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_pipe_holds_bytes_however_they_are_cut_and_lets_go_with_its_outlet() {
        for (piece, fit) in [(0, 16), (64, 8), (960, 1), (5000, 1)] {
            let (inlet, mut outlet) = pipe(1024);
            let put = || inlet.put(Bytes::from(vec![1; piece])).now_or_never();
            let held = std::iter::from_fn(put).take(100).count();
            assert_eq!(held, fit, "pieces of {piece} bytes");
            assert_eq!(outlet.take().await.map(|bytes| bytes.len()), Some(piece));
            assert_eq!(put(), Some(true), "what is taken makes room");
            drop(outlet);
            assert_eq!(put(), Some(false));
        }
    }
}
