//! A session: one connection with one namespace, read by a task of its own.

use std::{collections::VecDeque, time::Duration};

use serde::Deserialize;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    error::{CloseReason, ConnectError},
    event::{self, Event, Notice, Ready},
    options::SessionOptions,
    packet::{self, EnginePacket, Handshake, SocketKind, SocketPacket},
    transport::Link,
};

/// How many commands may wait.
const COMMANDS: usize = 16;

/// How long a polite end may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// One namespace connection. Dropping it breaks its TCP connections without a word, as a client
/// that loses its network does; [`close`](Self::close) takes leave.
///
/// Events wait in a bounded queue; a session whose events nobody takes stops reading, and the
/// server comes to see a slow client.
#[derive(Debug)]
pub struct Session {
    namespace: String,
    socket_id: String,
    engine_id: String,
    early: VecDeque<Event>,
    events: mpsc::Receiver<Event>,
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
enum Command {
    Send(String),
    Close,
    Freeze,
    Thaw,
}

impl Session {
    /// Opens a connection and joins the namespace.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], which tells an HTTP answer, a `connect_error`, a broken connection and a
    /// time-out apart.
    pub async fn connect(options: SessionOptions) -> Result<Self, ConnectError> {
        let patience = options.timeout;
        match timeout(patience, join(options)).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::TimedOut(patience)),
        }
    }

    /// The same, and again for as long as the gateway turns new clients away (503) and `patience`
    /// lasts; each pause is what the gateway asks for.
    ///
    /// # Errors
    ///
    /// The last attempt's.
    pub async fn connect_patiently(
        options: SessionOptions,
        patience: Duration,
    ) -> Result<Self, ConnectError> {
        let deadline = Instant::now() + patience;
        loop {
            let error = match Self::connect(options.clone()).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            match error.turned_away() {
                Some(pause) if Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// The id that the namespace gave in its CONNECT answer.
    pub fn socket_id(&self) -> &str {
        &self.socket_id
    }

    /// Engine.IO's id of the connection.
    pub fn engine_id(&self) -> &str {
        &self.engine_id
    }

    /// The next event. After [`Event::Closed`] there is none. Can be dropped and called again
    /// without losing one.
    pub async fn next(&mut self) -> Option<Event> {
        match self.early.pop_front() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }

    /// Waits for `herald:ready` and passes over what comes before it.
    ///
    /// # Errors
    ///
    /// Why the session ended, or [`CloseReason::PingTimeout`] when `patience` is over first.
    pub async fn ready(&mut self, patience: Duration) -> Result<Ready, CloseReason> {
        self.find(patience, |event| match event {
            Event::Ready(ready) => Some(ready),
            _ => None,
        })
        .await
    }

    /// Waits for the next notice and passes over what comes before it.
    ///
    /// # Errors
    ///
    /// Why the session ended, or [`CloseReason::PingTimeout`] when `patience` is over first.
    pub async fn notice(&mut self, patience: Duration) -> Result<Notice, CloseReason> {
        self.find(patience, |event| match event {
            Event::Notice(notice) => Some(notice),
            _ => None,
        })
        .await
    }

    /// Waits for the session's end and passes over what comes before it. `None` when `patience` is
    /// over first.
    pub async fn closed(&mut self, patience: Duration) -> Option<CloseReason> {
        let deadline = Instant::now() + patience;
        loop {
            match timeout_at(deadline, self.next()).await {
                Ok(Some(Event::Closed(reason))) => return Some(reason),
                Ok(Some(_)) => {}
                Ok(None) => return Some(CloseReason::Local),
                Err(_) => return None,
            }
        }
    }

    async fn find<T>(
        &mut self,
        patience: Duration,
        wanted: impl Fn(Event) -> Option<T>,
    ) -> Result<T, CloseReason> {
        let deadline = Instant::now() + patience;
        loop {
            match timeout_at(deadline, self.next()).await {
                Ok(Some(Event::Closed(reason))) => return Err(reason),
                Ok(Some(event)) => {
                    if let Some(found) = wanted(event) {
                        return Ok(found);
                    }
                }
                Ok(None) => return Err(CloseReason::Local),
                Err(_) => return Err(CloseReason::PingTimeout),
            }
        }
    }

    /// Sends an event; `args` are JSON texts. Lost if the session has ended.
    pub async fn emit(&self, event: &str, args: &[&str]) {
        self.command(Command::Send(packet::event(&self.namespace, event, args))).await;
    }

    /// Acknowledges a notice that asked for it.
    pub async fn acknowledge(&self, notice: &Notice) {
        if let Some(id) = notice.ack {
            self.command(Command::Send(packet::ack(&self.namespace, id))).await;
        }
    }

    /// Sends any text as one Engine.IO packet, well-formed or not.
    pub async fn send_raw(&self, packet: impl Into<String>) {
        self.command(Command::Send(packet.into())).await;
    }

    /// Stops reading, and keeps the connection: once the kernel's buffers are full, the TCP window
    /// is zero. What is sent meanwhile, answers to pings included, is lost.
    pub async fn freeze(&self) {
        self.command(Command::Freeze).await;
    }

    /// Goes on reading after [`freeze`](Self::freeze).
    pub async fn thaw(&self) {
        self.command(Command::Thaw).await;
    }

    /// Leaves the namespace and closes the connection as an official client does. Events that
    /// nobody took are lost.
    pub async fn close(mut self) {
        self.command(Command::Close).await;
        // Whatever still arrives has to be taken, or the task would wait for room.
        let _ =
            timeout(CLOSE_DEADLINE, async { while self.events.recv().await.is_some() {} }).await;
    }

    async fn command(&self, command: Command) {
        // The task is gone when the session has ended; then there is nothing left to do.
        let _ = self.commands.send(command).await;
    }
}

async fn join(options: SessionOptions) -> Result<Session, ConnectError> {
    #[derive(Deserialize)]
    struct Joined {
        sid: String,
    }
    #[derive(Deserialize)]
    struct Rejected {
        message: String,
    }

    let (mut link, handshake) = Link::open(&options).await?;
    link.send(packet::connect(&options.namespace, &options.auth())).await?;

    let mut early = VecDeque::new();
    let socket_id = loop {
        let text = link.receive().await?;
        match read(&text, &mut link, &options.namespace).await? {
            Some(Incoming::Connected(data)) => {
                let joined: Joined = serde_json::from_str(data)
                    .map_err(|e| ConnectError::Protocol(format!("CONNECT answer: {e}")))?;
                break joined.sid;
            }
            Some(Incoming::Rejected(data)) => {
                let message = serde_json::from_str::<Rejected>(data)
                    .map_or_else(|_| data.to_owned(), |rejected| rejected.message);
                return Err(ConnectError::Rejected { message });
            }
            // Nothing promises that the answer comes before the first event.
            Some(Incoming::Event(event)) => early.push_back(event),
            None => {}
        }
    };

    let (event_sender, events) = mpsc::channel(options.event_queue.max(1));
    let (commands, command_receiver) = mpsc::channel(COMMANDS);
    let session = Session {
        namespace: options.namespace.clone(),
        socket_id,
        engine_id: handshake.sid.clone(),
        early,
        events,
        commands,
    };
    let task = Task { link, handshake, namespace: options.namespace, events: event_sender };
    tokio::spawn(task.run(command_receiver));
    Ok(session)
}

enum Incoming<'a> {
    Connected(&'a str),
    Rejected(&'a str),
    Event(Event),
}

/// Reads one packet and answers pings. `Err` is the session's end.
async fn read<'a>(
    text: &'a str,
    link: &mut Link,
    namespace: &str,
) -> Result<Option<Incoming<'a>>, CloseReason> {
    let message = match EnginePacket::parse(text)? {
        EnginePacket::Message(message) => message,
        EnginePacket::Ping(data) => {
            link.send(format!("3{data}")).await?;
            return Ok(None);
        }
        EnginePacket::Close => return Err(CloseReason::EngineClosed),
        EnginePacket::Open(_) => return Err(CloseReason::Protocol("second handshake".to_owned())),
        EnginePacket::Pong(_) | EnginePacket::Noop => return Ok(None),
    };
    let packet = SocketPacket::parse(message)?;
    if packet.namespace != namespace {
        // "Invalid namespace" names the namespace asked for; anything else is a stray.
        return Err(CloseReason::Protocol(format!("packet for namespace {}", packet.namespace)));
    }
    match packet.kind {
        SocketKind::Connect => Ok(Some(Incoming::Connected(packet.data))),
        SocketKind::ConnectError => Ok(Some(Incoming::Rejected(packet.data))),
        SocketKind::Disconnect => Err(CloseReason::ServerDisconnect),
        SocketKind::Event => Ok(Some(Incoming::Event(event::parse(packet.data, packet.ack)?))),
        SocketKind::Ack | SocketKind::Binary => Ok(None),
    }
}

struct Task {
    link: Link,
    handshake: Handshake,
    namespace: String,
    events: mpsc::Sender<Event>,
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        // Taken out before the last event, so that it goes even if nobody takes the event.
        let reason = self.serve(&mut commands).await;
        let Self { link, events, .. } = self;
        drop(link);
        if let Some(reason) = reason {
            let _ = events.send(Event::Closed(reason)).await;
        }
    }

    /// `None` when the session was dropped.
    async fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) -> Option<CloseReason> {
        let patience = self.handshake.patience();
        let mut deadline = Instant::now() + patience;
        loop {
            tokio::select! {
                received = timeout_at(deadline, self.link.receive()) => {
                    let text = match received {
                        Ok(Ok(text)) => text,
                        Ok(Err(reason)) => return Some(reason),
                        Err(_) => return Some(CloseReason::PingTimeout),
                    };
                    deadline = Instant::now() + patience;
                    match read(&text, &mut self.link, &self.namespace).await {
                        Ok(Some(Incoming::Event(event))) => self.events.send(event).await.ok()?,
                        Ok(_) => {}
                        Err(reason) => return Some(reason),
                    }
                }
                command = commands.recv() => match command {
                    Some(Command::Send(packet)) => {
                        if let Err(reason) = self.link.send(packet).await {
                            return Some(reason);
                        }
                    }
                    Some(Command::Freeze) => {
                        loop {
                            match commands.recv().await? {
                                Command::Thaw => break,
                                Command::Close => return Some(CloseReason::Local),
                                Command::Send(_) | Command::Freeze => {}
                            }
                        }
                        deadline = Instant::now() + patience;
                    }
                    Some(Command::Thaw) => {}
                    Some(Command::Close) => {
                        let _ = timeout(CLOSE_DEADLINE, self.take_leave()).await;
                        return Some(CloseReason::Local);
                    }
                    None => return None,
                }
            }
        }
    }

    async fn take_leave(&mut self) -> Result<(), CloseReason> {
        self.link.send(packet::disconnect(&self.namespace)).await?;
        self.link.close().await
    }
}
