//! A relay in front of a server, which can swallow what the server answers.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

/// Bytes carried at once.
const CARRIED_BYTES: usize = 16 << 10;

/// A port of its own on loopback that leads to another. It ends with the test's process.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    behind: Arc<Behind>,
}

#[derive(Debug, Default)]
struct Behind {
    port: AtomicU16,
    is_swallowing: AtomicBool,
}

impl Relay {
    /// Opens one that leads nowhere yet.
    ///
    /// # Errors
    /// When there is no port.
    pub fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let behind = Arc::new(Behind::default());
        let served = behind.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|near| drop(served.join(near))));
        Ok(Self { port, behind })
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it leads to this port.
    pub fn lead_to(&self, port: u16) {
        self.behind.port.store(port, Ordering::SeqCst);
    }

    /// Carries on what is sent to the server, and nothing of what that answers.
    pub fn swallow_answers(&self) {
        self.behind.is_swallowing.store(true, Ordering::SeqCst);
    }

    /// Carries on everything again, on connections to come.
    pub fn carry_answers(&self) {
        self.behind.is_swallowing.store(false, Ordering::SeqCst);
    }
}

impl Behind {
    /// Carries bytes both ways between who came and the server; who comes while there is none is sent away.
    fn join(self: &Arc<Self>, near: TcpStream) -> io::Result<()> {
        let far = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.load(Ordering::SeqCst)))?;
        let (mut sent, mut to_far) = (near.try_clone()?, far.try_clone()?);
        std::thread::spawn(move || {
            let _ = io::copy(&mut sent, &mut to_far);
            let _ = to_far.shutdown(Shutdown::Both);
        });
        let behind = self.clone();
        std::thread::spawn(move || {
            let _ = behind.answer(far, &near);
            let _ = near.shutdown(Shutdown::Both);
        });
        Ok(())
    }

    /// One answer swallowed, a connection carries no more of them: what follows would make no sense.
    fn answer(&self, mut far: TcpStream, mut near: &TcpStream) -> io::Result<()> {
        let (mut buffer, mut is_deaf) = ([0; CARRIED_BYTES], false);
        loop {
            let read = far.read(&mut buffer)?;
            is_deaf |= self.is_swallowing.load(Ordering::SeqCst);
            match buffer.get(..read) {
                Some([]) | None => return Ok(()),
                Some(answer) if !is_deaf => near.write_all(answer)?,
                Some(_) => {}
            }
        }
    }
}
