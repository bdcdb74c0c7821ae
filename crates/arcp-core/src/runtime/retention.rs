//! How long jobs are remembered after their ends.

use std::time::Duration;

use super::timers::Timer;
use super::{JobKey, Runtime, Write};
use crate::time::Instant;

/// Jobs that are forgotten at a time.
const AT_A_TIME: usize = 64;

impl Runtime {
    /// Keeps the number of jobs that are remembered after their ends within its limit.
    pub(super) fn forget_finished_jobs(&mut self) {
        while self.finished.len() > self.config.limits.finished_jobs {
            let Some((_, oldest)) = self.finished.pop_front() else { return };
            self.forget_finished(oldest);
        }
    }

    /// Has a job that has ended remembered until then.
    pub(super) fn has_finished(&mut self, until: Instant, job_key: JobKey) {
        if self.finished.is_empty() {
            self.timers.set(until, Timer::OldestJob);
        }
        self.finished.push_back((until, job_key));
    }

    /// Forgets jobs whose time is up, a few at a time: others want to be heard meanwhile.
    pub(super) fn forget_old_jobs(&mut self, now: Instant) {
        for _ in 0..AT_A_TIME {
            match self.finished.front().copied() {
                None => return,
                Some((until, _)) if until > now => return self.timers.set(until, Timer::OldestJob),
                Some((_, oldest)) => {
                    self.finished.pop_front();
                    self.forget_finished(oldest);
                }
            }
        }
        self.timers.set(now + Duration::from_millis(10), Timer::OldestJob);
    }

    fn forget_finished(&mut self, oldest: JobKey) {
        match self.jobs.get_mut(&oldest) {
            Some(job) if job.keyed => job.outlived = true,
            _ => self.forget_job(oldest),
        }
    }

    /// A job whose idempotency key is forgotten is forgotten with it, unless it would still be known without.
    pub(super) fn release_key(&mut self, job_key: JobKey) {
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        job.keyed = false;
        if job.outlived {
            self.forget_job(job_key);
        }
    }

    fn forget_job(&mut self, job_key: JobKey) {
        self.end_reading(job_key);
        if let Some(job) = self.jobs.remove(&job_key) {
            self.job_ids.remove(&job.head.job_id);
            if let Some(jobs) = self.jobs_of.get_mut(&job.principal) {
                jobs.remove(&job_key);
                if jobs.is_empty() {
                    self.jobs_of.remove(&job.principal);
                }
            }
            self.history_bytes -= job.log.bytes();
            // Swept now and then rather than searched each time.
            if self.history_of_ended.len() > 2 * self.jobs.len() + 16 {
                self.history_of_ended.retain(|ended| self.jobs.contains_key(ended));
            }
            self.writes.push(Write::JobGone(job.head.job_id.clone()));
        }
    }
}
