//! From the session to the jobs' handles: bounded queues, and how far their applications have come.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use arcp_core::client::{Audience, JobEnd, RequestKey};
use arcp_proto::JobId;
use arcp_proto::event::Event;
use arcp_proto::job::Accepted;
use futures_util::future::{join_all, select_all};
use tokio::sync::{mpsc, watch};

/// Events that wait for one job's application.
const QUEUE: usize = 1_024;

/// Delegations that wait for the acceptance of the job that has delegated.
const CHILDREN: usize = 1_024;

/// Deliveries that are taken out of a queue at a time.
const TAKE: usize = 64;

/// What a job is told.
pub(crate) enum Delivery {
    /// An event, whose body is decoded by who takes it.
    Event {
        /// The number, if the runtime gave one.
        event_seq: Option<u64>,
        event: Event,
        /// Its place among all that have come, over all sessions.
        place: Option<u64>,
    },
    /// Some events before this are lost.
    Missed,
    /// The job has ended.
    End(JobEnd),
}

/// The receiving end of a job's queue.
pub(crate) struct Inbox {
    receiver: mpsc::Receiver<Delivery>,
    /// What was taken out of the queue with the one before, the next one last.
    at_hand: Vec<Delivery>,
    /// The place of the last event that the application has taken.
    taken: Arc<AtomicU64>,
    /// The jobs that it has delegated to.
    children: watch::Receiver<Vec<Accepted>>,
}

impl Inbox {
    /// The jobs that it has delegated to so far.
    pub(crate) fn children(&self) -> watch::Receiver<Vec<Accepted>> {
        self.children.clone()
    }

    /// Takes nothing more.
    pub(crate) fn close(&mut self) {
        self.receiver.close();
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        if self.at_hand.is_empty() {
            ready!(self.receiver.poll_recv_many(cx, &mut self.at_hand, TAKE));
            self.at_hand.reverse();
        }
        let next = self.at_hand.pop();
        if let Some(Delivery::Event { place: Some(place), .. }) = &next {
            self.taken.store(*place, Ordering::Release);
        }
        Poll::Ready(next)
    }
}

/// The sending end.
#[derive(Clone)]
struct Outbox {
    /// What asked for it.
    request: Option<RequestKey>,
    sender: mpsc::Sender<Delivery>,
    taken: Arc<AtomicU64>,
    children: Arc<watch::Sender<Vec<Accepted>>>,
    /// The place of the last event that was handed to the queue, or waits for room in it.
    delivered: u64,
}

impl Outbox {
    fn is_of(&self, audience: &Audience) -> bool {
        self.request.is_none_or(|request| audience.includes(request))
    }

    /// The place up to which the application has taken everything, if there is something that it has not.
    fn lag_from(&self) -> Option<u64> {
        let taken = self.taken.load(Ordering::Acquire);
        (taken < self.delivered && !self.sender.is_closed()).then_some(taken)
    }
}

#[derive(Default)]
pub(super) struct Deliveries {
    /// Who follows a job: more than one, where two submits with one key are one job.
    jobs: HashMap<JobId, Vec<Outbox>>,
    /// Those of jobs that have ended and whose events are not all taken.
    ended: Vec<Outbox>,
    /// What has come in sessions before this one.
    before: u64,
    /// The place of the last event that has come.
    last: u64,
    /// Jobs that were delegated to by such as nobody follows yet: what is missed comes before what is asked again is answered.
    early_children: VecDeque<Accepted>,
    /// What waits for room in a queue. While anything does, nothing is read.
    waiting: Vec<Waiting>,
}

/// Everything that waits for one queue.
struct Waiting {
    queue: mpsc::Sender<Delivery>,
    deliveries: VecDeque<Delivery>,
}

impl Waiting {
    /// Hands over what has room. Nobody waits for a queue whose job is gone.
    fn hand_over(&mut self) {
        let room = self.deliveries.len().min(self.queue.capacity());
        match self.queue.try_reserve_many(room) {
            Ok(places) => {
                places.zip(self.deliveries.drain(..room)).for_each(|(place, delivery)| place.send(delivery))
            }
            Err(mpsc::error::TrySendError::Full(())) => {}
            Err(mpsc::error::TrySendError::Closed(())) => self.deliveries.clear(),
        }
    }
}

impl Deliveries {
    /// A new queue, to be followed with [`follow`](Self::follow).
    pub(super) fn queue() -> (Followed, Inbox) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let taken = Arc::new(AtomicU64::new(0));
        let (announce, children) = watch::channel(Vec::new());
        let (inside, announce) = (Arc::clone(&taken), Arc::new(announce));
        let outbox = Outbox { request: None, sender, taken: inside, children: announce, delivered: 0 };
        (Followed(outbox), Inbox { receiver, at_hand: Vec::new(), taken, children })
    }

    pub(super) fn follow(&mut self, job_id: JobId, request: RequestKey, followed: Followed) {
        let is_of = |child: &&Accepted| child.parent_job_id.as_ref() == Some(&job_id);
        let early = self.early_children.iter().filter(is_of).cloned();
        followed.0.children.send_modify(|children| children.extend(early));
        self.jobs.entry(job_id).or_default().push(Outbox { request: Some(request), ..followed.0 });
    }

    /// Delivers an event to who follows its job, or to who asked for it to come again.
    pub(super) fn event(
        &mut self,
        job_id: &JobId,
        event_seq: Option<u64>,
        event: Event,
        audience: &Audience,
    ) {
        let Some(outboxes) = self.jobs.get_mut(job_id) else { return };
        outboxes.retain(|outbox| !outbox.sender.is_closed());
        let place = event_seq.map(|seq| self.before + seq);
        self.last = self.last.max(place.unwrap_or(0));
        let mut event = Some(event);
        let mut addressed = outboxes.iter_mut().filter(|outbox| outbox.is_of(audience)).peekable();
        while let Some(outbox) = addressed.next() {
            if let Some(place) = place {
                if outbox.delivered == 0 {
                    outbox.taken.store(place.saturating_sub(1), Ordering::Release);
                }
                outbox.delivered = place;
            }
            // The last one has it itself: mostly there is one.
            let event = if addressed.peek().is_some() { event.clone() } else { event.take() };
            let delivery = event.map(|event| Delivery::Event { event_seq, event, place });
            delivery.into_iter().for_each(|delivery| deliver(&mut self.waiting, &outbox.sender, delivery));
        }
    }

    /// Whether anybody follows a job.
    pub(super) fn is_followed(&self, job_id: &JobId) -> bool {
        self.jobs.get(job_id).into_iter().flatten().any(|outbox| !outbox.sender.is_closed())
    }

    /// Events of a job are lost.
    pub(super) fn miss(&mut self, job_id: &JobId, audience: &Audience) {
        let all = self.jobs.get(job_id).into_iter().flatten();
        for outbox in all.filter(|outbox| outbox.is_of(audience)) {
            deliver(&mut self.waiting, &outbox.sender, Delivery::Missed);
        }
    }

    /// A job has delegated to another. It may be about to be accepted.
    pub(super) fn child(&mut self, accepted: Accepted, may_be_early: bool) {
        let parent = accepted.parent_job_id.as_ref().and_then(|parent| self.jobs.get(parent));
        for outbox in parent.into_iter().flatten() {
            outbox.children.send_modify(|children| children.push(accepted.clone()));
        }
        if may_be_early && parent.is_none() {
            self.early_children.push_back(accepted);
            if self.early_children.len() > CHILDREN {
                self.early_children.pop_front();
            }
        }
    }

    pub(super) fn has_early_children(&self) -> bool {
        !self.early_children.is_empty()
    }

    /// No job is about to be accepted.
    pub(super) fn forget_early_children(&mut self) {
        self.early_children.clear();
    }

    /// Another session begins, which counts from 1.
    pub(super) fn begin_again(&mut self) {
        self.before = self.last;
    }

    pub(super) fn end(&mut self, job_id: &JobId, end: &JobEnd) {
        for outbox in self.jobs.remove(job_id).unwrap_or_default() {
            deliver(&mut self.waiting, &outbox.sender, Delivery::End(end.clone()));
            self.ended.push(outbox);
        }
    }

    /// Hands over what has room.
    pub(super) fn hand_over(&mut self) {
        self.waiting.retain_mut(|waiting| {
            waiting.hand_over();
            !waiting.deliveries.is_empty()
        });
    }

    /// Whether everything has been handed over.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Nobody takes anything any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// The number up to which the applications have taken everything of this session, given the last that has come.
    pub(super) fn taken(&mut self, last_event_seq: u64) -> u64 {
        self.ended.retain(|outbox| outbox.lag_from().is_some());
        let all = self.jobs.values().flatten().chain(&self.ended);
        let taken = all.filter_map(Outbox::lag_from).min();
        taken.map_or(last_event_seq, |place| place.saturating_sub(self.before))
    }

    /// Waits until one of the queues that are in the way has room, or its job is gone.
    pub(super) async fn room(&self) {
        let senders = self.waiting.iter().map(|waiting| Box::pin(waiting.queue.reserve()));
        // Room or a closed queue: either way the next try gets on.
        drop(select_all(senders).await);
    }

    /// Delivers what is left once the session is over. Whoever takes nothing holds up nobody else.
    pub(super) async fn finish(self) {
        let Self { jobs, ended, waiting, .. } = self;
        // Who follows a job is told that there is nothing more by the end of its queue.
        drop((jobs, ended));
        let deliveries = waiting.into_iter().map(|Waiting { queue, deliveries }| async move {
            for delivery in deliveries {
                if queue.send(delivery).await.is_err() {
                    return;
                }
            }
        });
        join_all(deliveries).await;
    }
}

/// A queue that is not followed yet.
pub(super) struct Followed(Outbox);

/// Puts a delivery behind the others that wait for its queue.
fn deliver(waiting: &mut Vec<Waiting>, queue: &mpsc::Sender<Delivery>, delivery: Delivery) {
    match waiting.iter_mut().find(|other| other.queue.same_channel(queue)) {
        Some(others) => others.deliveries.push_back(delivery),
        None => {
            let mut deliveries = VecDeque::with_capacity(TAKE);
            deliveries.push_back(delivery);
            waiting.push(Waiting { queue: queue.clone(), deliveries });
        }
    }
}
