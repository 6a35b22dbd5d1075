//! A TCP relay, whose connections a test cuts or silences.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What is passed on at a time.
const CHUNK: usize = 16 << 10;

/// By what a connection of a Redis subscriber is known.
const SUBSCRIBE: &[u8] = b"SUBSCRIBE";

/// Passes connections on to somebody else; dropped, it closes them all.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: watch::Sender<State>,
    // Aborted with it.
    _tasks: JoinSet<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    SubscribersSilent,
    Silent,
    Cut,
}

impl Relay {
    /// Starts one that passes on to `target`, which may come later.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
        let address = listener.local_addr()?;
        let state = watch::Sender::new(State::Open);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, state.subscribe()));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection, and each new one at once, until it is mended.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Passes nothing on and closes nothing, as a network does that has broken unseen. New
    /// connections are accepted. Whoever closes one is not heard at the other end either.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// The same for connections that have subscribed to a channel of Redis, also later ones; all
    /// others go on.
    pub fn silence_subscribers(&self) {
        self.state.send_replace(State::SubscribersSilent);
    }

    /// Passes everything on again: new connections, and what waits in those that were silent.
    pub fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: watch::Receiver<State>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                if *state.borrow() != State::Cut {
                    connections.spawn(pass_on(client, target, state.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(client: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    let gate = Gate { state: state.clone(), subscribes: Arc::default() };
    let both = async {
        let server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        tokio::try_join!(
            pump(from_client, to_server, gate.clone(), true),
            pump(from_server, to_client, gate, false),
        )
    };
    tokio::select! {
        // How a connection ends is seen by its two ends.
        _ = both => {}
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

/// Passes one direction on, and its end.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut gate: Gate,
    asks: bool,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await;
        let size = *read.as_ref().unwrap_or(&0);
        if asks && chunk[..size].windows(SUBSCRIBE.len()).any(|bytes| bytes == SUBSCRIBE) {
            gate.subscribes.store(true, Ordering::Relaxed);
        }
        gate.opens().await;
        match read? {
            0 => return to.shutdown().await,
            size => to.write_all(&chunk[..size]).await?,
        }
    }
}

/// Whether one connection may pass anything on.
#[derive(Debug, Clone)]
struct Gate {
    state: watch::Receiver<State>,
    subscribes: Arc<AtomicBool>,
}

impl Gate {
    async fn opens(&mut self) {
        let subscribes = &self.subscribes;
        let open = |state: &State| match state {
            State::Open | State::Cut => true,
            State::SubscribersSilent => !subscribes.load(Ordering::Relaxed),
            State::Silent => false,
        };
        // The relay has gone: this task is about to be aborted.
        let _ = self.state.wait_for(open).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::{error::Elapsed, timeout},
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        (address, tasks)
    }

    /// Whether it answers, or has ended; `Err` if it does neither within `patience`.
    async fn exchange(
        stream: &mut TcpStream,
        say: &[u8],
        patience: Duration,
    ) -> Result<bool, Elapsed> {
        let mut answer = vec![0; say.len()];
        let exchange = async {
            stream.write_all(say).await?;
            stream.read_exact(&mut answer).await
        };
        Ok(timeout(patience, exchange).await?.is_ok())
    }

    async fn answers(stream: &mut TcpStream) -> bool {
        exchange(stream, b"hi", PATIENCE).await.expect("neither an answer nor an end")
    }

    async fn is_silent(stream: &mut TcpStream, say: &[u8]) -> bool {
        exchange(stream, say, Duration::from_millis(100)).await.is_err()
    }

    #[tokio::test]
    async fn it_passes_on_until_it_is_cut_and_again_when_it_is_mended() {
        let (target, _echo) = echo().await;
        let relay = Relay::start(target).await.unwrap();
        let mut first = TcpStream::connect(relay.address()).await.unwrap();
        assert!(answers(&mut first).await);

        relay.cut();
        assert!(!answers(&mut first).await);
        let mut second = TcpStream::connect(relay.address()).await.unwrap();
        assert!(!answers(&mut second).await);

        relay.mend();
        let mut third = TcpStream::connect(relay.address()).await.unwrap();
        assert!(answers(&mut third).await);
    }

    #[tokio::test]
    async fn silenced_it_closes_nothing_and_mended_it_passes_on_what_waits() {
        let (target, _echo) = echo().await;
        let relay = Relay::start(target).await.unwrap();
        let mut old = TcpStream::connect(relay.address()).await.unwrap();
        assert!(answers(&mut old).await);
        relay.silence();
        assert!(is_silent(&mut old, b"1").await);
        let mut new = TcpStream::connect(relay.address()).await.unwrap();
        assert!(is_silent(&mut new, b"2").await);

        relay.mend();
        for (stream, waited) in [(&mut old, b'1'), (&mut new, b'2')] {
            assert_eq!(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap(), waited);
            assert!(answers(stream).await);
        }
    }

    #[tokio::test]
    async fn it_silences_subscribers_alone() {
        let (target, _echo) = echo().await;
        let relay = Relay::start(target).await.unwrap();
        let mut plain = TcpStream::connect(relay.address()).await.unwrap();
        let mut subscriber = TcpStream::connect(relay.address()).await.unwrap();
        let say = b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nx\r\n";
        assert!(exchange(&mut subscriber, say, PATIENCE).await.unwrap());
        relay.silence_subscribers();
        assert!(is_silent(&mut subscriber, b"1").await);
        assert!(answers(&mut plain).await);
        let mut later = TcpStream::connect(relay.address()).await.unwrap();
        assert!(is_silent(&mut later, say).await);
    }
}
