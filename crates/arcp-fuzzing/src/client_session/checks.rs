//! What must hold of what a client says and of what its application is told.

use super::*;

impl Life {
    /// Takes what there is to send and to be told, and checks it.
    pub(super) fn drain(&mut self) {
        loop {
            let mut idle = true;
            while let Some(transmit) = self.machine.poll_transmit() {
                idle = false;
                self.send(transmit);
            }
            while let Some(event) = self.machine.poll_event() {
                idle = false;
                self.tell(event);
            }
            if idle {
                break;
            }
        }
        let taken = self.machine.last_event_seq();
        assert!(taken >= self.taken, "it counts backwards");
        self.taken = taken;
        let late = self.open.iter().find(|(_, (_, asked))| *asked + PATIENCE < self.clock.0);
        assert!(late.is_none(), "no answer in time: {late:?}");
    }

    fn send(&mut self, transmit: Transmit) {
        let Transmit::Frame(frame) = transmit else {
            if self.link != Link::Wanted {
                self.link = Link::Down;
            }
            return;
        };
        let envelope = Envelope::decode(frame.clone()).unwrap_or_else(|error| panic!("{error}: {frame}"));
        let message = envelope.message().unwrap_or_else(|error| panic!("{error}: {frame}"));
        match (&message, self.link) {
            (Message::SessionHello(_), Link::Fresh) => self.link = Link::Opening,
            // The welcome may have come in this step.
            (Message::SessionHello(_) | Message::SessionResume(_), _) => {
                panic!("a hello over no new link: {frame}")
            }
            (_, Link::Opening) if self.machine.features().is_some() => self.link = Link::Open,
            (_, Link::Open) => {}
            (_, link) => panic!("{frame} over a link that is {link:?}"),
        }
        let asks = matches!(
            message,
            Message::JobSubmit(_)
                | Message::JobCancel(_)
                | Message::JobSubscribe(_)
                | Message::SessionListJobs(_)
        );
        if asks {
            self.pool.requests.push(envelope.id.to_string());
        }
    }

    fn tell(&mut self, event: Event) {
        assert!(!self.is_over || matches!(event, Event::TimedOut { .. }), "after the end: {event:?}");
        let _ = format!("{event:?}");
        match event {
            Event::Opened(_) => {
                assert!(!self.has_opened, "a session opens once");
                self.has_opened = true;
                self.link = Link::Open;
            }
            Event::Resumed | Event::Renewed(_) => self.link = Link::Open,
            Event::Disconnected => self.link = Link::Down,
            Event::Connect => self.link = Link::Wanted,
            Event::Lapsed(_) => self.taken = 0,
            Event::AcknowledgeDue => {
                self.machine.acknowledge(self.clock.now(), self.machine.last_event_seq());
            }
            Event::Accepted { request, accepted } => {
                self.answered(request, &[Kind::Submit]);
                self.followed.insert(accepted.job_id.to_string());
            }
            Event::Delegated(accepted) => drop(self.followed.insert(accepted.job_id.to_string())),
            Event::Subscribed { request, subscribed } => {
                self.answered(request, &[Kind::Subscribe]);
                self.followed.insert(subscribed.job_id.to_string());
            }
            Event::Jobs { request, .. } => self.answered(request, &[Kind::List]),
            Event::CancelAcknowledged { request } => self.answered(request, &[Kind::Cancel]),
            Event::Interrupted { request } => self.answered(request, &[Kind::Subscribe, Kind::Cancel]),
            Event::Refused { request, .. }
            | Event::Unreadable { request, .. }
            | Event::TimedOut { request } => {
                self.answered(request, &[Kind::Submit, Kind::Cancel, Kind::List, Kind::Subscribe]);
            }
            Event::NotOffered { request, .. } => {
                self.answered(request, &[Kind::Submit, Kind::List, Kind::Subscribe]);
            }
            Event::Job { job_id, .. } | Event::Missed { job_id, .. } => {
                assert!(self.followed.contains(job_id.as_str()), "{job_id} is not followed");
            }
            Event::JobEnded { job_id, .. } => {
                assert!(self.followed.remove(job_id.as_str()), "{job_id} is not followed, or has ended");
            }
            Event::HandshakeRefused(_) => {}
            Event::Ended(_) => {
                self.is_over = true;
                self.open.clear();
                self.followed.clear();
            }
            other => panic!("{other:?} is unknown to this target"),
        }
    }

    fn answered(&mut self, request: RequestKey, kinds: &[Kind]) {
        let asked = self.open.remove(&request);
        assert!(
            asked.is_some_and(|(kind, _)| kinds.contains(&kind)),
            "{request:?} is {asked:?}, not {kinds:?}"
        );
    }

    /// The application closes the session: that is its end, soon, and there is no other.
    pub(super) fn end(mut self) {
        self.machine.close(self.clock.now(), None);
        self.drain();
        self.pass(seconds(20));
        assert!(self.is_over, "a session that is closed ends");
        assert!(self.open.is_empty() && self.machine.poll_timeout().is_none());
        let request = self.machine.list_jobs(self.clock.now(), &ListJobs::default());
        self.open.insert(request, (Kind::List, self.clock.0));
        self.drain();
        assert!(self.open.is_empty(), "what is asked after the end is answered at once");
    }
}
