//! Every message as one table: its type on the wire, its payload here.

use crate::decode::DecodeError;
use crate::json::Json;
use crate::text_enum::text_enum;
use crate::{job, session};

/// A payload that has a message type of its own.
pub trait Payload: serde::Serialize + serde::de::DeserializeOwned {
    /// The message that carries it.
    const TYPE: MessageType;

    /// The encoded payload.
    fn to_json(&self) -> Json {
        // Payloads are structs with string keys throughout: encoding one cannot fail.
        Json::encode(self).unwrap_or_else(|_| Json::empty_object())
    }
}

macro_rules! messages {
    ( $( $(#[$meta:meta])* $variant:ident($payload:ty) = $word:literal, )+ ) => {
        text_enum! {
            /// The type of a message (§6, §7).
            pub enum MessageType {
                $( $(#[$meta])* $variant = $word, )+
            }
        }

        /// A message with its payload decoded.
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub enum Message {
            $( $(#[$meta])* $variant($payload), )+
            /// A message of a type that this version does not know; receivers ignore it.
            Unknown,
        }

        impl Message {
            /// Decodes a payload as its message type demands.
            ///
            /// # Errors
            /// Gives the JSON path within the payload.
            pub fn decode(message_type: &MessageType, payload: &Json) -> Result<Self, DecodeError> {
                if !payload.is_object() && message_type.is_known() {
                    return Err(DecodeError::new("", "expected an object"));
                }
                match message_type {
                    $( MessageType::$variant => messages!(@decode $variant, payload), )+
                    MessageType::Other(_) => Ok(Self::Unknown),
                }
            }
        }

        $(
            impl Payload for $payload {
                const TYPE: MessageType = MessageType::$variant;
            }
        )+
    };
    // An event's body stays text, sharing the memory of the payload.
    (@decode JobEvent, $json:ident) => { job::Event::from_json($json).map(Self::JobEvent) };
    (@decode $variant:ident, $json:ident) => { $json.decode().map(Self::$variant) };
}

messages! {
    /// The client introduces itself (§6.2).
    SessionHello(session::Hello) = "session.hello",
    /// The runtime opens, or reopens, a session (§6.2).
    SessionWelcome(session::Welcome) = "session.welcome",
    /// The client resumes a session (§6.3).
    SessionResume(session::ResumeRequest) = "session.resume",
    /// The runtime refuses a handshake or a request (§12).
    SessionError(session::Error) = "session.error",
    /// A sign of life that wants an answer (§6.4).
    SessionPing(session::Ping) = "session.ping",
    /// The answer (§6.4).
    SessionPong(session::Pong) = "session.pong",
    /// How far the client has come (§6.5).
    SessionAck(session::Ack) = "session.ack",
    /// The client asks for jobs (§6.6).
    SessionListJobs(session::ListJobs) = "session.list_jobs",
    /// A page of jobs (§6.6).
    SessionJobs(session::Jobs) = "session.jobs",
    /// The client ends the session (§6.7).
    SessionClose(session::Close) = "session.close",
    /// The runtime has ended it (§6.7).
    SessionClosed(session::Closed) = "session.closed",
    /// The close of version 1.0, either way.
    SessionBye(session::Bye) = "session.bye",
    /// The client submits a job (§7.1).
    JobSubmit(job::Submit) = "job.submit",
    /// The runtime has taken the job (§7.1).
    JobAccepted(job::Accepted) = "job.accepted",
    /// Something happened in a job (§8).
    JobEvent(job::Event) = "job.event",
    /// The job has succeeded (§7.3).
    JobResult(job::JobResult) = "job.result",
    /// The job has ended otherwise (§7.3).
    JobError(job::JobError) = "job.error",
    /// The client cancels a job (§7.4).
    JobCancel(job::Cancel) = "job.cancel",
    /// The runtime acknowledges a cancellation (§7.4).
    JobCancelled(job::Cancelled) = "job.cancelled",
    /// The client attaches to a job (§7.6).
    JobSubscribe(job::Subscribe) = "job.subscribe",
    /// The runtime has attached it (§7.6).
    JobSubscribed(job::Subscribed) = "job.subscribed",
    /// The client detaches from a job (§7.6).
    JobUnsubscribe(job::Unsubscribe) = "job.unsubscribe",
}
